"""Derivatives of log heat kernels in the distance r, on S² and SO(3), as cheap as a training step wants them.

They are the derivatives of ``compact.sphere_log_density`` and ``compact.rotation_log_density``, by the same sums over
images and eigenfunctions, in r instead of sin²(r/2): a tenth of the operations, and all that the score needs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SERIES_FROM = 1.0
_TERMS = 10
_NODES = 16
_STRETCH = 3.0
_SMALLEST = 1e-6


def rotation_slope(r: Tensor, t: Tensor) -> Tensor:
    """d log k / dr on SO(3), r in [0, π] the rotation angle, elementwise."""
    characters = torch.tril(torch.full((_TERMS, _TERMS), 2.0))  # χ_l = 1 + 2 Σ cos kω over k ≤ l
    characters[:, 0] = 1.0
    series = _series_slope(r, t.clamp(min=_SERIES_FROM), characters)
    return torch.where(t < _SERIES_FROM, _images(r, t.clamp(max=_SERIES_FROM))[1], series)


def sphere_slope(r: Tensor, t: Tensor) -> Tensor:
    """d log k / dr on S², r in [0, π], elementwise."""
    central = [math.comb(2 * j, j) / 4**j for j in range(_TERMS)]
    legendre = torch.zeros(_TERMS, _TERMS)  # P_l(cos r) = Σ_j c_j c_{l−j} cos((l − 2j) r), c_j = C(2j, j) / 4^j
    for l in range(_TERMS):
        for j in range(l + 1):
            legendre[l, abs(l - 2 * j)] += central[j] * central[l - j]
    series = _series_slope(r, t.clamp(min=_SERIES_FROM), legendre)
    return torch.where(t < _SERIES_FROM, _fibre_slope(r, t.clamp(max=_SERIES_FROM)), series)


def _series_slope(r: Tensor, t: Tensor, cosines: Tensor) -> Tensor:
    """Of log Σ_l (2l+1) e^{−l(l+1)t/2} f_l with f_l = Σ_k cosines[l, k] cos kr."""
    l = torch.arange(_TERMS, dtype=r.dtype, device=r.device)
    weight = ((2 * l + 1) * torch.exp(-0.5 * l * (l + 1) * t.unsqueeze(-1))) @ cosines.to(r)
    phase = l * r.unsqueeze(-1)
    return -(l * weight * torch.sin(phase)).sum(-1) / (weight * torch.cos(phase)).sum(-1)


def _images(r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """log k on SO(3) up to a function of t, and its slope, for t ≤ 1: three images, relative to the nearest."""
    r = r.clamp(min=_SMALLEST)
    before, after = r - 2 * math.pi, r + 2 * math.pi
    height_before, height_after = (
        torch.exp(2 * math.pi / t * (r - math.pi)),
        torch.exp(-2 * math.pi / t * (r + math.pi)),
    )
    others = (before * height_before + after * height_after) / r
    slopes = (1 - before**2 / t) * height_before + (1 - after**2 / t) * height_after
    sine = torch.sin(0.5 * r)
    value = torch.log(r * (1 - others) / sine) - 0.5 * r * r / t
    return value, (others - slopes - r * r / t) / (r * (1 - others)) + _cotangent_gap(r, sine)


def _cotangent_gap(r: Tensor, sine: Tensor) -> Tensor:
    """1/r − ½ cot(r/2), by its power series near 0."""
    squared = r * r
    small = r * (1 / 12 + squared * (1 / 720 + squared * (1 / 30240 + squared / 1209600)))
    return torch.where(r < 0.1, small, 1 / r - 0.5 * torch.cos(0.5 * r) / sine)


def _fibre_slope(r: Tensor, t: Tensor) -> Tensor:
    """Mean over the fibre of ``compact.sphere_log_density`` of dω/dr times the slope on SO(3)."""
    r, t = (a.unsqueeze(-1) for a in torch.broadcast_tensors(r, t))
    theta = (torch.arange(_NODES, dtype=r.dtype, device=r.device) + 0.5) * (0.5 * math.pi / _NODES)
    sine, cosine = torch.sin(0.5 * r), torch.cos(0.5 * r)
    width = 1 / (1 + 4 * cosine**2 / (_STRETCH**2 * t))
    spread = torch.cos(theta) ** 2 + width * torch.sin(theta) ** 2
    turn = torch.cos(theta) * torch.rsqrt(spread)  # cos φ
    half_sine = torch.sqrt(sine**2 + cosine**2 * width * torch.sin(theta) ** 2 / spread)  # sin(ω/2)
    value, slope = _images(2 * torch.atan2(half_sine, cosine * turn), t)
    share = torch.softmax(value - torch.log(spread), -1)
    return (share * slope * turn / half_sine).sum(-1) * sine.squeeze(-1)
