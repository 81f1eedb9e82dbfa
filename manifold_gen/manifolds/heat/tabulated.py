"""A random distance by inverting its tabulated distribution function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_NODES = 256


def tabulated_radius(
    log_density: Callable[[Tensor, Tensor], Tensor], reach: Tensor, t: Tensor, generator: torch.Generator | None
) -> Tensor:
    """One draw for each time from a density on [0, reach].

    The density is taken as constant on each of 256 cells, which shifts its distribution function by about 1e-5.

    Args:
        log_density: (r, t) ↦ logarithm of the density up to a constant, elementwise.
        reach: where the density ends, to rounding, one for each time.
        t: times.
        generator: of the draw.
    """
    middle = (torch.arange(_NODES, dtype=t.dtype, device=t.device) + 0.5) / _NODES
    height = log_density(reach.unsqueeze(-1) * middle, t.unsqueeze(-1))
    mass = torch.softmax(height, -1)
    total = mass.cumsum(-1)
    level = torch.rand(t.shape, generator=generator, dtype=t.dtype, device=t.device).unsqueeze(-1) * total[..., -1:]
    cell = torch.searchsorted(total, level, right=True).clamp(max=_NODES - 1)
    inside = mass.gather(-1, cell)
    share = 1 - (total.gather(-1, cell) - level) / torch.where(inside > 0, inside, 1.0)
    return (reach.unsqueeze(-1) * (cell + share.clamp(0.0, 1.0)) / _NODES).squeeze(-1)
