r"""Heat kernels of S¹, S³ and SO(3) for small times: sums over the turns that end in the same point.

By Poisson's summation formula, with the distance r in [0, π] and N the density of a normal number of variance t,

.. math::
    k_{S^1} &= \sum_m N(r + 2πm), \\
    k_{S^3} &= \frac{e^{t/2}}{2πt} \sum_m \frac{r + 2πm}{\sin r} N(r + 2πm), \\
    k_{SO(3)} &= \frac{e^{t/8}}{4πt} \sum_m (-1)^m \frac{r + 2πm}{\sin(r/2)} N(r + 2πm).

The sums are smooth functions of h = sin²(r/2), but their terms are not: they are singular at r = 0 or at r = π and
cancel there. So they are taken in pairs: below a right angle m with −m, a function of r²; above it m with −m − 1, a
function of (π − r)². Each pair is written without a cancellation, and the first without overflow at any t.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen.numerics import angle_over_sine, cosh_sqrt, log_cosh_sqrt, sinhc_sqrt, tanhc_sqrt

_SECOND_PAIR_NEAR = 0.2  # times below which the second pair is less than 1e-18 of the first
_SECOND_PAIR_FAR = 0.6
_LOG_TWO_PI = math.log(2 * math.pi)

_Branch = Callable[[Tensor, Tensor], Tensor]


def circle_images(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """Log heat kernel of S¹ for t ≤ 1; h = sin²(r/2), g = cos²(r/2), elementwise."""
    return _select(h, g, t, _circle_near, _circle_far) - 0.5 * (torch.log(t) + _LOG_TWO_PI)


def three_sphere_images(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """Log heat kernel of S³ for t ≤ 1; h = sin²(r/2), g = cos²(r/2), elementwise."""
    return _select(h, g, t, _three_sphere_near, _three_sphere_far) + 0.5 * t - 1.5 * (torch.log(t) + _LOG_TWO_PI)


def rotation_images(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """Log heat kernel of SO(3) for t ≤ 1; h = sin²(r/2), g = cos²(r/2), r the rotation angle, elementwise."""
    constant = math.log(2) + 1.5 * _LOG_TWO_PI
    return _select(h, g, t, _rotation_near, _rotation_far) + 0.125 * t - 1.5 * torch.log(t) - constant


def _select(h: Tensor, g: Tensor, t: Tensor, near: _Branch, far: _Branch) -> Tensor:
    """Both branches, each at arguments where it is good, with r² or (π − r)² for h or g."""
    close = h < 0.5
    return torch.where(close, near(torch.where(close, h, 0.0), t), far(torch.where(close, 0.0, g), t))


def _angle(q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For q = sin²(α/2) ≤ ½: α², (α/2) / sin(α/2) and cos(α/2), analytic in q."""
    cosine = torch.sqrt(1 - q)
    ratio = angle_over_sine(q, cosine)
    return 4 * q * ratio**2, ratio, cosine


def _turn(squared: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """cosh(2πr/t) and 4π²/t · sinh(2πr/t)/(2πr/t), both times 2 e^{−2π²/t}: the images m = ±1 below a right angle."""
    late = t.clamp(min=_SECOND_PAIR_NEAR)
    factor = torch.where(t > _SECOND_PAIR_NEAR, 2 * torch.exp(-2 * math.pi**2 / late), 0.0)
    phase = 4 * math.pi**2 * squared / late**2
    return factor * cosh_sqrt(phase), factor * 4 * math.pi**2 / late * sinhc_sqrt(phase)


def _beyond(squared: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Above a right angle, for ε = π − r: the times and factor of the images m = 1, −2, and ε²π²/t² at those times."""
    late = t.clamp(min=_SECOND_PAIR_FAR)
    factor = torch.where(t > _SECOND_PAIR_FAR, torch.exp(-4 * math.pi**2 / late), 0.0)
    return late, factor, math.pi**2 * squared / late**2


def _circle_near(h: Tensor, t: Tensor) -> Tensor:
    squared, _, _ = _angle(h)
    return torch.log1p(_turn(squared, t)[0]) - 0.5 * squared / t


def _circle_far(g: Tensor, t: Tensor) -> Tensor:
    squared, _, _ = _angle(g)
    _, factor, phase = _beyond(squared, t)
    rest = factor * cosh_sqrt(9 * phase) / cosh_sqrt(phase)
    lead = math.log(2) + log_cosh_sqrt(math.pi**2 * squared / t**2)
    return lead + torch.log1p(rest) - 0.5 * (math.pi**2 + squared) / t


def _three_sphere_near(h: Tensor, t: Tensor) -> Tensor:
    squared, ratio, cosine = _angle(h)
    even, odd = _turn(squared, t)
    return torch.log(ratio / cosine) + torch.log1p(even - odd) - 0.5 * squared / t


def _three_sphere_far(g: Tensor, t: Tensor) -> Tensor:
    """The pair is π sinh(πε/t) − ε cosh(πε/t), divided by sin ε."""
    squared, ratio, cosine = _angle(g)
    phase = math.pi**2 * squared / t**2
    late, factor, phase_late = _beyond(squared, t)
    pair = math.pi**2 / late * sinhc_sqrt(phase_late) - cosh_sqrt(phase_late)
    rest = factor * (9 * math.pi**2 / late * sinhc_sqrt(9 * phase_late) - cosh_sqrt(9 * phase_late)) / pair
    lead = math.log(2) + log_cosh_sqrt(phase) + torch.log((math.pi**2 / t * tanhc_sqrt(phase) - 1) * ratio / cosine)
    return lead + torch.log1p(rest) - 0.5 * (math.pi**2 + squared) / t


def _rotation_near(h: Tensor, t: Tensor) -> Tensor:
    squared, ratio, _ = _angle(h)
    even, odd = _turn(squared, t)
    return torch.log(2 * ratio) + torch.log1p(odd - even) - 0.5 * squared / t


def _rotation_far(g: Tensor, t: Tensor) -> Tensor:
    """The pair is π cosh(πε/t) − ε sinh(πε/t), divided by cos(ε/2)."""
    squared, _, cosine = _angle(g)
    phase = math.pi**2 * squared / t**2
    late, factor, phase_late = _beyond(squared, t)
    pair = cosh_sqrt(phase_late) - squared / late * sinhc_sqrt(phase_late)
    rest = factor * 3 * (cosh_sqrt(9 * phase_late) - squared / late * sinhc_sqrt(9 * phase_late)) / pair
    first = 2 * math.pi * (1 - squared / t * tanhc_sqrt(phase)) / cosine
    return log_cosh_sqrt(phase) + torch.log(first) + torch.log1p(-rest) - 0.5 * (math.pi**2 + squared) / t
