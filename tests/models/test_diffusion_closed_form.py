"""Flow, reverse process and bound of diffusions whose score is known, against their densities."""

from __future__ import annotations

import pytest
import torch
from known_diffusions import KernelMixture
from scipy import stats

from manifold_gen.manifolds import Euclidean, PoincareBall, Sphere, Torus
from manifold_gen.models.noising import noising_of
from manifold_gen.ode import integrate_with_volume
from manifold_gen.seeds import generator
from manifold_gen.testing import FAILURE_RATE

WEIGHTS = [0.6, 0.4]


def torus(**settings):
    centres = torch.tensor([[1.0, 2.5], [-1.5, 0.3]], dtype=torch.float64)
    return KernelMixture(Torus(2), centres, torch.tensor([0.1, 0.4], dtype=torch.float64), WEIGHTS, **settings)


def plane(**settings):
    centres = torch.tensor([[1.0, 2.0], [-1.5, 0.3]], dtype=torch.float64)
    return KernelMixture(Euclidean(2), centres, torch.tensor([0.1, 0.4], dtype=torch.float64), WEIGHTS, **settings)


def sphere(**settings):
    centres = torch.eye(3, dtype=torch.float64)[:2]
    return KernelMixture(
        Sphere(2), centres, torch.tensor([0.1, 0.4], dtype=torch.float64), WEIGHTS, horizon=5.0, **settings
    )


CASES = {"torus": torus, "plane": plane, "sphere": sphere}


@pytest.mark.parametrize("name", CASES)
def test_the_flow_has_the_density_of_noised_data(name):
    process = CASES[name]()
    x = process.double().data(25, generator(1))
    with torch.no_grad():
        error = process.log_prob(x) - process.density(x, process.clock.shortest)
    # 0.02 of a density's waves are left at s(0) = 9, that is up to 0.04 nats at a point and 1e-4 in the mean
    assert float(error.abs().max()) < 0.05
    assert float(error.abs().mean()) < 0.015
    assert abs(float(error.mean())) < 0.01


@pytest.mark.parametrize("name", ["torus", "plane"])
def test_the_flow_passes_through_the_noised_densities(name):
    process = CASES[name]().double()
    x = process.base.sample(40, generator=generator(2)).double()
    path = integrate_with_volume(process.velocity_and_divergence, process.manifold, x, 0.0, 0.7, process.solver)
    got = process.base.log_prob(x) - path.log_volume
    assert float((got - process.density(path.x, process.clock.at(torch.tensor(0.7)))).abs().max()) < 0.06


@pytest.mark.parametrize("name", CASES)
def test_the_reverse_process_draws_what_the_flow_draws(name):
    process = CASES[name]()
    drawn = process.sample_sde(1500, generator=generator(3), steps=100).double()
    exact = process.double().data(1500, generator(4), s=process.clock.shortest)
    assert same_law(process, drawn, exact)


def test_a_reverse_process_with_half_the_score_is_noticed():
    process = torus(factor=0.5)
    drawn = process.sample_sde(1500, generator=generator(3), steps=100).double()
    assert not same_law(process, drawn, process.double().data(1500, generator(4), s=process.clock.shortest))


def same_law(process, x, y):
    """Kolmogorov and Smirnov's test of three statistics: log-density and distances from the centres."""
    columns = [process.density] + [lambda p, s, c=c: process.manifold.dist(c, p) for c in process.centres]
    pairs = [(column(x, process.clock.shortest), column(y, process.clock.shortest)) for column in columns]
    return min(stats.ks_2samp(a.numpy(), b.numpy()).pvalue for a, b in pairs) > FAILURE_RATE / len(columns)


@pytest.mark.parametrize("name", ["torus", "plane"])
def test_the_bound_is_tight_for_the_true_score(name):
    process = CASES[name](shortest=1e-2).double()
    x = process.data(60, generator(5))
    bound = process.variational_bound(x, generator=generator(6), draws=100)
    gap = bound.value - process.density(x, process.clock.shortest)
    mean, se = float(gap.mean()), float(gap.std()) / len(gap) ** 0.5
    assert se < 0.08
    assert abs(mean) < stats.norm.isf(FAILURE_RATE / 2) * se + 0.005
    # with the true score nothing but the draws spreads the gap, so its spread is the standard error reported
    assert 0.6 < float(gap.std()) / float(bound.se.square().mean().sqrt()) < 1.6


def test_the_bound_of_a_wrong_score_is_below_its_density():
    process = torus(shortest=1e-2, factor=0.7).double()
    x = process.data(150, generator(7))
    bound = process.variational_bound(x, generator=generator(8), draws=50).value
    gap = bound - process.density(x, process.clock.shortest)
    assert float(gap.mean()) < -0.05


def test_hyperbolic_noise_ends_in_the_base():
    ball = PoincareBall(2)
    noising = noising_of(ball)
    n, steps = 1000, 24
    start = ball.unembed(torch.tensor([1.5, 0.0], dtype=torch.float64)).expand(n, 2)
    s = torch.full((n,), 9.0, dtype=torch.float64)
    noise = torch.randn(n, steps, 2, generator=generator(9), dtype=torch.float64)
    end = ball.dist(ball.origin(dtype=torch.float64), noising.walk(start, s, noise))
    # with 24 steps the walk is a few percent off, below what a thousand draws resolve
    assert stats.kstest(end.numpy(), stats.rayleigh.cdf).pvalue > FAILURE_RATE


def test_the_walk_is_exact_on_a_line():
    noising = noising_of(Euclidean(1))
    n = 20_000
    s = torch.full((n,), 2.0, dtype=torch.float64)
    noise = torch.randn(n, 3, 1, generator=generator(10), dtype=torch.float64)
    end = noising.walk(torch.full((n, 1), 1.5, dtype=torch.float64), s, noise).squeeze(-1)
    law = stats.norm(1.5 * torch.e ** (-1.0), (1 - torch.e ** (-2.0)) ** 0.5)
    assert stats.kstest(end.numpy(), law.cdf).pvalue > FAILURE_RATE
