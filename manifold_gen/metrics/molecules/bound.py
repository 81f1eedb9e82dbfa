"""How likely held-out molecules are, as far as a bound tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.metrics.base import Estimate, mean_estimate

if TYPE_CHECKING:
    from manifold_gen.models.sized import SizedModel


@dataclass(frozen=True)
class LikelihoodBound:
    """An upper bound of the mean of −log p(n) − log p(x | n), nats a molecule, positions in ångström.

    Attributes:
        value: the estimate, whose standard error covers the choice of molecules and the noises.
        count: molecules it is a mean over.
        samples: noises for each.
        left_out: molecules of no preimage, which the mean is not over; each of them has a bound of −∞.
    """

    value: Estimate
    count: int
    samples: int
    left_out: int = 0

    def to_dict(self) -> dict[str, object]:
        """As plain numbers."""
        return {**self.value.to_dict(), "count": self.count, "samples": self.samples, "left_out": self.left_out}

    def __str__(self) -> str:
        without = f"; {self.left_out} more have no preimage" if self.left_out else ""
        return (
            f"negative log-likelihood at most {self.value} nats a molecule (a bound, by {self.count:,} molecules, "
            f"noises of each: {self.samples}{without})"
        )


def molecule_bounds(model: SizedModel, split: RaggedSplit, *, samples: int | None = None, seed: int = 0) -> Tensor:
    """Estimates ``(M,)`` of a lower bound of log p(n) + log p(x | n) of each molecule of ``split``, nats.

    ``samples`` noises for each, by default as many as the model takes; −∞ where it has no bound.

    Raises:
        UsageError: the model knows no bound.
    """
    device, dtype = model.counts.device, next(model.parameters()).dtype
    samples = model.bound_samples if samples is None else samples
    return model.elbo(split.to(dtype=dtype, device=device), seeds.generator(seed, 1, device=device), samples).cpu()


def likelihood_bound(
    model: SizedModel, split: RaggedSplit, count: int = 1000, *, samples: int | None = None, seed: int = 0
) -> LikelihoodBound:
    """The mean of ``molecule_bounds`` over ``count`` molecules of ``split`` drawn at random, all where it has no more.

    Raises:
        UsageError: the model knows no bound.
    """
    rows = torch.randperm(len(split), generator=seeds.generator(seed, 0))[:count].sort().values
    samples = model.bound_samples if samples is None else samples
    found = molecule_bounds(model, split.take(rows), samples=samples, seed=seed)
    known = found[found.isfinite()]
    return LikelihoodBound(mean_estimate(-known), len(known), samples, len(found) - len(known))
