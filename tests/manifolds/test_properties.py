"""Properties that hold at every magnitude, searched by hypothesis."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from manifold_gen.manifolds import Lorentz, Manifold, PoincareBall, Sphere, Torus

magnitudes = st.one_of(st.floats(0, math.pi - 1e-9), st.floats(-15, 0).map(lambda e: 10.0**e))
seeds = st.integers(0, 2**31)


def point_and_step(m: Manifold, seed: int, length: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = m.unembed(torch.randn(m.embed_dim, generator=generator, dtype=torch.float64))
    u = m.random_tangent(x, generator=generator)
    return x, length * u / m.norm(x, u)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=seeds, length=magnitudes, n=st.integers(1, 6))
def test_sphere_distance_is_the_step(seed: int, length: float, n: int) -> None:
    m = Sphere(n)
    x, u = point_and_step(m, seed, length)
    y = m.expmap(x, u)
    assert abs(float(m.dist(x, y)) - length) <= 4e-15
    assert float((m.logmap(x, y) - u).norm()) <= 2e-15 * (1 + length / max(math.pi - length, 1e-15))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=seeds, length=magnitudes, n=st.integers(1, 7))
def test_torus_distance_is_the_step(seed: int, length: float, n: int) -> None:
    m = Torus(n)
    x, u = point_and_step(m, seed, length)
    assert abs(float(m.dist(x, m.expmap(x, u))) - length) <= 1e-14


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=seeds, length=magnitudes, n=st.integers(1, 4), ball=st.booleans())
def test_hyperbolic_distance_is_the_step(seed: int, length: float, n: int, ball: bool) -> None:
    m = PoincareBall(n) if ball else Lorentz(n)
    x, u = point_and_step(m, seed, length)
    growth = math.exp(float(m.embed(x).norm()) + length)
    assert abs(float(m.dist(x, m.expmap(x, u))) - length) <= 4e-16 * growth + 4e-15


@settings(max_examples=300, deadline=None, derandomize=True)
@given(angle=st.floats(-1e4, 1e4))
def test_wrapped_angles_are_in_range_and_equivalent(angle: float) -> None:
    wrapped = Torus(1).projx(torch.tensor([angle], dtype=torch.float64))
    assert -math.pi <= float(wrapped) < math.pi
    assert abs(math.sin((float(wrapped) - angle) / 2)) <= 1e-12
