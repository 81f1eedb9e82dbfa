"""Log heat kernels of S¹, S², S³ and SO(3) at every distance and every time, exact to rounding.

Each takes h = sin²(r/2) and g = cos²(r/2) of the distance r and times t > 0, elementwise. Below time 1 they sum over
images, above over eigenfunctions; at time 1 both are exact, so that nothing is lost at the switch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.manifolds.heat.images import circle_images, rotation_images, three_sphere_images
from manifold_gen.manifolds.heat.zonal import circle_sum, rotation_sum, sphere_sum

_SERIES_FROM = 1.0
_TERMS = 10
_NODES = 16
_STRETCH = 3.0


def circle_log_density(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """On S¹."""
    early, late = _split(t)
    series = torch.log(circle_sum(g - h, late, _TERMS)) - math.log(2 * math.pi)
    return torch.where(t < _SERIES_FROM, circle_images(h, g, early), series)


def sphere_log_density(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    r"""On S².

    S² is SO(3) modulo the rotations about an axis, and Brownian motion above projects to Brownian motion below: the
    kernel is the integral over a fibre, on which cos(ω/2) = cos(r/2) cos φ,

    .. math:: k_{S^2}(r, t) = 4 \int_0^{π/2} k_{SO(3)}(ω(r, φ), t) \, dφ.

    The integrand is positive, smooth and periodic. The rational change of variable tan φ = a tan θ keeps it so; with a
    as wide as the peak of width √t at φ = 0, 16 midpoints are exact to 2e-10 at all times below 1 and at all r.
    """
    early, late = _split(t)
    series = torch.log(sphere_sum(g - h, late, 2, _TERMS)) - math.log(4 * math.pi)
    return torch.where(t < _SERIES_FROM, _fibre_integral(h, g, early), series)


def three_sphere_log_density(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """On S³."""
    early, late = _split(t)
    series = torch.log(sphere_sum(g - h, late, 3, _TERMS)) - math.log(2 * math.pi**2)
    return torch.where(t < _SERIES_FROM, three_sphere_images(h, g, early), series)


def rotation_log_density(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    """On SO(3), r the rotation angle."""
    early, late = _split(t)
    series = torch.log(rotation_sum(g - h, late, _TERMS)) - math.log(8 * math.pi**2)
    return torch.where(t < _SERIES_FROM, rotation_images(h, g, early), series)


def _split(t: Tensor) -> tuple[Tensor, Tensor]:
    """The times for either representation, held where it is good so that the one not taken is finite."""
    return t.clamp(max=_SERIES_FROM), t.clamp(min=_SERIES_FROM)


def _fibre_integral(h: Tensor, g: Tensor, t: Tensor) -> Tensor:
    h, g, t = (a.unsqueeze(-1) for a in torch.broadcast_tensors(h, g, t))
    theta = (torch.arange(_NODES, dtype=h.dtype, device=h.device) + 0.5) * (0.5 * math.pi / _NODES)
    # the integral does not depend on the width, so neither does its derivative
    width = (1 / (1 + 4 * g / (_STRETCH**2 * t))).detach()
    spread = torch.cos(theta) ** 2 + width * torch.sin(theta) ** 2
    height = rotation_images(h + g * width * torch.sin(theta) ** 2 / spread, g * torch.cos(theta) ** 2 / spread, t)
    weight = 0.5 * torch.log(width) - torch.log(spread)
    return torch.logsumexp(height + weight, -1) + math.log(2 * math.pi / _NODES)
