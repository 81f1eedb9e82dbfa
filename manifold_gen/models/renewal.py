r"""The stochastic sampler of flows that guess the clean cloud: from guess to guess, with noise that is partly renewed.

.. math:: x_{t'} = t' \hat x_1 + (1 - t')\big(\sqrt{1 - \kappa^2}\, \hat z + \kappa\, \tau \epsilon\big), \qquad
          \hat z = (x_t - t\, \hat x_1) / (1 - t),

with :math:`x_0 = \tau z`. For independent noise :math:`\kappa^2 = \eta^2 (1 - \sigma'^2/\sigma^2)`, σ = (1 − t)/t: the
ancestral step, which keeps the law of x_t where the guess is exact (Song, Meng and Ermon, *Denoising diffusion implicit
models*, 2021). A model of paired noise has seen no other, so the new noise is paired with the guess, and κ = η: a
renewed noise says nothing that the guess does not. At temperature τ = 1 noise is that of training; a lower one trades
variety for likely clouds (Kingma and Dhariwal, *Glow*, 2018, of a flow's latents).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.noise_schedule import time_pairs


class Guesser(Protocol):
    """A flow that guesses the clean cloud."""

    manifold: PointCloud
    pairs_noise: bool

    def context(self, context: Tensor | None) -> Tensor | None:
        """What its network sees of a context."""

    def endpoint(self, x: Tensor, t: Tensor, context: Tensor | None, guess: Tensor | None) -> Tensor:
        """The guess, from an earlier one where there is one."""

    def coupled(self, z: Tensor, x: Tensor) -> Tensor:
        """Noise as it was joined to clouds in training."""


@dataclass(frozen=True)
class Renewal:
    """How many steps, and what of the noise is new at each.

    Attributes:
        steps: network evaluations.
        noise: share η in [0, 1] of the remaining noise that is drawn afresh; 0 follows the ODE.
        temperature: τ, standard deviation of all noise, where training has 1.

    Raises:
        UsageError: numbers out of range.
    """

    steps: int
    noise: float
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is {self.steps}, expected at least 1")
        if not 0 <= self.noise <= 1:
            raise UsageError(f"noise is {self.noise}, expected a share between 0 and 1")
        check_temperature(self.temperature)

    @torch.no_grad()
    def refine(
        self, flow: Guesser, z: Tensor, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Clouds from latents ``z`` ``(b, n, p + k)``, which are given at temperature 1.

        Example:
            >>> from manifold_gen.models import EndpointFlow
            >>> flow = EndpointFlow(PointCloud(4, 2), width=8, pair_width=8, depth=1)
            >>> Renewal(3, 0.5, temperature=0.9).refine(flow, flow.base.sample(5)).shape
            torch.Size([5, 4, 2])
        """
        x, embedded, guess = self.temperature * z, flow.context(context), None
        for t, after in zip(*time_pairs(self.steps), strict=True):
            guess = flow.endpoint(x, x.new_full((len(x),), t), embedded, guess)
            if after == 1.0:
                return guess
            rest = (x - t * guess) / (1 - t)
            x = torch.lerp(self.renewed(flow, rest, guess, t, after, generator), guess, after)
        return x

    def renewed(
        self, flow: Guesser, rest: Tensor, guess: Tensor, t: float, after: float, generator: torch.Generator | None
    ) -> Tensor:
        """The noise of time ``after``, made of what is left of that of time ``t`` and of new."""
        lost = 1.0 if flow.pairs_noise else 1 - ((1 - after) * t / (after * (1 - t))) ** 2  # 1 − (σ' / σ)²
        share = self.noise * lost**0.5
        if share == 0:
            return rest
        fresh = self.temperature * flow.manifold.random_tangent(rest, generator=generator)
        return flow.coupled((1 - share**2) ** 0.5 * rest + share * fresh, guess)


def usual_temperature(model: GenerativeModel) -> float:
    """The temperature at which ``model`` draws unless it is told another; 1 for a sampler that has none.

    >>> from manifold_gen.models import EndpointFlow, FlowMatching
    >>> usual_temperature(EndpointFlow(PointCloud(4, 2), width=8, depth=1, temperature=0.9))
    0.9
    >>> usual_temperature(FlowMatching(PointCloud(4, 2), width=8, depth=1))
    1.0
    """
    return model.hyperparameters.get("temperature", 1.0)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not above 0.

    Raises:
        UsageError: says so.
    """
    if not temperature > 0:
        raise UsageError(f"temperature is {temperature}, expected above 0; 1 is that of training")
