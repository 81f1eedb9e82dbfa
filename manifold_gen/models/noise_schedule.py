"""How much noise a diffusion has at each time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.errors import UsageError


@dataclass(frozen=True)
class NoiseClock:
    r"""The time :math:`s(t)` for which data have diffused at the model's time t: t = 0 is noise, t = 1 data.

    .. math:: s(t) = S^{1-t}\, s_1^t,

    geometric, so that every factor of noise takes equal time: the loss then weighs all of them alike, and the flow is
    equally hard to follow everywhere.

    Attributes:
        longest: S = s(0), long enough that nothing is left of the data.
        shortest: s₁ = s(1) > 0, the variance that data keep.

    Raises:
        UsageError: not 0 < shortest < longest.

    Example:
        >>> NoiseClock(4.0, 0.01).at(torch.tensor([0.0, 0.5, 1.0]))
        tensor([4.0000, 0.2000, 0.0100])
    """

    longest: float
    shortest: float

    def __post_init__(self) -> None:
        if not 0 < self.shortest < self.longest < math.inf:
            raise UsageError(
                f"the noise goes from {self.longest:g} down to {self.shortest:g}; expected a falling pair of positive "
                "numbers: lower the smoothing or raise the horizon"
            )

    @property
    def speed(self) -> float:
        """−d log s / dt, the same at all times."""
        return math.log(self.longest / self.shortest)

    def at(self, t: Tensor) -> Tensor:
        """s(t), shape as ``t``."""
        return self.longest * torch.exp(-self.speed * t)

    def rate(self, t: Tensor) -> Tensor:
        """−ds/dt > 0, shape as ``t``."""
        return self.speed * self.at(t)


def time_pairs(steps: int) -> tuple[list[float], list[float]]:
    """Times and the times after them, from 0 to 1, closer together towards the data: t = 1 − (1 − u)²."""
    grid = [1 - (1 - i / steps) ** 2 for i in range(steps)] + [1.0]
    return grid[:-1], grid[1:]
