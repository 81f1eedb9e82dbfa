"""What is particular to hyperbolic space: two models, one isometry, conventions, and how far float32 reaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Euclidean, Lorentz, PoincareBall
from manifold_gen.manifolds.hyperbolic import lorentz_to_poincare, poincare_to_lorentz

N = 3


@pytest.fixture
def pairs(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    m = PoincareBall(N)
    x, y = (m.unembed(1.5 * torch.randn(40, N, generator=generator, dtype=torch.float64)) for _ in range(2))
    return x, y, m.random_tangent(x, generator=generator)


def test_the_models_are_isometric(pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    ball, sheet = PoincareBall(N), Lorentz(N)
    x, y, u = pairs
    a, b = poincare_to_lorentz(x), poincare_to_lorentz(y)
    _, v = torch.func.jvp(poincare_to_lorentz, (x,), (u,))
    assert torch.allclose(lorentz_to_poincare(a), x, rtol=0, atol=1e-14)
    assert torch.allclose(sheet.projx(a), a, rtol=1e-13)
    assert torch.allclose(sheet.dist(a, b), ball.dist(x, y), rtol=1e-12)
    assert torch.allclose(sheet.norm(a, v), ball.norm(x, u), rtol=1e-11)
    assert torch.allclose(lorentz_to_poincare(sheet.expmap(a, v)), ball.expmap(x, u), rtol=0, atol=1e-12)
    assert torch.allclose(sheet.log_det_exp(a, v), ball.log_det_exp(x, u), rtol=1e-10)
    _, moved = torch.func.jvp(poincare_to_lorentz, (y,), (ball.transp(x, y, u),))
    assert float(sheet.norm(b, moved - sheet.transp(a, b, v)).amax()) <= 1e-8
    assert torch.allclose(sheet.embed(a), ball.embed(x), rtol=0, atol=1e-11)


def test_frames_correspond(pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    x = pairs[0]
    ball, sheet = PoincareBall(N).tangent_basis(x), Lorentz(N).tangent_basis(poincare_to_lorentz(x))
    for i in range(N):
        _, pushed = torch.func.jvp(poincare_to_lorentz, (x,), (ball[:, i],))
        assert torch.allclose(pushed, sheet[:, i], rtol=0, atol=1e-10 * float(sheet.abs().amax()))


@pytest.mark.parametrize("m", [PoincareBall(N), Lorentz(N)], ids=str)
def test_exp_at_the_origin_goes_as_far_as_the_metric_says(m: PoincareBall | Lorentz, dtype: torch.dtype) -> None:
    origin = m.origin(dtype=dtype)
    for length in (1e-6, 0.1, 2.5):
        u = length * m.tangent_basis(origin)[0]
        assert float(m.norm(origin, u)) == pytest.approx(length, rel=1e-6)
        assert float(m.dist(origin, m.expmap(origin, u))) == pytest.approx(length, rel=1e-5)
        coordinates = length * torch.eye(N, dtype=dtype)[0]
        assert float(m.dist(origin, m.unembed(coordinates))) == pytest.approx(length, rel=1e-5)
        assert torch.allclose(m.unembed(coordinates), m.expmap(origin, u), rtol=1e-5, atol=0)


def test_poincare_volume_element_is_the_cube_of_lambda(pairs: tuple[Tensor, Tensor, Tensor]) -> None:
    x = pairs[0]
    expected = N * torch.log(2 / (1 - x.square().sum(-1)))
    assert torch.allclose(PoincareBall(N).log_sqrt_det_metric(x), expected, rtol=1e-12)


@pytest.mark.parametrize("m", [PoincareBall(2), Lorentz(2)], ids=str)
def test_points_beyond_the_safe_radius_are_refused(m: PoincareBall | Lorentz, dtype: torch.dtype) -> None:
    reach = m.safe_radius(dtype)
    inside = m.unembed(torch.tensor([[0.95 * reach, 0.0]], dtype=dtype))
    outside = m.unembed(torch.tensor([[1.05 * reach, 0.0]], dtype=dtype))
    assert m.check_point_on_manifold(inside)
    fine, reason = m.check_point_on_manifold(outside, explain=True)
    assert not fine
    assert "use float64" in reason


def test_the_edge_of_the_ball_is_no_point(dtype: torch.dtype) -> None:
    m = PoincareBall(2)
    edge = torch.tensor([[1.0, 0.0]], dtype=dtype)
    fine, reason = m.check_point_on_manifold(edge, explain=True)
    assert not fine
    assert "below 1" in reason
    pulled = m.projx(3 * edge)
    assert float(pulled.norm()) < 1
    assert bool(torch.isfinite(m.dist(pulled, -pulled)).all())


def test_far_exponentials_stay_inside(dtype: torch.dtype) -> None:
    m = PoincareBall(2)
    y = m.unembed(torch.tensor([[300.0, 0.0]], dtype=dtype))
    assert float(y.norm()) < 1
    u = torch.tensor([[1e3, 0.0]], dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(m.expmap(m.origin(1, dtype=dtype), u).sum(), u)
    assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("family", [PoincareBall, Lorentz, Euclidean])
def test_no_dimension_below_one(family: type) -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        family(0)


def test_there_is_no_uniform_distribution() -> None:
    with pytest.raises(ValueError, match="infinite volume"):
        PoincareBall(2).random_uniform(3)
