"""The rotation group SO(3), its points as 3×3 matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.conversions import (
    axis_angle_from_quaternion,
    hat,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    quaternion_from_displacement,
    vee,
)
from manifold_gen.manifolds.heat.radial import RadialHeatKernel
from manifold_gen.manifolds.heat.spheres import rotation_law
from manifold_gen.manifolds.procrustes import nearest_rotation
from manifold_gen.numerics import safe_sqrt, sinc_sqrt


class SO3(RadialHeatKernel, Manifold):
    """Rotation matrices with ⟨u, v⟩ = ½ tr(uᵀv): the distance is the rotation angle, the volume 8π²."""

    name = "so3"
    ndim = 2
    shape = (3, 3)
    dim = 3
    log_volume = math.log(8 * math.pi**2)
    injectivity_radius = math.pi
    curvature = 0.25
    parallel_transport = True
    spec = "so3"
    heat_law = rotation_law()

    def projx(self, x: Tensor) -> Tensor:
        return nearest_rotation(x)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        return x @ hat(vee(x.mT @ u))

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        return x @ matrix_from_axis_angle(vee(x.mT @ u))

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ hat(axis_angle_from_quaternion(_quaternion(x, y)))

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        return 0.5 * self._sum(u * (u if v is None else v), keepdim=keepdim)

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        half_sin = safe_sqrt(self._sum((x - y).square(), keepdim=keepdim)) / math.sqrt(8)
        half_cos = _quaternion(x, y)[..., 0]
        return 2 * torch.atan2(half_sin, half_cos.reshape(half_sin.shape))

    def dist2_matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """arccos²((tr xᵀy − 1) / 2): absolute error of a few roundings, and of their root next to half a turn."""
        trace = x.flatten(-2) @ y.flatten(-2).mT
        return (0.5 * (trace - 1)).clamp(-1.0, 1.0).acos().square()

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        return 2 * self.proju(x, u)

    def at_cut_locus(self, x: Tensor, y: Tensor) -> Tensor:
        return _quaternion(x, y)[..., 0] <= 4 * torch.finfo(x.dtype).eps

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        half = matrix_from_axis_angle(0.5 * axis_angle_from_quaternion(_quaternion(x, y)))
        return x @ half @ x.mT @ v @ half

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        return torch.eye(3, dtype=dtype, device=device).expand(*size, 3, 3).clone()

    @property
    def displacement_dim(self) -> int:
        """3: a rotation vector in the body frame."""
        return 3

    def displace(self, x: Tensor, y: Tensor) -> Tensor:
        """Cayley step x (1 + 2 (ŵ + ŵ²) / (1 + |w|²)) with w = y / 2 in the body frame, ŵ = hat(w).

        It turns x about y by the angle 2 atan(|y|/2): rational, smooth for every ``y``, short of half a turn. The
        left-invariant frame is global, so three numbers reach every direction.
        """
        w = 0.5 * y
        skew = hat(w)
        scale = 2 / (1 + (w * w).sum(-1))
        return x + x @ (scale[..., None, None] * (skew + skew @ skew))

    def tangent_basis(self, x: Tensor) -> Tensor:
        first, second, third = x.detach().unbind(-1)
        zero = torch.zeros_like(first)
        frames = [zero, third, -second, -third, zero, first, second, -first, zero]
        return torch.stack(frames, -2).unflatten(-2, (3, 3)).transpose(-1, -2)

    def from_coordinates(self, x: Tensor, coordinates: Tensor) -> Tensor:
        return x @ hat(coordinates)

    def to_coordinates(self, x: Tensor, u: Tensor) -> Tensor:
        return vee(x.mT @ u)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        return matrix_from_quaternion(torch.randn(*size, 4, generator=generator, dtype=dtype, device=device))

    def half_distance(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """sin²(r/2) = |y − x|²/8 and cos²(r/2) = w² of the quaternion (w, …) of xᵀy."""
        trace = self._sum(x * y)  # cos²(r/2) = (1 + trace) / 4 has the derivative, the quaternion the precision
        g = _quaternion(x, y)[..., 0].detach().square() + 0.25 * (trace - trace.detach())
        return self._sum((y - x).square()) / 8, g

    def half_distance_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """−½ times the tangential part of x at y."""
        return -0.5 * self.proju(y, x - y)

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        """2 log |sin(r/2) / (r/2)| with r = |u|, the angle."""
        return 2 * torch.log(sinc_sqrt(self.inner(x, u) / 4).abs())

    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        return torch.full_like(x[..., 0, 0], -1.5 * math.log(2))


def _quaternion(x: Tensor, y: Tensor) -> Tensor:
    """Quaternion of xᵀy, from the difference y − x so that small angles keep their relative accuracy."""
    return quaternion_from_displacement(x.mT @ (y - x))
