r"""Monotone rational-quadratic splines of the circle, forwards and backwards, with their slopes.

K bins of widths :math:`w_k` and heights :math:`h_k`, both summing to 2π, are joined at knots where the slope is
:math:`d_k`; with :math:`s_k = h_k / w_k` and the share t of the bin that lies behind a point,

.. math:: S = y_k + h_k \frac{s_k t^2 + d_k t(1-t)}{s_k + (d_k + d_{k+1} - 2 s_k)\, t(1-t)}, \qquad d_K = d_0,

so that S is once continuously differentiable all round the circle: its last slope is its first. The whole is turned by
a phase, :math:`y = S(x - a) - π`, and the seam may lie anywhere.
Durkan, Bekasov, Murray and Papamakarios, *Neural spline flows* (2019); Rezende et al., *Normalizing flows on tori and
spheres* (2020).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from manifold_gen.numerics import wrap_angle

TURN = 2 * math.pi
SMALLEST_BIN = 1e-3  # share of the circle
SMALLEST_SLOPE = 1e-3
_UNIT_SLOPE = math.log(math.expm1(1 - SMALLEST_SLOPE))


def spline_size(bins: int) -> int:
    """Numbers that describe one spline: K widths, K heights, K slopes and a phase."""
    return 3 * bins + 1


def circular_spline(x: Tensor, shape: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """The spline at angles x, and log dy/dx there; or its inverse, and log dx/dy.

    Args:
        x: angles ``(*batch,)`` in radians, any turn.
        shape: unconstrained numbers ``(*batch, 3K + 1)``: widths, heights, slopes, phase. Zeros are the rotation by π.
        inverse: go from y to x.

    Returns:
        Angles in [−π, π) and logarithms of slopes, each ``(*batch,)``.

    Example:
        >>> shape = torch.linspace(-1, 1, 13, dtype=torch.float64).expand(5, 13)
        >>> x = torch.linspace(-3, 3, 5, dtype=torch.float64)
        >>> y, log_slope = circular_spline(x, shape)
        >>> back, log_back = circular_spline(y, shape, inverse=True)
        >>> bool((back - x).abs().max() < 1e-12), bool((log_slope + log_back).abs().max() < 1e-12)
        (True, True)
    """
    bins = (shape.shape[-1] - 1) // 3
    raw_widths, raw_heights, raw_slopes, phase = shape.split([bins, bins, bins, 1], -1)
    phase = phase.squeeze(-1)
    widths, heights = _shares(raw_widths), _shares(raw_heights)
    slopes = SMALLEST_SLOPE + F.softplus(raw_slopes + _UNIT_SLOPE)
    place = torch.remainder(x + math.pi if inverse else x - phase, TURN)
    bin_ = _bin(place, heights if inverse else widths)
    w, h, d0, d1, left, low = _gather(bin_, widths, heights, slopes)
    t = _share_from_height(place - low, w, h, d0, d1) if inverse else ((place - left) / w).clamp(0, 1)
    value, log_slope = _rational_quadratic(t, w, h, d0, d1)
    if inverse:
        return wrap_angle(left + w * t + phase), -log_slope
    return wrap_angle(low + value - math.pi), log_slope


def _shares(raw: Tensor) -> Tensor:
    """Positive parts of the whole turn."""
    bins = raw.shape[-1]
    return TURN * (SMALLEST_BIN + (1 - SMALLEST_BIN * bins) * torch.softmax(raw, -1))


def _bin(place: Tensor, lengths: Tensor) -> Tensor:
    """Number of the bin that holds each place in [0, 2π], ``(*batch, 1)``."""
    inner = lengths.detach().cumsum(-1)[..., :-1]
    return (place.detach().unsqueeze(-1) >= inner).sum(-1, keepdim=True)


def _gather(bin_: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor) -> tuple[Tensor, ...]:
    """Width, height, slopes at both ends, and the two starts of one bin each."""
    table = [widths, heights, slopes, slopes.roll(-1, -1), widths.cumsum(-1) - widths, heights.cumsum(-1) - heights]
    chosen = torch.stack(table, -2).gather(-1, bin_.unsqueeze(-1).expand(*bin_.shape[:-1], len(table), 1))
    return chosen.squeeze(-1).unbind(-1)


def _rational_quadratic(t: Tensor, w: Tensor, h: Tensor, d0: Tensor, d1: Tensor) -> tuple[Tensor, Tensor]:
    """Height within the bin, and the logarithm of the slope."""
    s, both = h / w, t * (1 - t)
    below = s + (d0 + d1 - 2 * s) * both
    value = h * (s * t.square() + d0 * both) / below
    slope = d1 * t.square() + 2 * s * both + d0 * (1 - t).square()
    return value, 2 * torch.log(s) + torch.log(slope) - 2 * torch.log(below)


def _share_from_height(rise: Tensor, w: Tensor, h: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """The root in [0, 1] of the quadratic that ``rise`` poses, in the form that does not cancel."""
    s = h / w
    bend = (d0 + d1 - 2 * s) * rise
    a, b, c = h * (s - d0) + bend, h * d0 - bend, -s * rise
    root = torch.sqrt((b.square() - 4 * a * c).clamp_min(torch.finfo(rise.dtype).tiny))
    return (2 * c / (-b - root)).clamp(0, 1)
