"""What a figure asks of a density."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from manifold_gen.distributions.base import Distribution

    Density = Callable[[Tensor], Tensor] | Distribution

_CHUNK = 8192  # points a density is asked for at once: bounds memory, not the result


def log_values(density: Density, points: Tensor) -> NDArray[np.float64]:
    """Log-density at ``points`` of a distribution, or of a function that returns it; no gradient, in parts.

    A distribution is evaluated in double precision: an inversion that single precision cannot finish would leave holes.

    Example:
        >>> log_values(lambda x: -x.square().sum(-1), torch.tensor([[1.0, 1.0]])).tolist()
        [-2.0]
    """
    if isinstance(density, torch.nn.Module):
        density, points = copy.deepcopy(density).to(device="cpu", dtype=torch.float64), points.double().cpu()
    log_prob = getattr(density, "log_prob", density)
    with torch.no_grad():
        parts = [log_prob(part).detach().double().cpu() for part in points.split(_CHUNK)]
    return torch.cat(parts).numpy()
