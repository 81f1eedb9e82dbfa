"""Heat kernels of compact spaces for large times: sums over the eigenfunctions that depend on the distance alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sphere_sum(cosine: Tensor, t: Tensor, dim: int, terms: int) -> Tensor:
    r"""vol(Sⁿ) times the heat kernel, over the spherical harmonics of degree below ``terms``.

    .. math:: \sum_l \frac{2l+n-1}{n-1} \binom{l+n-2}{l} e^{-l(l+n-1)t/2} P_l(\cos r), \qquad P_l(1) = 1,

    P_l Gegenbauer's polynomials of index (n − 1)/2 (Legendre's for n = 2), by their recurrence in l.

    Args:
        cosine: cos r.
        t: times.
        dim: n ≥ 2.
        terms: what is left out is of relative size e^{−terms (terms + n − 1) t / 2}.
    """
    before, current = torch.zeros_like(cosine), torch.ones_like(cosine)
    total = current
    for l in range(1, terms):
        before, current = current, ((2 * l + dim - 3) * cosine * current - (l - 1) * before) / (l + dim - 2)
        count = (2 * l + dim - 1) / (dim - 1) * math.comb(l + dim - 2, l)
        total = total + count * torch.exp(-0.5 * l * (l + dim - 1) * t) * current
    return total


def circle_sum(cosine: Tensor, t: Tensor, terms: int) -> Tensor:
    """2π times the heat kernel of S¹: 1 + 2 Σ e^{−k²t/2} cos kr over k below ``terms``, in powers of cos r."""
    before, current = torch.ones_like(cosine), cosine
    total = torch.ones_like(cosine)
    for k in range(1, terms):
        total = total + 2 * torch.exp(-0.5 * k * k * t) * current
        before, current = current, 2 * cosine * current - before
    return total


def rotation_sum(cosine: Tensor, t: Tensor, terms: int) -> Tensor:
    r"""8π² times the heat kernel of SO(3), over the characters of degree below ``terms``.

    .. math:: \sum_l (2l+1) e^{-l(l+1)t/2} χ_l(ω), \qquad χ_l(ω) = \frac{\sin((l+½)ω)}{\sin(ω/2)}.

    Args:
        cosine: cos ω of the rotation angle ω.
        t: times.
        terms: what is left out is of relative size e^{−terms (terms + 1) t / 2}.
    """
    before, current = -torch.ones_like(cosine), torch.ones_like(cosine)
    total = current
    for l in range(1, terms):
        before, current = current, 2 * cosine * current - before
        total = total + (2 * l + 1) * torch.exp(-0.5 * l * (l + 1) * t) * current
    return total
