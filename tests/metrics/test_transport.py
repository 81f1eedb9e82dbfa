"""Wasserstein distances: against all permutations, sorting on the line, shifts, and their own spread over draws."""

import itertools
import math

import pytest
import scipy.stats
import torch

from manifold_gen import seeds
from manifold_gen.distributions import Uniform, VonMisesFisher
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import Euclidean, Sphere, Torus
from manifold_gen.metrics import wasserstein

ORDERS = pytest.mark.parametrize("order", [1, 2])


def normal(n, seed, mean=0.0):
    return mean + torch.randn(n, 1, generator=seeds.generator(seed), dtype=torch.float64)


@ORDERS
def test_point_masses_are_as_far_as_their_points(order):
    sphere = Sphere(2)
    x, y = torch.tensor([[1.0, 0, 0]] * 7), torch.tensor([[0.0, 0.6, 0.8]] * 9)
    found = wasserstein(sphere, x, y, order)
    assert found.value == pytest.approx(math.pi / 2, abs=1e-7)
    assert found.se == pytest.approx(0.0, abs=1e-7)


@ORDERS
def test_turning_an_even_circle_costs_the_angle_across_the_seam_too(order):
    circle = Torus(1)
    x = torch.linspace(-math.pi, math.pi, 201, dtype=torch.float64)[:-1].unsqueeze(1)
    for angle in (0.01, -0.012):
        assert wasserstein(circle, x, circle.projx(x + angle), order).value == pytest.approx(abs(angle), rel=1e-9)
    assert wasserstein(circle, x, circle.projx(x + math.pi / 50), order).value == pytest.approx(0.0, abs=1e-9)


@ORDERS
def test_it_is_the_least_over_all_permutations(order):
    sphere = Sphere(2)
    x, y = (Uniform(sphere).sample(6, generator=seeds.generator(s)).double() for s in (1, 2))
    cost = sphere.dist(x.unsqueeze(1), y.unsqueeze(0)) ** order
    least = min(float(cost[range(6), list(p)].mean()) for p in itertools.permutations(range(6)))
    assert wasserstein(sphere, x, y, order).value == pytest.approx(least ** (1 / order), rel=1e-7)


def test_on_the_line_it_is_that_of_the_sorted_points():
    line, x, y = Euclidean(1), normal(300, 1), normal(300, 2, 0.3)
    expected = scipy.stats.wasserstein_distance(x.flatten(), y.flatten())
    assert wasserstein(line, x, y).value == pytest.approx(expected, rel=1e-9)
    sorted_pairs = (x.sort(0).values - y.sort(0).values).square().mean().sqrt()
    assert wasserstein(line, x, y, 2).value == pytest.approx(float(sorted_pairs), rel=1e-9)


@ORDERS
def test_between_shifted_normals_the_error_is_that_of_the_difference_of_their_means(order):
    # The potentials of a shift are linear: their variance is that of the points, here 1 each.
    found = wasserstein(Euclidean(1), normal(500, 1), normal(500, 2, 9.0), order)
    assert found.value == pytest.approx(9.0, abs=6 * found.se)
    assert found.se == pytest.approx(math.sqrt(2 / 500), rel=0.15)


@ORDERS
@pytest.mark.parametrize(("apart", "least", "most"), [(True, 0.7, 1.4), (False, 0.9, 2.0)])
def test_the_error_is_the_spread_over_draws(order, apart, least, most):
    p = VonMisesFisher([0.0, 0.0, 1.0], 3.0)
    q = VonMisesFisher([0.0, 0.6, 0.8], 5.0) if apart else p
    g = seeds.generator(order)
    draws = [wasserstein(Sphere(2), p.sample(120, generator=g), q.sample(120, generator=g), order) for _ in range(60)]
    spread = float(torch.tensor([e.value for e in draws]).std())
    quoted = math.sqrt(sum(e.se**2 for e in draws) / len(draws))
    assert least <= quoted / spread <= most


def test_equal_samples_are_no_distance_apart():
    x = normal(50, 1)
    assert wasserstein(Euclidean(1), x, x).to_dict() == {"value": 0.0, "se": 0.0}
    assert wasserstein(Euclidean(1), x, x, 2).to_dict() == {"value": 0.0, "se": 0.0}


def test_samples_are_cut_to_one_size():
    x, y = normal(80, 1), normal(60, 2, 1.0)
    line = Euclidean(1)
    assert wasserstein(line, x, y) == wasserstein(line, x, y, maximum=60)
    assert wasserstein(line, x, y, maximum=30) == wasserstein(line, x, y, maximum=30)
    assert wasserstein(line, x, y, maximum=30) != wasserstein(line, x, y, maximum=30, seed=1)


def test_bad_arguments_are_refused():
    x = normal(10, 1)
    with pytest.raises(UsageError, match="order must be 1 or 2, got 3"):
        wasserstein(Euclidean(1), x, x, 3)
    with pytest.raises(UsageError, match="maximum"):
        wasserstein(Euclidean(1), x, x, maximum=1)
    with pytest.raises(DataError, match="not finite"):
        wasserstein(Euclidean(1), x, x * math.inf)
