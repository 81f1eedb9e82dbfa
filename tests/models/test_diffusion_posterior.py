"""Posteriors and inpainting by steered particles, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from known_diffusions import KernelMixture

from manifold_gen.distributions import VonMisesFisher
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import Euclidean, Product, Sphere, Torus
from manifold_gen.models.posterior import effective_size, systematic
from manifold_gen.seeds import generator

PARTICLES = 1000


def mixture(manifold, centres, spread, weights, **settings):
    centres = torch.tensor(centres, dtype=torch.float64)
    return KernelMixture(
        manifold, centres, torch.tensor(spread, dtype=torch.float64), weights, shortest=4e-4, **settings
    ).double()


def test_a_normal_times_a_normal_is_a_normal():
    process = mixture(Euclidean(2), [[0.8, -0.5]], [0.3], [1.0])
    seen, noise = torch.tensor([-0.4, 0.6], dtype=torch.float64), 0.2

    def likelihood(x):
        return Euclidean(2).heat_kernel(x, seen.to(x), noise)

    got = process.sample_posterior(likelihood, PARTICLES, generator=generator(1), steps=100)
    variance = 1 / (1 / 0.3 + 1 / noise)
    mean = variance * (torch.tensor([0.8, -0.5]).double() / 0.3 + seen / noise)
    weights = got.log_weights.exp().unsqueeze(-1).double()
    estimate = (weights * got.x).sum(0)
    spread = (weights * (got.x - estimate).square()).sum(0)
    assert got.effective_sample_size > PARTICLES / 4
    assert torch.allclose(estimate, mean, atol=0.06)
    assert torch.allclose(spread, torch.full_like(spread, variance), rtol=0.25)
    evidence = Euclidean(2).heat_kernel(process.centres[0], seen, 0.5)
    assert abs(got.log_evidence - float(evidence)) < 0.15


def test_a_mixture_of_wrapped_normals_times_a_wrapped_normal():
    process = mixture(Torus(2), [[1.0, 3.0], [-1.5, 0.3]], [0.05, 0.3], [0.3, 0.7])
    torus, seen, noise = Torus(2), torch.tensor([0.4, -2.8], dtype=torch.float64), 0.5

    def likelihood(x):
        return torus.heat_kernel(x, seen.to(x), noise)

    got = process.sample_posterior(likelihood, PARTICLES, generator=generator(2), steps=100)
    angle = (torch.arange(200, dtype=torch.float64) + 0.5) * 2 * math.pi / 200 - math.pi
    grid = torch.cartesian_prod(angle, angle)
    density = process.density(grid, 0.0) + likelihood(grid)
    truth = torch.softmax(density, 0)
    weights = got.log_weights.exp()
    for wave in (torch.cos, torch.sin):
        expected = (truth.unsqueeze(-1) * wave(grid)).sum(0)
        assert torch.allclose((weights.unsqueeze(-1) * wave(got.x)).sum(0), expected, atol=0.06)
    evidence = torch.logsumexp(density, 0) + 2 * math.log(2 * math.pi / 200)
    assert abs(got.log_evidence - float(evidence)) < 0.15


def test_a_kernel_times_a_von_mises_fisher_on_the_sphere():
    sphere = Sphere(2)
    process = mixture(sphere, [[1.0, 0.0, 0.0]], [0.4], [1.0], horizon=5.0)
    seen = VonMisesFisher([0.0, 1.0, 0.0], 4.0).double()
    got = process.sample_posterior(seen.log_prob, PARTICLES, generator=generator(3), steps=100)
    points = sphere.random_uniform(40_000, generator=generator(4), dtype=torch.float64)
    truth = torch.softmax(process.density(points, 0.0) + seen.log_prob(points), 0)
    expected = (truth.unsqueeze(-1) * points).sum(0)
    assert torch.allclose((got.log_weights.exp().unsqueeze(-1) * got.x).sum(0), expected, atol=0.05)


def test_missing_torsions_given_the_others():
    process = mixture(Torus(2), [[1.0, 2.5], [0.4, -1.0]], [0.1, 0.2], [0.6, 0.4])
    known, mask = torch.tensor([0.6, 0.0], dtype=torch.float64), torch.tensor([True, False])
    got = process.inpaint(known, mask, PARTICLES, generator=generator(5), steps=150)
    assert bool((got.x[:, 0] == known[0]).all())
    first = process.logits + Torus(1).heat_kernel(process.centres[:, :1], known[:1], process.spread)
    angle = ((torch.arange(400, dtype=torch.float64) + 0.5) * 2 * math.pi / 400 - math.pi).unsqueeze(-1)
    parts = first + Torus(1).heat_kernel(process.centres[:, 1:], angle.unsqueeze(-2), process.spread)
    truth = torch.softmax(torch.logsumexp(parts, -1), 0)
    weights = got.log_weights.exp()
    for wave in (torch.cos, torch.sin, lambda x: torch.cos(2 * x), lambda x: torch.sin(2 * x)):
        expected = (truth * wave(angle).squeeze(-1)).sum()
        assert abs(float((weights * wave(got.x[:, 1])).sum() - expected)) < 0.12
    assert abs(got.log_evidence - float(torch.logsumexp(first, 0))) < 0.15


def test_curved_factors_are_known_as_a_whole():
    torus_and_sphere = Product(Torus(1), Sphere(2))
    process = KernelMixture(Product(Torus(1), Sphere(2)), torus_and_sphere.origin(1), torch.ones(1), [1.0])
    split = torch.tensor([True, True, False, False])
    with pytest.raises(UsageError, match="part of a point of sphere:2"):
        process.inpaint(torus_and_sphere.origin(), split, 10)
    with pytest.raises(UsageError, match="booleans"):
        process.inpaint(torus_and_sphere.origin(), split.float(), 10)


def test_an_impossible_likelihood_is_refused():
    process = mixture(Torus(1), [[1.0]], [0.1], [1.0])
    with pytest.raises(DataError, match="zero"):
        process.sample_posterior(lambda x: x.sum(-1) * 0 - torch.inf, 50, generator=generator(6), steps=5)


def test_systematic_draws_keep_the_expected_counts():
    weights = torch.tensor([0.5, 0.25, 0.25]).log()
    assert systematic(weights, 8, generator(7)).bincount().tolist() == [4, 2, 2]
    assert effective_size(weights) == pytest.approx(8 / 3, rel=1e-5)
