"""Distances that Brownian motion covers on S¹, S², S³ and SO(3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from manifold_gen.numerics import wrap_angle

_ROUNDS = 8
_TERMS = 10
_HALVINGS = {torch.float32: 26, torch.float64: 40}  # π halved so often is below the rounding of a radius, or 1e-11


def circle_radius(t: Tensor, generator: torch.Generator | None) -> Tensor:
    """|√t z mod 2π|."""
    return wrap_angle(t.sqrt() * _normals(t, generator)).abs()


def rotation_radius(t: Tensor, generator: torch.Generator | None) -> Tensor:
    """The rotation angle on SO(3)."""
    return _group_radius(t, 1, generator)


def three_sphere_radius(t: Tensor, generator: torch.Generator | None) -> Tensor:
    """The angle on S³."""
    return _group_radius(t, 2, generator)


def sphere_radius(t: Tensor, generator: torch.Generator | None) -> Tensor:
    """The angle on S²: how far a Brownian rotation moves a point, sin(r/2) = sin(ω/2) sin α, α the axis's angle."""
    sine = torch.sin(0.5 * rotation_radius(t, generator))
    cosine = 2 * torch.rand(t.shape, generator=generator, dtype=t.dtype, device=t.device) - 1
    return 2 * torch.asin((sine * torch.sqrt(1 - cosine**2)).clamp(max=1.0))


def _group_radius(t: Tensor, order: int, generator: torch.Generator | None) -> Tensor:
    """The two spaces have one law: the density of r on [0, π] is proportional to

        sin(s r) Σ_m (±1)^m (r + 2πm) e^{−(r + 2πm)²/2t},    s = order / 2,

    which is also Σ_m ρ sin(s ρ) e^{−ρ²/2t} over the lifts ρ = r + 2πm: a normal vector of R³ thinned by sin(s ρ) / s ρ.
    Where that is positive up to six standard deviations (t ≤ 1 / order²) thinning is exact to 1e-8; above, the
    distribution function is a short sum of sines, which is inverted.
    """
    early = t <= 1 / order**2
    thinned = _thinned_radius(torch.where(early, t, 1e-3), order, generator)
    return torch.where(early, thinned, _inverted_radius(t.clamp(min=1 / order**2), order, generator))


def _thinned_radius(t: Tensor, order: int, generator: torch.Generator | None) -> Tensor:
    """A share e^{−t order²/8} ≥ 0.88 of the proposals is taken, so eight fail together once in 2e7 draws."""
    size = (_ROUNDS, *t.shape)
    proposal = torch.randn(*size, 3, generator=generator, dtype=t.dtype, device=t.device)
    lift = t.sqrt() * torch.linalg.vector_norm(proposal, dim=-1)
    level = torch.rand(size, generator=generator, dtype=t.dtype, device=t.device)
    taken = level < torch.sinc(order * lift / (2 * math.pi))
    first = taken.to(torch.int8).argmax(0, keepdim=True)
    return wrap_angle(lift.gather(0, first).squeeze(0)).abs()


def _inverted_radius(t: Tensor, order: int, generator: torch.Generator | None) -> Tensor:
    """Bisection of P(radius < r) = (1/π) Σ_l (2l + s)/s e^{−l(l+s)t/2} (sin(lr)/l − sin((l+s)r)/(l+s)), s = order."""
    level = torch.rand(t.shape, generator=generator, dtype=t.dtype, device=t.device)
    l = torch.arange(_TERMS * order, dtype=t.dtype, device=t.device)
    weight = (2 * l + order) / order * torch.exp(-0.5 * l * (l + order) * t.unsqueeze(-1))
    # gathered by frequency: the integral is c₀ r + Σ_k c_k sin(kr) / k
    gathered = pad(weight, (0, order)) - pad(weight, (order, 0))
    k = torch.arange(1, gathered.shape[-1], dtype=t.dtype, device=t.device)
    constant, amplitude = gathered[..., 0], gathered[..., 1:] / k
    low, step = torch.zeros_like(t), math.pi
    for _ in range(_HALVINGS[t.dtype]):
        step = 0.5 * step
        r = low + step
        integral = constant * r + (amplitude * torch.sin(k * r.unsqueeze(-1))).sum(-1)
        low = torch.where(integral < math.pi * level, r, low)
    return low


def _normals(t: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(t.shape, generator=generator, dtype=t.dtype, device=t.device)
