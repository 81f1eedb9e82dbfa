"""Coverage, density and the 1-nearest-neighbour test: exact expectations, brute force, and their spread over draws."""

import math

import numpy as np
import pytest
import torch

from manifold_gen import seeds
from manifold_gen.distributions import Uniform, VonMisesFisher
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Euclidean, Sphere, Torus, from_spec
from manifold_gen.metrics import coverage, density, expected_coverage, nearest_neighbour_accuracy

SPHERE = Sphere(2)
METRICS = {"coverage": coverage, "density": density, "nearest": nearest_neighbour_accuracy}
A, B = VonMisesFisher([0.0, 0.0, 1.0], 3.0), VonMisesFisher([0.0, 0.6, 0.8], 5.0)


def draws(metric, p, q, n, m, repeats, seed):
    g = seeds.generator(seed)
    return [metric(SPHERE, p.sample(n, generator=g), q.sample(m, generator=g)) for _ in range(repeats)]


def mean_and_spread(found):
    values = torch.tensor([e.value for e in found], dtype=torch.float64)
    return float(values.mean()), float(values.std())


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (coverage, expected_coverage(150, 200)),
        (density, 1.0),
    ],
    ids=["coverage", "density"],
)
def test_between_equal_distributions_the_expectation_is_known(metric, expected, failure_rate):
    mean, spread = mean_and_spread(draws(metric, A, A, 150, 200, 60, 1))
    # Student's t with 59 degrees of freedom: 5.5 at the failure rate of 1e-6.
    assert failure_rate == 1e-6
    assert abs(mean - expected) <= 5.5 * spread / math.sqrt(60)


def test_between_equal_distributions_a_neighbour_is_as_likely_of_either_sample():
    mean, spread = mean_and_spread(draws(nearest_neighbour_accuracy, A, A, 100, 100, 60, 1))
    assert abs(mean - 99 / 199) <= 5.5 * spread / math.sqrt(60)


def test_the_expected_coverage_counts_orders():
    # One neighbour: the nearest of n − 1 + m others is of the reference with probability (n − 1) / (n + m − 1).
    assert expected_coverage(3, 4, 1) == pytest.approx(1 - 3 / 6)
    assert expected_coverage(1, 5, 2) == pytest.approx(1 - (4 / 5) * (3 / 4))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("other", [A, B], ids=["equal", "apart"])
def test_the_error_is_the_spread_over_draws(name, other):
    found = draws(METRICS[name], A, other, 200, 200, 40, 2)
    quoted = math.sqrt(sum(e.se**2 for e in found) / len(found))
    assert 0.6 <= quoted / mean_and_spread(found)[1] <= 1.6


def test_against_brute_force():
    torus = from_spec("torus:2")
    x, y = (Uniform(torus).sample(n, generator=seeds.generator(n)).double() for n in (70, 60))
    xx, yy = (torus.dist(s.unsqueeze(1), s.unsqueeze(0)).numpy().copy() for s in (x, y))
    yx = torus.dist(y.unsqueeze(1), x.unsqueeze(0)).numpy()
    for matrix in (xx, yy):
        np.fill_diagonal(matrix, np.inf)
    radius = np.sort(yy, 1)[:, 2]
    inside = yx < radius[:, None]
    assert coverage(torus, x, y, 3).value == pytest.approx(np.mean([row.any() for row in inside]))
    assert density(torus, x, y, 3).value == pytest.approx(inside.sum() / (3 * 70))
    xx, yx = xx[:60, :60], yx[:, :60]
    right = [xx[i].min() < yx[:, i].min() for i in range(60)] + [yy[i].min() < yx[i].min() for i in range(60)]
    assert nearest_neighbour_accuracy(torus, x[:60], y).value == pytest.approx(np.mean(right))


def two_modes(n, seed):
    where = torch.where(torch.arange(n) < n // 2, -2.0, 2.0).unsqueeze(1)
    return where + 0.1 * torch.randn(n, 1, generator=seeds.generator(seed))


def test_a_missing_mode_halves_coverage_and_doubles_density():
    line, reference = Euclidean(1), two_modes(400, 1)
    one = -2.0 + 0.1 * torch.randn(400, 1, generator=seeds.generator(2))
    found = coverage(line, one, reference)
    assert found.value == pytest.approx(0.5 * expected_coverage(400, 200), abs=0.02)
    assert density(line, one, reference).value == pytest.approx(1.0, abs=0.15)
    assert coverage(line, two_modes(400, 3), reference).value > 0.9


def test_samples_apart_and_copies_are_told_apart():
    x = torch.randn(60, 1, generator=seeds.generator(1))
    line = Euclidean(1)
    assert nearest_neighbour_accuracy(line, x, x + 100).value == 1
    assert nearest_neighbour_accuracy(line, x, x).value == 0
    same = torch.zeros(40, 1)
    assert nearest_neighbour_accuracy(line, same, same).value == 0.5
    assert density(line, x + 100, torch.randn(100, 1, generator=seeds.generator(2)), 2).value == 0


def test_too_few_points_for_the_error_are_refused():
    x = torch.zeros(99, 1)
    with pytest.raises(UsageError, match="samples holds 99 points, needed at least 100"):
        coverage(Torus(1), x, x)
    with pytest.raises(UsageError, match="neighbours must be at least 1"):
        density(Torus(1), x, x, 0)
    with pytest.raises(UsageError, match="x holds 19 points"):
        nearest_neighbour_accuracy(Torus(1), x[:19], x)
