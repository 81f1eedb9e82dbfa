"""SO(3): the Procrustes projection, and what the laws do not say about the manifold."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch3d import transforms
from scipy.stats import kstest
from torch import Tensor

from manifold_gen.manifolds import SO3
from manifold_gen.manifolds.polar import polar, special_polar
from manifold_gen.manifolds.procrustes import nearest_rotation

EYE = torch.eye(3, dtype=torch.float64)


def by_decomposition(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The reference in float64, with the relative distance from a tie and the largest overlap ⟨R, a⟩."""
    u, s, vh = torch.linalg.svd(a.double())
    sign = torch.linalg.det(u @ vh).round()
    r = torch.cat([u[..., :2], u[..., 2:] * sign[..., None, None]], -1) @ vh
    return r, (s[..., 1] + sign * s[..., 2]) / s[..., 0], s[..., 0] + s[..., 1] + sign * s[..., 2]


def matrices(kind: str, generator: torch.Generator) -> Tensor:
    a = torch.randn(20_000, 3, 3, generator=generator, dtype=torch.float64)
    rotation = by_decomposition(a.flip(0))[0]
    return {
        "any": a,
        "nearer to a reflection": a * -torch.linalg.det(a).sign()[:, None, None],
        "rotations": rotation,
        "near rotations": rotation + 1e-2 * a,
        "rank two": a - a[:, :, :1] @ torch.linalg.pinv(a[:, :, :1]) @ a,
        "tiny": 1e-20 * a,
        "huge": 1e20 * a,
    }[kind]


@pytest.mark.parametrize(
    "kind", ["any", "nearer to a reflection", "rotations", "near rotations", "rank two", "tiny", "huge"]
)
def test_projection_equals_the_decomposition(kind: str, dtype: torch.dtype, generator: torch.Generator) -> None:
    a = matrices(kind, generator).to(dtype)
    r, eps = nearest_rotation(a), torch.finfo(dtype).eps
    expected, gap, _ = by_decomposition(a)
    error = (r.double() - expected).abs().amax((-2, -1)) * gap.clamp(max=1.0)
    limit = 6 if dtype == torch.float32 else 80  # in float64 the reference itself is off by some ten units
    assert float(error.amax()) < limit * eps
    assert float((r @ r.mT - EYE.to(dtype)).abs().amax()) < 16 * eps
    assert float((torch.linalg.det(r) - 1).abs().amax()) < 32 * eps


def test_projection_of_ties_is_one_of_the_nearest(dtype: torch.dtype, generator: torch.Generator) -> None:
    rotation = by_decomposition(torch.randn(500, 3, 3, generator=generator, dtype=torch.float64))[0].to(dtype)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=dtype))
    line = torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=dtype))
    special = torch.stack([-EYE.to(dtype), mirror, line, -line, 0 * line])
    for a in (-rotation, rotation @ mirror, rotation @ line, special):
        r = nearest_rotation(a)
        best = by_decomposition(a)[2]
        torch.testing.assert_close((r * a).sum((-2, -1)).double(), best, rtol=0, atol=50 * torch.finfo(dtype).eps)
        assert float((torch.linalg.det(r) - 1).abs().amax()) < 32 * torch.finfo(dtype).eps


def test_one_bad_matrix_spoils_no_other() -> None:
    a = torch.stack([EYE, EYE * math.nan, -EYE])
    r = nearest_rotation(a)
    assert torch.equal(r[0], EYE)
    assert bool(torch.isnan(r[1]).all())
    assert float(torch.linalg.det(r[2])) == pytest.approx(1)


def test_projection_has_right_derivatives_in_every_mode(generator: torch.Generator) -> None:
    generic = torch.randn(4, 3, 3, generator=generator, dtype=torch.float64)
    reflected = generic * -torch.linalg.det(generic).sign()[:, None, None]
    for a in (generic, reflected, EYE[None], 3 * by_decomposition(generic)[0]):
        a = a.detach().clone().requires_grad_()
        assert torch.autograd.gradcheck(nearest_rotation, a, check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(nearest_rotation, a)


def test_transforms_nest(generator: torch.Generator) -> None:
    a, v = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)

    def bent(z: Tensor) -> Tensor:
        return (nearest_rotation(z) ** 3).sum()

    mapped = torch.func.vmap(torch.func.hessian(bent))(a)
    looped = torch.stack([torch.autograd.functional.hessian(bent, z) for z in a])
    torch.testing.assert_close(mapped, looped)
    slope = torch.func.grad(lambda z: torch.func.jvp(nearest_rotation, (z,), (v,))[1].square().sum())(a)
    back = torch.func.grad(lambda z: torch.func.vjp(nearest_rotation, z)[1](v)[0].square().sum())(a)
    torch.testing.assert_close(slope, back)


def test_derivative_at_a_rotation_is_the_tangent_projection(dtype: torch.dtype, generator: torch.Generator) -> None:
    m = SO3()
    x = m.random_uniform(50, generator=generator, dtype=dtype)
    v = torch.randn(50, 3, 3, generator=generator, dtype=dtype)
    slope = torch.func.jvp(m.projx, (x,), (v,))[1]
    torch.testing.assert_close(slope, m.proju(x, v))


def test_polar_factors_have_right_derivatives(generator: torch.Generator) -> None:
    for function, shape in ((polar, (2, 4, 2)), (polar, (2, 3, 3)), (special_polar, (3, 4, 4))):
        for a in (torch.randn(shape, generator=generator, dtype=torch.float64), torch.eye(*shape[1:]).double()[None]):
            a = a.clone().requires_grad_()
            assert torch.autograd.gradcheck(function, a, check_forward_ad=True)
            assert torch.autograd.gradgradcheck(function, a)


def test_distance_agrees_with_pytorch3d(generator: torch.Generator) -> None:
    x, y = SO3().random_uniform(2, 100, generator=generator, dtype=torch.float64)
    angle = transforms.so3_relative_angle(x, y, eps=1e-12)
    torch.testing.assert_close(SO3().dist(x, y), angle, rtol=0, atol=1e-7)


def test_uniform_rotations_are_haar(generator: torch.Generator) -> None:
    x = SO3().random_uniform(20_000, generator=generator, dtype=torch.float64)
    eye = EYE.expand_as(x)
    p = kstest(SO3().dist(eye, x).numpy(), lambda t: (t - torch.sin(torch.tensor(t)).numpy()) / math.pi).pvalue
    assert p > 1e-4


def test_opposite_rotations_are_at_the_cut_locus(dtype: torch.dtype) -> None:
    eye = torch.eye(3, dtype=dtype)
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=dtype))
    assert bool(SO3().at_cut_locus(eye, half_turn))
    assert float(SO3().dist(eye, half_turn)) == pytest.approx(math.pi)
    assert float(SO3().norm(eye, SO3().logmap(eye, half_turn))) == pytest.approx(math.pi)


def test_frame_is_the_left_invariant_one() -> None:
    frame = SO3().tangent_basis(EYE)
    turns = torch.stack([frame[i] @ frame[j] - frame[j] @ frame[i] for i, j in ((0, 1), (1, 2), (2, 0))])
    assert torch.equal(turns, frame[[2, 0, 1]])
