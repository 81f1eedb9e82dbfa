"""A random distance by inverting its tabulated distribution function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_NODES = 256


def tabulated_radius(
    log_density: Callable[[Tensor, Tensor], Tensor],
    reach: Callable[[Tensor], Tensor],
    t: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    """One draw for each time from a density on [0, reach].

    The density is taken as constant on each of 256 cells, which shifts its distribution function by about 1e-5.

    Args:
        log_density: (r, t) ↦ logarithm of the density up to a constant, elementwise.
        reach: t ↦ where the density ends, to rounding.
        t: times.
        generator: of the draw.
    """
    times, place = t.unique(return_inverse=True)  # one table for each time, not for each draw
    furthest = reach(times).unsqueeze(-1)
    middle = (torch.arange(_NODES, dtype=t.dtype, device=t.device) + 0.5) / _NODES
    mass = torch.softmax(log_density(furthest * middle, times.unsqueeze(-1)), -1)
    total = mass.cumsum(-1)
    level = torch.rand(t.shape, generator=generator, dtype=t.dtype, device=t.device) * total[place, -1]
    cell = torch.searchsorted(total[place], level.unsqueeze(-1), right=True).squeeze(-1).clamp(max=_NODES - 1)
    inside = mass[place, cell]
    share = 1 - (total[place, cell] - level) / torch.where(inside > 0, inside, 1.0)
    return furthest.squeeze(-1)[place] * (cell + share.clamp(0.0, 1.0)) / _NODES
