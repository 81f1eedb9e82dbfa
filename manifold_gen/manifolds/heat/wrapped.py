"""Brownian motion on the line and on the circle: the Gaussian and the Gaussian wrapped around 2π."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LOG_TWO_PI = math.log(2 * math.pi)
_WAVES_FROM = 2.0  # time from which the Fourier series is used; both sums are exact to rounding on either side
_IMAGES = 2
_WAVES = 6


def normal_log_density(u: Tensor, t: Tensor) -> Tensor:
    """log N(u; 0, t) elementwise."""
    return -0.5 * (u * u / t + torch.log(t) + _LOG_TWO_PI)


def wrapped_log_density(angle: Tensor, t: Tensor) -> Tensor:
    r"""Log-density of a normal angle of variance t modulo 2π, elementwise.

    .. math:: \sum_m N(δ + 2πm; 0, t) = \frac{1}{2π} \Bigl(1 + 2 \sum_{k≥1} e^{-k²t/2} \cos kδ\Bigr),

    the left side below t = 2, the right one above (Poisson's summation formula).

    Args:
        angle: in [−π, π].
        t: times > 0.
    """
    early, late = _split(t)
    shifts = _shifts(angle)
    images = torch.logsumexp(-0.5 * (angle.unsqueeze(-1) + shifts) ** 2 / early.unsqueeze(-1), -1)
    images = images - 0.5 * (torch.log(early) + _LOG_TWO_PI)
    k, weight = _waves(late)
    waves = (weight * torch.cos(k * angle.unsqueeze(-1))).sum(-1)
    return torch.where(t < _WAVES_FROM, images, torch.log1p(2 * waves) - _LOG_TWO_PI)


def wrapped_slope(angle: Tensor, t: Tensor) -> Tensor:
    """Derivative of ``wrapped_log_density`` in the angle."""
    early, late = _split(t)
    images = angle.unsqueeze(-1) + _shifts(angle)
    share = torch.softmax(-0.5 * images**2 / early.unsqueeze(-1), -1)
    near = -(share * images).sum(-1) / early
    k, weight = _waves(late)
    phase = k * angle.unsqueeze(-1)
    far = -2 * (weight * k * torch.sin(phase)).sum(-1) / (1 + 2 * (weight * torch.cos(phase)).sum(-1))
    return torch.where(t < _WAVES_FROM, near, far)


def _split(t: Tensor) -> tuple[Tensor, Tensor]:
    """The times for either sum, each held where its sum is good so that neither overflows."""
    return t.clamp(max=_WAVES_FROM), t.clamp(min=_WAVES_FROM)


def _shifts(angle: Tensor) -> Tensor:
    return 2 * math.pi * torch.arange(-_IMAGES, _IMAGES + 1, dtype=angle.dtype, device=angle.device)


def _waves(t: Tensor) -> tuple[Tensor, Tensor]:
    k = torch.arange(1, _WAVES + 1, dtype=t.dtype, device=t.device)
    return k, torch.exp(-0.5 * k * k * t.unsqueeze(-1))
