"""Which formula and which sampler serve which sphere."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from manifold_gen.manifolds.heat import compact, drawing, parametrix, slopes
from manifold_gen.manifolds.heat.radial import RadialLaw
from manifold_gen.manifolds.heat.tabulated import tabulated_radius
from manifold_gen.manifolds.heat.wrapped import wrapped_slope

_EXACT = {
    1: RadialLaw(compact.circle_log_density, drawing.circle_radius, wrapped_slope),
    2: RadialLaw(compact.sphere_log_density, drawing.sphere_radius, slopes.sphere_slope),
    3: RadialLaw(compact.three_sphere_log_density, drawing.three_sphere_radius),
}


def sphere_law(dim: int) -> RadialLaw:
    """Brownian motion on Sⁿ: exact for n up to 3, by series and expansion above."""
    if dim in _EXACT:
        return _EXACT[dim]
    return RadialLaw(partial(parametrix.log_density, dim=dim), partial(_radius, dim))


def rotation_law() -> RadialLaw:
    """Brownian motion on SO(3)."""
    return RadialLaw(compact.rotation_log_density, drawing.rotation_radius, slopes.rotation_slope)


def _radius(dim: int, t: Tensor, generator: torch.Generator | None) -> Tensor:
    """By a table of the density sin^{n−1} r · k(r) up to seven standard deviations beyond the mean."""

    def log_density(r: Tensor, t: Tensor) -> Tensor:
        h, g = torch.sin(0.5 * r) ** 2, torch.cos(0.5 * r) ** 2
        return (dim - 1) * torch.log(torch.sin(r)) + parametrix.log_density(h, g, t, dim)

    def reach(t: Tensor) -> Tensor:
        return ((math.sqrt(dim) + 7) * t.sqrt()).clamp(max=math.pi)

    return tabulated_radius(log_density, reach, t, generator)
