"""What is particular to spheres: antipodes, frames, draws, errors."""

from __future__ import annotations

import math

import pytest
import torch

from manifold_gen.errors import CutLocusError, UsageError
from manifold_gen.manifolds import Sphere


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_frame_and_point_make_a_rotation(n: int, dtype: torch.dtype, generator: torch.Generator) -> None:
    m = Sphere(n)
    x = torch.cat([m.random_uniform(50, generator=generator, dtype=dtype), torch.eye(n + 1, dtype=dtype)])
    x = torch.cat([x, -x])
    matrix = torch.cat([x.unsqueeze(-2), m.tangent_basis(x)], -2)
    eps = torch.finfo(dtype).eps
    assert float((matrix @ matrix.mT - torch.eye(n + 1, dtype=dtype)).abs().amax()) <= 8 * eps
    assert float((torch.linalg.det(matrix) - 1).abs().amax()) <= 20 * eps


def test_antipodes_are_finite_flagged_and_refused(dtype: torch.dtype, generator: torch.Generator) -> None:
    m = Sphere(3)
    x = m.random_uniform(20, generator=generator, dtype=dtype)
    y = -x
    u = m.logmap(x, y)
    assert torch.equal(m.at_cut_locus(x, y), torch.ones(20, dtype=torch.bool))
    assert float((u.norm(dim=-1) - math.pi).abs().amax()) <= 1e-5
    assert float((m.expmap(x, u) - y).abs().amax()) <= 1e-5
    assert float((m.dist(x, y) - math.pi).abs().amax()) <= 1e-6
    moved = m.transp(x, y, m.tangent_basis(x)[:, 1])
    assert float((moved.norm(dim=-1) - 1).abs().amax()) <= 1e-5
    with pytest.raises(CutLocusError, match=r"2 of 20 pairs on sphere:3 .*index \(4,\)"):
        m.checked_logmap(x, torch.where(torch.isin(torch.arange(20), torch.tensor([4, 9])).unsqueeze(-1), y, x))


def test_gradients_at_antipodes_are_finite(dtype: torch.dtype) -> None:
    m = Sphere(2)
    x = torch.tensor([0.6, 0.0, 0.8], dtype=dtype)
    for function in (m.dist, m.dist2, lambda a, b: m.logmap(a, b).sum()):
        slope = torch.func.grad(function, argnums=1)(x, -x)
        assert bool(torch.isfinite(slope).all())


def test_near_antipodes_are_not_cut() -> None:
    m = Sphere(2)
    x = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    y = torch.tensor([-1.0, 1e-9, 0.0], dtype=torch.float64)
    assert not bool(m.at_cut_locus(x, y))
    expected = torch.tensor([0.0, math.pi - 1e-9, 0.0], dtype=torch.float64)
    assert float((m.logmap(x, y) - expected).abs().amax()) <= 1e-15


def test_projection_of_the_zero_vector_is_not_a_number() -> None:
    assert bool(torch.isnan(Sphere(2).projx(torch.zeros(3))).all())


def test_no_dimension_below_one() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        Sphere(0)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(half: torch.dtype, generator: torch.Generator) -> None:
    m = Sphere(2)
    x, y = (m.random_uniform(30, generator=generator).to(half) for _ in range(2))
    assert torch.equal(m.logmap(x, y), m.logmap(x.float(), y.float()).to(half))
    assert m.random_uniform(4, generator=generator, dtype=half).dtype == half
    leaf = y.clone().requires_grad_()
    (slope,) = torch.autograd.grad(m.dist(x, leaf).sum(), leaf)
    assert slope.dtype == half
    assert bool(torch.isfinite(slope).all())


def test_points_are_validated() -> None:
    m = Sphere(2)
    good = m.origin(4)
    assert m.check_point_on_manifold(good)
    fine, reason = m.check_point_on_manifold(1.01 * good, explain=True)
    assert not fine
    assert "0.01" in reason
