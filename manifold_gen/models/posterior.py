"""Weighted samples of a posterior, and how particles are weighed and drawn again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.errors import DataError


@dataclass(frozen=True)
class PosteriorSample:
    """Points of a posterior with their weights.

    Attributes:
        x: points ``(n, *shape)``.
        log_weights: ``(n,)``, the weights sum to 1.
        effective_sample_size: (Σ w)² / Σ w², between 1 and n: how many equally weighted points these are worth.
        log_evidence: estimate of log ∫ p(x) exp(log_likelihood(x)) dx, where the method gives one.
    """

    x: Tensor
    log_weights: Tensor
    effective_sample_size: float
    log_evidence: float | None = None

    def resample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` points of equal weight, ``(n, *shape)``, with repetitions.

        Example:
            >>> PosteriorSample(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, -torch.inf]), 1.0).resample(2)
            tensor([[1.],
                    [1.]])
        """
        return self.x[systematic(self.log_weights, n, generator)]


def weighted(x: Tensor, log_weights: Tensor, log_evidence: float | None = None) -> PosteriorSample:
    """A ``PosteriorSample`` from weights of any scale.

    Raises:
        DataError: no weight is positive.
    """
    total = torch.logsumexp(log_weights, 0)
    if not math.isfinite(float(total)):
        raise DataError(
            f"the likelihood is zero or not a number at all of {len(log_weights)} points; "
            "give one that is positive where the prior has mass, or take more points"
        )
    return PosteriorSample(x, log_weights - total, effective_size(log_weights), log_evidence)


def effective_size(log_weights: Tensor) -> float:
    """(Σ w)² / Σ w²; 0 where no weight is positive.

    Example:
        >>> effective_size(torch.zeros(4))
        4.0
    """
    first = torch.logsumexp(log_weights, 0)
    if not math.isfinite(float(first)):
        return 0.0
    return round(float(torch.exp(2 * first - torch.logsumexp(2 * log_weights, 0))), 6)


def systematic(log_weights: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
    """Indices ``(n,)`` drawn in proportion to the weights by one uniform number and equal spacing."""
    device = log_weights.device
    offset = torch.rand(1, generator=generator, dtype=torch.float64, device=device)
    edges = torch.softmax(log_weights.double(), 0).cumsum(0)
    points = (torch.arange(n, dtype=torch.float64, device=device) + offset) / n
    return torch.searchsorted(edges, points * edges[-1]).clamp_max(len(log_weights) - 1)
