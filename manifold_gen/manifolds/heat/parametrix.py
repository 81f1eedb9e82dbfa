r"""The heat kernel of Sⁿ, n ≥ 4: spherical harmonics where they carry it, else an expansion in the time.

With ρ = (n − 1)/2 and r ≤ π/2,

.. math::
    \log k = -\frac{r²}{2t} - \frac n2 \log 2πt + ρ \log\frac{r}{\sin r} + t\,a_1 + t²\,a_2 + O(t³), \\
    a_1 = \frac{ρ²}{2} - \frac{ρ(ρ-1)}{2} \frac{1 - r\cot r}{r²}, \qquad
    a_2 = -\frac{ρ(ρ-1)}{2} \sum_{k≥1} \frac{ζ(2k+2)}{π^{2k+2}} (2k+n-2) r^{2k-2}:

conjugation by (r / sin r)^ρ turns ½Δ into that of Rⁿ with the potential ½ρ(ρ−1)(1/sin²r − 1/r²) − ½ρ², whose mean
along a Brownian bridge is expanded. Beyond a right angle the geodesics that meet at the antipode replace 1/sin^ρ by
Bessel's function of order ν = ρ − ½ of x = π (π − r)/t, in Debye's expansion: smooth at the antipode.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.manifolds.heat.zonal import sphere_sum
from manifold_gen.numerics import angle_over_sine, polynomial, tanhc_sqrt

_SERIES_FROM = 0.05
_TERMS = 40
_TRUSTED = 1e-10  # smaller than this against its largest value the series is rounding
_ZETA = [1.6449340668482264, 1.0823232337111382, 1.0173430619844491, 1.0040773561979443, 1.0009945751278181]
_ZETA += [1 + 2.0**-s + 3.0**-s + 4.0**-s + 5.0**-s for s in range(12, 26, 2)]


def log_density(h: Tensor, g: Tensor, t: Tensor, dim: int) -> Tensor:
    """Log heat kernel of Sⁿ, n = ``dim`` ≥ 4; h = sin²(r/2), g = cos²(r/2), elementwise.

    In double precision throughout: the series loses to cancellation what the kernel has fallen since r = 0.
    """
    wide = torch.promote_types(h.dtype, torch.float64)
    half = (dim + 1) / 2
    log_volume = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
    late = t.to(wide).clamp(min=_SERIES_FROM)
    total = sphere_sum((g - h).to(wide), late, dim, _TERMS)
    highest = (log_volume - 0.5 * dim * torch.log(2 * math.pi * late)).clamp(min=0.0)
    trusted = (t > _SERIES_FROM) & (total.detach() > _TRUSTED * highest.exp())
    series = torch.log(torch.where(trusted, total, 1.0)) - log_volume
    return torch.where(trusted, series, _expansion(h.to(wide), g.to(wide), t.to(wide), dim)).to(h.dtype)


def _expansion(h: Tensor, g: Tensor, t: Tensor, dim: int) -> Tensor:
    near = h < 0.5
    below = _below_a_right_angle(torch.where(near, h, 0.0), t, dim)
    above = _above_a_right_angle(torch.where(near, 0.0, g), t, dim)
    return torch.where(near, below, above) - 0.5 * dim * torch.log(2 * math.pi * t)


def _below_a_right_angle(h: Tensor, t: Tensor, dim: int) -> Tensor:
    rho = 0.5 * (dim - 1)
    cosine = torch.sqrt(1 - h)
    ratio = angle_over_sine(h, cosine)
    squared = 4 * h * ratio**2
    pole = 2 / (math.pi**2 - squared)
    drift = 0.5 * rho**2 - 0.5 * rho * (rho - 1) * (pole + _regular(squared))
    return rho * torch.log(ratio / cosine) - 0.5 * squared / t + t * drift + t**2 * _second(squared, dim)


def _above_a_right_angle(g: Tensor, t: Tensor, dim: int) -> Tensor:
    rho, order = 0.5 * (dim - 1), 0.5 * (dim - 2)
    cosine = torch.sqrt(1 - g)
    ratio = angle_over_sine(g, cosine)
    squared = 4 * g * ratio**2
    phase = math.pi**2 * squared / t**2
    # π − r, rounded off where r reaches π, so that every term is smooth there
    r = math.pi * (1 - squared / t * tanhc_sqrt(phase))
    root = torch.sqrt(order**2 + phase)
    p = order / root
    bessel = root - 0.5 * torch.log(root) - order * torch.log(order + root)
    bessel = bessel + torch.log1p((3 * p - 5 * p**3) / (24 * order))
    drift = 0.5 * rho**2 - 0.5 * rho * (rho - 1) * (1 / (math.pi * (math.pi + r)) + _regular(r * r))
    lead = rho * torch.log(math.pi * ratio / cosine * r / t) - 0.5 * (math.pi**2 + squared) / t
    return lead + bessel + t * drift


def _regular(squared: Tensor) -> Tensor:
    """(1 − r cot r) / r² without its pole 2 / (π² − r²): Σ 2 (ζ(2k+2) − 1) r^{2k} / π^{2k+2}."""
    return polynomial([2 * (zeta - 1) / math.pi ** (2 * k + 2) for k, zeta in enumerate(_ZETA)], squared)


def _second(squared: Tensor, dim: int) -> Tensor:
    rho = 0.5 * (dim - 1)
    terms = [zeta / math.pi ** (2 * k + 2) * (2 * k + dim - 2) for k, zeta in enumerate(_ZETA)][1:]
    return -0.5 * rho * (rho - 1) * polynomial(terms, squared)
