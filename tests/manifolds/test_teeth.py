"""The checker fails on broken manifolds, each on the law that its fault breaks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from manifold_gen.manifolds import Lorentz, Manifold, PoincareBall, Sphere, Torus
from manifold_gen.testing import check_manifold


class WrongVolume(Sphere):
    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.log_volume += math.log(1.1)


class LongSteps(Sphere):
    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        return super().expmap(x, 1.001 * u)


class HalfSpeedBall(PoincareBall):
    """The convention trap: exp_0(v) at distance 2|v|."""

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False) -> Tensor:
        return 0.5 * super().norm(x, u, keepdim=keepdim)


class LeakyProjection(Sphere):
    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        return u - 0.9 * (x * u).sum(-1, keepdim=True) * x


class NaNAtZero(Sphere):
    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        r = u.norm(dim=-1, keepdim=True)
        naive = torch.cos(r) * x + torch.sin(r) * u / r
        return torch.where(r > 0, naive, x)


class ClampedDistance(Sphere):
    """As widely used: acos of a clamped inner product."""

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        eps = {torch.float32: 1e-4, torch.float64: 1e-7}.get(x.dtype, 1e-2)
        return torch.acos((x * y).sum(-1, keepdim=keepdim).clamp(-1 + eps, 1 - eps))


class FlatJacobian(Sphere):
    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        return 0 * u.sum(-1)


class ForgottenMetric(PoincareBall):
    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        return 0 * x.sum(-1)


class FlippingFrame(Sphere):
    def tangent_basis(self, x: Tensor) -> Tensor:
        sign = torch.where(x[..., :1] < 0, -1.0, 1.0).to(x.dtype).unsqueeze(-1)
        frame = super().tangent_basis(x)
        return torch.cat([frame[..., :1, :] * sign, frame[..., 1:, :]], -2)


class SkewFrame(Sphere):
    def tangent_basis(self, x: Tensor) -> Tensor:
        return 1.01 * super().tangent_basis(x)


class ForwardFrame(PoincareBall):
    """Stops the reverse mode alone."""

    def tangent_basis(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return (0.5 - 0.5 * (x * x).sum(-1))[..., None, None] * torch.eye(self.dim, dtype=x.dtype)


class ClusteredDraws(Sphere):
    def random_uniform(self, *size: int, **options: object) -> Tensor:
        x = super().random_uniform(*size, **options)
        tilt = torch.zeros(self.shape, dtype=x.dtype)
        tilt[0] = 0.3
        return self.projx(x + tilt)


class EuclideanForm(Lorentz):
    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        return u - (x * u).sum(-1, keepdim=True) / (x * x).sum(-1, keepdim=True) * x


class RawGradient(PoincareBall):
    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        return u


class LazyTransport(Sphere):
    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return self.proju(y, v)


class LossyWrap(Torus):
    """Wraps by adding and subtracting π, which forgets small angles."""

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.remainder(y - x + math.pi, 2 * math.pi) - math.pi


class TrailingOne(Sphere):
    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        return super().log_det_exp(x, u).unsqueeze(-1)


class DoubleOnly(Sphere):
    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        return super().dist(x.double(), y.double(), keepdim=keepdim)


class GlobalDraws(Sphere):
    def random_uniform(self, *size: int, **options: object) -> Tensor:
        return super().random_uniform(*size, **{**options, "generator": None})


class ShrunkAngles(Torus):
    def unembed(self, y: Tensor) -> Tensor:
        return 0.99 * super().unembed(y)


class StuckDisplacement(Sphere):
    """Ignores one component of the network's output."""

    def displace(self, x: Tensor, y: Tensor) -> Tensor:
        return super().displace(x, torch.cat([0 * y[..., :2], y[..., 2:]], -1))


BROKEN: list[tuple[Manifold, torch.dtype, str]] = [
    (WrongVolume(2), torch.float64, "log_volume_is_the_volume"),
    (LongSteps(2), torch.float64, "log_inverts_exp"),
    (LongSteps(2), torch.float32, "exp_at_zero_is_the_point"),
    (HalfSpeedBall(2), torch.float64, "dist_is_the_length_of_log"),
    (LeakyProjection(2), torch.float64, "proju_is_a_linear_projection"),
    (NaNAtZero(2), torch.float64, "exp_at_zero_is_the_point"),
    (ClampedDistance(2), torch.float32, "small_distances_keep_relative_accuracy"),
    (ClampedDistance(2), torch.float64, "small_distances_keep_relative_accuracy"),
    (ClampedDistance(2), torch.float32, "distance_has_unit_slope"),
    (FlatJacobian(2), torch.float64, "log_det_exp_matches_autodiff"),
    (FlatJacobian(2), torch.float64, "log_volume_is_the_volume"),
    (ForgottenMetric(2), torch.float64, "log_sqrt_det_metric_moves_with_the_metric"),
    (FlippingFrame(2), torch.float64, "frame_keeps_its_orientation"),
    (SkewFrame(2), torch.float64, "frame_is_orthonormal"),
    (ForwardFrame(2), torch.float64, "frame_is_orthonormal"),
    (ClusteredDraws(2), torch.float64, "divergences_integrate_to_zero"),
    (EuclideanForm(2), torch.float64, "proju_is_orthogonal"),
    (RawGradient(2), torch.float64, "riemannian_gradient_represents_the_differential"),
    (LazyTransport(2), torch.float64, "parallel_transport_is_isometric"),
    (LossyWrap(2), torch.float32, "small_distances_keep_relative_accuracy"),
    (TrailingOne(2), torch.float64, "log_det_exp_matches_autodiff"),
    (DoubleOnly(2), torch.float32, "dtype_and_device_are_kept"),
    (GlobalDraws(2), torch.float64, "draws_follow_the_generator"),
    (StuckDisplacement(2), torch.float64, "displacement_starts_at_the_point"),
    (ShrunkAngles(2), torch.float64, "embedding_is_inverted"),
]


@pytest.mark.parametrize(
    ("broken", "dtype_broken", "law"), BROKEN, ids=[f"{type(m).__name__}-{law}" for m, _, law in BROKEN]
)
def test_a_broken_manifold_fails_its_law(broken: Manifold, dtype_broken: torch.dtype, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_manifold(broken, dtype=dtype_broken, laws=[law])


def test_all_broken_laws_are_reported_together() -> None:
    with pytest.raises(
        AssertionError, match=r"(?s)breaks 2 law.*frame_is_orthonormal.*coordinates_round_trip"
    ) as caught:
        check_manifold(SkewFrame(2), laws=["frame_is_orthonormal", "coordinates_round_trip", "dist_is_a_metric"])
    assert "dist_is_a_metric" not in str(caught.value)
