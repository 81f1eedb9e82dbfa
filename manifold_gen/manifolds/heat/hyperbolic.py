"""Brownian motion on hyperbolic spaces of dimension 1 to 3.

Each log-density takes h = sinh²(r/2) and g = cosh²(r/2) of the distance r and times t > 0, elementwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.manifolds.heat.radial import RadialLaw
from manifold_gen.manifolds.heat.tabulated import tabulated_radius
from manifold_gen.numerics import asinhc_sqrt, log_sinhc_sqrt, safe_sqrt

_NODES = 24
_LOG_TWO_PI = math.log(2 * math.pi)
_FALL = 40.0  # where an integrand has fallen by this exponent it is cut off


def line_log_density(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """On H¹, which is the line: log N(r; 0, t)."""
    return -0.5 * (_squared_distance(h) / t + torch.log(t) + _LOG_TWO_PI)


def plane_log_density(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    r"""On H², McKean's integral with cosh(s/2) = cosh(r/2) cosh φ in place of s,

    .. math:: k = \frac{2 e^{-t/8}}{(2πt)^{3/2}} \int_0^\infty \frac{s}{\sinh(s/2)} e^{-s²/2t} \, dφ.

    The integrand is positive, even and analytic in φ: midpoints converge exponentially; 24 are good to 1e-9.
    """
    h, g, t = (a.unsqueeze(-1) for a in torch.broadcast_tensors(h, g, t))
    width = _reach(h.detach(), g.detach(), t.detach()) / _NODES
    phi = width * (torch.arange(_NODES, dtype=h.dtype, device=h.device) + 0.5)
    above = h + g * torch.sinh(phi) ** 2
    height = torch.log(2 * asinhc_sqrt(above)) - 0.5 * _squared_distance(above) / t + torch.log(width)
    constant = math.log(2) - 0.125 * t - 1.5 * (torch.log(t) + _LOG_TWO_PI)
    return (torch.logsumexp(height, -1, keepdim=True) + constant).squeeze(-1)


def space_log_density(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """On H³: r / sinh r · e^{−t/2} N(r; 0, t) / 2πt."""
    squared = _squared_distance(h)
    return -log_sinhc_sqrt(squared) - 0.5 * squared / t - 0.5 * t - 1.5 * (torch.log(t) + _LOG_TWO_PI)


def line_radius(t: Tensor, generator: torch.Generator | None) -> Tensor:
    """|√t z|."""
    return (t.sqrt() * torch.randn(t.shape, generator=generator, dtype=t.dtype, device=t.device)).abs()


def plane_radius(t: Tensor, generator: torch.Generator | None) -> Tensor:
    """By a table of the density sinh r · k(r)."""

    def log_density(r: Tensor, t: Tensor) -> Tensor:
        h = torch.sinh(0.5 * r) ** 2
        return torch.log(torch.sinh(r)) + plane_log_density(h, 1 + h, t)

    return tabulated_radius(log_density, lambda t: t + 8 * t.sqrt(), t, generator)


def space_radius(t: Tensor, generator: torch.Generator | None) -> Tensor:
    """The length of a Brownian motion in R³ that drifts with velocity 1: both densities are r sinh r e^{−r²/2t}."""
    step = t.sqrt().unsqueeze(-1) * torch.randn(*t.shape, 3, generator=generator, dtype=t.dtype, device=t.device)
    return torch.sqrt((step[..., 0] + t) ** 2 + step[..., 1] ** 2 + step[..., 2] ** 2)


def hyperbolic_law(dim: int) -> RadialLaw | None:
    """Brownian motion on Hⁿ, for n up to 3."""
    laws = [(line_log_density, line_radius), (plane_log_density, plane_radius), (space_log_density, space_radius)]
    return RadialLaw(*laws[dim - 1]) if dim <= len(laws) else None


def _squared_distance(h: Tensor) -> Tensor:
    return 4 * h * asinhc_sqrt(h) ** 2


def _reach(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """φ at which the integrand of H² has fallen to e^{−40} of its height at 0, or beyond."""
    r = safe_sqrt(_squared_distance(h))
    further = torch.sqrt(r * r + 2 * _FALL * t) - r
    further = further.clamp(max=_FALL)  # s / sinh(s/2) falls too
    return torch.asinh(torch.sqrt(torch.sinh(0.5 * further) * torch.sinh(r + 0.5 * further) / g))
