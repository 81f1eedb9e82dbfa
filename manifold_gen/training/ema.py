"""Moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """θ̄ ← d_s θ̄ + (1 − d_s) θ with d_s = min(decay, (1 + s) / (10 + s)) after step s = 0, 1, ….

    The shorter memory at the start removes the pull of the initial weights, so no bias needs to be divided out.
    Buffers are not averaged: the model's own are current.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = list(model.parameters())
        self.names = [name for name, _ in model.named_parameters()]
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay if self.decay > 0 else 0.0)(self.values, self.parameters, step)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model carries the averaged weights inside this context."""
        kept = [parameter.detach().clone() for parameter in self.parameters]
        self._assign(self.values)
        try:
            yield
        finally:
            self._assign(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """Averaged weights by parameter name."""
        return dict(zip(self.names, self.values, strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from saved averages."""
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])

    @torch.no_grad()
    def _assign(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
