"""The classifier test: chance between equal distributions, 1 between disjoint ones, never above Bayes."""

import math

import pytest
import torch

from manifold_gen import seeds
from manifold_gen.distributions import Uniform, VonMisesProduct
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Sphere, Torus, from_spec
from manifold_gen.metrics import c2st

CIRCLE = Torus(1)


def uniform(manifold, n, seed):
    return Uniform(manifold).sample(n, generator=seeds.generator(seed))


@pytest.mark.parametrize("spec", ["torus:1", "sphere:2", "so3"])
def test_equal_distributions_are_at_chance(spec):
    manifold = from_spec(spec)
    found = c2st(manifold, uniform(manifold, 300, 1), uniform(manifold, 400, 2), steps=80)
    assert abs(found.value - 0.5) <= 4.9 * found.se
    assert 0.01 < found.se < 0.05


def test_answers_are_on_held_out_points_so_that_memory_does_not_help():
    torus = Torus(7)  # 60 points in seven dimensions: any network learns them by heart
    found = c2st(torus, uniform(torus, 60, 1), uniform(torus, 60, 2), steps=150)
    assert abs(found.value - 0.5) <= 4.9 * found.se
    assert found.value < 0.75


def test_disjoint_samples_are_told_apart():
    x = uniform(Sphere(2), 200, 1)
    north, south = x.clone(), x.clone()
    north[:, 2], south[:, 2] = x[:, 2].abs() + 0.2, -x[:, 2].abs() - 0.2
    found = c2st(Sphere(2), Sphere(2).projx(north), Sphere(2).projx(south), steps=80)
    assert found.value == 1
    assert 0 < found.se < 0.02


def test_the_accuracy_nears_that_of_bayes_and_does_not_pass_it():
    p = VonMisesProduct(torch.zeros(1), torch.tensor([2.0]))
    grid = torch.linspace(-math.pi, math.pi, 2001).unsqueeze(1)
    excess = (p.log_prob(grid).exp() - 1 / (2 * math.pi)).abs()
    bayes = 0.5 + 0.25 * float(torch.trapezoid(excess, grid.flatten()))
    found = c2st(CIRCLE, p.sample(1000, generator=seeds.generator(1)), uniform(CIRCLE, 1000, 2))
    assert 0.7 < bayes < 0.8
    assert bayes - 0.05 <= found.value <= bayes + 4.9 * found.se


def test_the_error_covers_the_spread_over_draws_at_chance():
    found = [c2st(CIRCLE, uniform(CIRCLE, 60, 2 * i), uniform(CIRCLE, 60, 2 * i + 1), i, steps=30) for i in range(24)]
    spread = float(torch.tensor([e.value for e in found]).std())
    quoted = math.sqrt(sum(e.se**2 for e in found) / len(found))
    assert 0.6 <= quoted / spread <= 2.2


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    x, y = uniform(CIRCLE, 50, 1), uniform(CIRCLE, 50, 2)
    before = torch.get_rng_state()
    first, again, other = (c2st(CIRCLE, x, y, seed, steps=20) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert torch.equal(before, torch.get_rng_state())


def test_too_few_points_or_folds_are_refused():
    x = uniform(CIRCLE, 19, 1)
    with pytest.raises(UsageError, match="x holds 19 points, needed at least 20"):
        c2st(CIRCLE, x, x)
    with pytest.raises(UsageError, match="folds must be at least 2, got 1"):
        c2st(CIRCLE, x, x, folds=1)
