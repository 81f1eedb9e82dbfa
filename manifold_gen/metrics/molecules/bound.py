"""How likely held-out molecules are, as far as a bound tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from manifold_gen import seeds
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.metrics.base import Estimate, mean_estimate

if TYPE_CHECKING:
    from manifold_gen.models.sized import SizedModel

SAMPLES = 32


@dataclass(frozen=True)
class LikelihoodBound:
    """An upper bound of the mean of −log p(n) − log p(x | n), nats a molecule, positions in ångström.

    Attributes:
        value: the estimate, whose standard error covers the choice of molecules and the noises.
        count: molecules it is a mean over.
        samples: noises for each.
    """

    value: Estimate
    count: int
    samples: int

    def to_dict(self) -> dict[str, object]:
        """As plain numbers."""
        return {**self.value.to_dict(), "count": self.count, "samples": self.samples}

    def __str__(self) -> str:
        return (
            f"negative log-likelihood at most {self.value} nats a molecule (a bound, by {self.count:,} molecules and "
            f"{self.samples} noises each)"
        )


def likelihood_bound(
    model: SizedModel, split: RaggedSplit, count: int = 1000, *, samples: int = SAMPLES, seed: int = 0
) -> LikelihoodBound:
    """The bound on ``count`` molecules of ``split`` drawn at random, all where it has no more.

    Raises:
        UsageError: the model knows no bound.
    """
    rows = torch.randperm(len(split), generator=seeds.generator(seed, 0))[:count].sort().values
    device, dtype = model.counts.device, next(model.parameters()).dtype
    found = model.elbo(
        split.take(rows).to(dtype=dtype, device=device), seeds.generator(seed, 1, device=device), samples
    )
    return LikelihoodBound(mean_estimate(-found.cpu()), len(rows), samples)
