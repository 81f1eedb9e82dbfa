"""The unit sphere Sⁿ in R^{n+1}."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.heat.radial import RadialHeatKernel
from manifold_gen.manifolds.heat.spheres import sphere_law
from manifold_gen.numerics import angle_over_sine, cos_sqrt, safe_sqrt, sinc_sqrt


class Sphere(RadialHeatKernel, Manifold):
    """Sⁿ = {x ∈ R^{n+1} : |x| = 1} with the induced metric: curvature 1, injectivity radius π.

    Its volume is 2 π^{(n+1)/2} / Γ((n+1)/2). Every formula works on y − x (or y + x beyond a right angle) projected at
    x, which loses nothing to cancellation, so that distances of 1e-8 and of π − 1e-4 are right in either precision.

    At the antipode the logarithm is not unique. ``logmap`` and ``transp`` then follow the first vector of
    ``tangent_basis(x)``: finite, of the right length, and arbitrary; ``at_cut_locus`` says where that happens.

    >>> sphere = Sphere(2)
    >>> x, y = torch.eye(3)[0], torch.eye(3)[1]
    >>> sphere.logmap(x, y)
    tensor([0.0000, 1.5708, 0.0000])
    >>> round(math.exp(sphere.log_volume) / math.pi, 6)
    4.0

    Args:
        n: intrinsic dimension, at least 1.

    Raises:
        UsageError: ``n`` is below 1.
    """

    name = "sphere"
    parallel_transport = True
    curvature = 1.0
    injectivity_radius = math.pi

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"Sphere needs an intrinsic dimension of at least 1, got {n}")
        self.shape = (n + 1,)
        self.dim = n
        half = (n + 1) / 2
        self.log_volume = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
        self.spec = f"sphere:{n}"
        self.heat_law = sphere_law(n)

    def projx(self, x: Tensor) -> Tensor:
        """x / |x|; the zero vector has no nearest point and gives NaN."""
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """u − ⟨x, u⟩ x."""
        return u - (x * u).sum(-1, keepdim=True) * x

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """cos|u| x + sin|u| u / |u|, renormalised."""
        squared = (u * u).sum(-1, keepdim=True)
        return self.projx(cos_sqrt(squared) * x + sinc_sqrt(squared) * u)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """θ p / |p| with p the tangential part of y at x; at the antipode π times the first basis vector."""
        tangential, squared, cosine = self._decompose(x, y)
        cut = self._is_cut(squared, cosine)
        pick = math.pi * self._first_frame_vector(x)
        return torch.where(cut, pick, angle_over_sine(squared, cosine) * tangential)

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Angle between x and y: atan2(|p|, ⟨x, y⟩); gradient zero where x = y."""
        _, squared, cosine = self._decompose(x, y)
        angle = torch.atan2(safe_sqrt(squared), cosine)
        return angle if keepdim else angle.squeeze(-1)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Squared angle, smooth at x = y."""
        _, squared, cosine = self._decompose(x, y)
        out = squared * angle_over_sine(squared, cosine) ** 2
        far = torch.atan2(safe_sqrt(squared), cosine) ** 2
        out = torch.where(cosine > 0, out, far)
        return out if keepdim else out.squeeze(-1)

    def dist2_matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """arccos²⟨x, y⟩: absolute error of a few roundings, and of their root next to the antipode."""
        return (x @ y.mT).clamp(-1.0, 1.0).acos().square()

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport along the shortest geodesic: v − ⟨p, v⟩ (p / (1 + cos θ) + x), an isometry."""
        tangential, squared, cosine = self._decompose(x, y)
        cut = self._is_cut(squared, cosine)
        factor = torch.where(cosine > 0, 1 / (1 + cosine.abs()), (1 - cosine) / torch.where(squared > 0, squared, 1.0))
        along = (tangential * v).sum(-1, keepdim=True)
        regular = v - along * (factor * tangential + x)
        pick = self._first_frame_vector(x)
        return torch.where(cut, v - 2 * (pick * v).sum(-1, keepdim=True) * pick, regular)

    def at_cut_locus(self, x: Tensor, y: Tensor) -> Tensor:
        """Boolean ``(*batch,)``: y is the antipode of x to rounding, so that no shortest geodesic is singled out."""
        _, squared, cosine = self._decompose(x, y)
        return self._is_cut(squared, cosine).squeeze(-1)

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        """The pole (1, 0, …, 0), ``(*size, n + 1)``; ``seed`` is geoopt's and is ignored."""
        pole = torch.zeros(self.shape, dtype=dtype, device=device)
        pole[0] = 1.0
        return pole.repeat(*size, 1) if size else pole

    def displace(self, x: Tensor, y: Tensor) -> Tensor:
        """Stereographic step ((1 − s) x + u) / (1 + s) with u the tangential part of ``y`` and s = |u|²/4.

        It turns x by the angle 2 atan(|u|/2) towards u: rational, smooth for every ``y``, short of the antipode alone.
        """
        u = self.proju(x, y)
        s = 0.25 * (u * u).sum(-1, keepdim=True)
        return self.projx(((1 - s) * x + u) / (1 + s))

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Columns 1 … n of the reflection that takes the pole ±e₀ to x, as ``(*batch, n, n + 1)``.

        The pole is the one on the far side of x, so nothing cancels. The first vector takes the sign that makes
        det[x, b₁, …, bₙ] = 1 everywhere: the frame jumps by a rotation at the equator x₀ = 0, never by a reflection.
        """
        x = x.detach()
        head, tail = x[..., :1], x[..., 1:]
        sign = torch.where(head < 0, -1.0, 1.0).to(x.dtype)
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        block = eye - tail.unsqueeze(-1) * (tail / (1 + head.abs())).unsqueeze(-2)
        frame = torch.cat([(-sign * tail).unsqueeze(-1), block], -1)
        return torch.cat([self._first_frame_vector(x).unsqueeze(-2), frame[..., 1:, :]], -2)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """``(*size, n + 1)`` uniform points: normalised Gaussian vectors."""
        return self.projx(torch.randn(*size, *self.shape, generator=generator, dtype=dtype, device=device))

    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        """Zero: the metric is the ambient one."""
        return x.new_zeros(self._batch(x))

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        """(n − 1) log |sin r / r| with r = |u|."""
        return (self.dim - 1) * torch.log(sinc_sqrt((u * u).sum(-1)).abs())

    def half_distance(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """sin²(r/2) = |y − x|²/4 and cos²(r/2) = |y + x|²/4."""
        return 0.25 * ((y - x) ** 2).sum(-1), 0.25 * ((y + x) ** 2).sum(-1)

    def half_distance_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """−½ times the tangential part of x at y."""
        return -0.5 * self._decompose(y, x)[0]

    def _decompose(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The tangential part p of y at x, |p|² = sin²θ and cos θ, the last two ``(*batch, 1)``.

        The division by |x|² makes both differences project to the same vector whatever the rounding of x.
        """
        cosine = (x * y).sum(-1, keepdim=True)
        nearer = torch.where(cosine > 0, y - x, y + x)
        tangential = nearer - (x * nearer).sum(-1, keepdim=True) / (x * x).sum(-1, keepdim=True) * x
        return tangential, (tangential * tangential).sum(-1, keepdim=True), cosine

    def _first_frame_vector(self, x: Tensor) -> Tensor:
        """``tangent_basis(x)[..., 0, :]`` without the others."""
        x = x.detach()
        head, tail = x[..., :1], x[..., 1:]
        sign = torch.where(head < 0, -1.0, 1.0).to(x.dtype)
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)[0]
        return torch.cat([-tail[..., :1], sign * (eye - tail[..., :1] * tail / (1 + head.abs()))], -1)

    def _is_cut(self, squared_sine: Tensor, cosine: Tensor) -> Tensor:
        tolerance = 4 * torch.finfo(cosine.dtype).eps
        return (squared_sine <= tolerance**2) & (cosine < 0)
