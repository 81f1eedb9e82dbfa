"""Brownian motion: total mass, semigroup law, sampler, geodesic random walk. Each check errs once in 1e6 seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from manifold_gen.manifolds import Manifold, from_spec

RADIAL = ["sphere:1", "sphere:2", "sphere:3", "sphere:4", "so3", "lorentz:1", "lorentz:2", "lorentz:3"]
TIMES = [1e-4, 0.1, 0.4, 1.7, 6.0]


def distance_law(m: Manifold, t: float, cells: int = 4000) -> tuple[Tensor, Tensor]:
    """A grid of distances and the probability of each of its cells, from the kernel and the volume of spheres."""
    reach = min(m.injectivity_radius, m.dim * t + 9 * math.sqrt(m.dim * t))
    r = (torch.arange(cells, dtype=torch.float64) + 0.5) * (reach / cells)
    x = m.origin(cells, dtype=r.dtype)
    u = m.from_coordinates(x, torch.nn.functional.one_hot(torch.tensor(0), m.dim).to(r) * r.unsqueeze(-1))
    area = math.log(2) + 0.5 * m.dim * math.log(math.pi) - math.lgamma(0.5 * m.dim)
    density = m.heat_kernel(x, m.expmap(x, u), t) + area + (m.dim - 1) * r.log() + m.log_det_exp(x, u)
    return r, density.exp() * (reach / cells)


@pytest.mark.parametrize("spec", RADIAL)
@pytest.mark.parametrize("t", TIMES)
def test_mass_is_one_and_the_sampler_draws_from_it(spec: str, t: float, generator, failure_rate: float) -> None:
    m = from_spec(spec)
    r, mass = distance_law(m, t)
    assert float(mass.sum()) == pytest.approx(1.0, abs=2e-5)
    x = m.origin(dtype=torch.float64)
    y = m.sample_heat_kernel(x, torch.full((4000,), t, dtype=torch.float64), generator)
    assert m.check_point_on_manifold(y) or spec.startswith("lorentz")
    edges, levels = (r + r[0]).numpy(), mass.cumsum(0).numpy()
    p = stats.kstest(m.dist(x, y).numpy(), lambda a: np.interp(a, edges, levels)).pvalue
    assert p > failure_rate, f"{spec} at t = {t}: p = {p:.2g}"


@pytest.mark.parametrize("spec", ["torus:2", "euclidean:2", "points:2,2,1", "so3 x torus:1", *RADIAL])
def test_semigroup(spec: str, generator, failure_rate: float) -> None:
    """E k_t(z, y) = k_{s+t}(x, y) for z Brownian from x at time s."""
    m = from_spec(spec)
    x = m.origin(20_000, dtype=torch.float64)
    y = m.sample_heat_kernel(x[:1], 0.5, generator)
    s, t = 0.3, 0.6
    ratio = torch.exp(m.heat_kernel(m.sample_heat_kernel(x, s, generator), y, t) - m.heat_kernel(x[:1], y, s + t))
    limit = stats.norm.isf(failure_rate / 2) * float(ratio.std()) / math.sqrt(len(ratio))
    assert abs(float(ratio.mean()) - 1) < limit + 1e-4
    broken = torch.exp(m.heat_kernel(m.sample_heat_kernel(x, 2 * s, generator), y, t) - m.heat_kernel(x[:1], y, s + t))
    assert abs(float(broken.mean()) - 1) > limit  # the generator Δ in place of ½Δ


@pytest.mark.parametrize("spec", ["torus:2", "sphere:2", "so3", "lorentz:2"])
def test_a_geodesic_random_walk_arrives_with_the_same_law(spec: str, generator, failure_rate: float) -> None:
    m, t, steps = from_spec(spec), 0.7, 60
    x = m.origin(3000, dtype=torch.float64)
    y = x
    for _ in range(steps):
        y = m.expmap(y, math.sqrt(t / steps) * m.random_tangent(y, generator=generator))
    direct = m.sample_heat_kernel(x, t, generator)
    p = stats.ks_2samp(m.dist(x, y).numpy(), m.dist(x, direct).numpy()).pvalue
    assert p > failure_rate, f"p = {p:.2g}"


@pytest.mark.parametrize("spec", RADIAL)
def test_score_obeys_greens_identity(spec: str, generator, failure_rate: float) -> None:
    """E⟨score, ∇f⟩ = −E Δf for f = sin²(r/2) (sinh² where the curvature is negative), whose Laplacian is known."""
    m, t = from_spec(spec), 0.4
    x = m.origin(20_000, dtype=torch.float64)
    y = m.sample_heat_kernel(x, t, generator)
    h, _ = m.half_distance(x, y)
    sign = -1.0 if spec.startswith("lorentz") else 1.0
    laplacian = 1.5 - 2 * h if spec == "so3" else 0.5 * m.dim * (1 - sign * 2 * h)
    values = m.inner(y, m.heat_kernel_score(x, y, t), m.half_distance_gradient(x, y)) + laplacian
    limit = stats.norm.isf(failure_rate / 2) * float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean())) < limit


@pytest.mark.parametrize("spec", ["torus:2", "sphere:2", "so3"])
def test_draws_are_reproducible_and_broadcast(spec: str) -> None:
    m = from_spec(spec)
    before = torch.get_rng_state()
    one, same = (m.sample_heat_kernel(m.origin(3, 1), torch.ones(4), torch.Generator().manual_seed(1)) for _ in "ab")
    assert torch.equal(one, same)
    assert one.shape == (3, 4, *m.shape)
    assert torch.equal(before, torch.get_rng_state())
    assert m.heat_kernel(m.origin(3, 1), one, torch.ones(4)).shape == (3, 4)
    assert m.heat_kernel_score(m.origin(3, 1), one, torch.ones(4)).shape == one.shape
