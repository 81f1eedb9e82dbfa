"""Effective sample size: how many draws of the law the samples of a model are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.distributions.base import Distribution
from manifold_gen.energies import PairEnergy
from manifold_gen.errors import UsageError
from manifold_gen.metrics.base import Estimate, mean_estimate

LEAST_SAMPLES = 10_000


@dataclass(frozen=True)
class EffectiveSampleSize:
    """Effective sample sizes as shares of the samples drawn, one a seed.

    Attributes:
        shares: (Σ w)² / (N Σ w²) of each seed.
        seeds: of the draws.
        count: N, samples of each seed.
        unscored: samples, over all seeds, to which the model gives no density; their weight is taken as 0.
        largest_weight: the largest share of one sample in the sum of the weights of its seed.
        log_partition: log of the mean weight over all samples: log Z of the law, if the density is normalised; from
            below where the weights are heavy-tailed.
    """

    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    count: int
    unscored: int
    largest_weight: float
    log_partition: Estimate

    @property
    def share(self) -> Estimate:
        """Mean over the seeds, with its error from their spread."""
        return mean_estimate(torch.tensor(self.shares, dtype=torch.float64))

    @property
    def faults(self) -> list[str]:
        """What speaks against the number, one line each; empty where nothing does."""
        found = []
        if self.unscored:
            found.append(f"{self.unscored} of {self.count * len(self.seeds)} samples have no density; weighted 0")
        if self.count < LEAST_SAMPLES:
            found.append(f"{self.count} samples a seed, fewer than {LEAST_SAMPLES}: they miss the large weights")
        return found

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return {**asdict(self), "share": self.share.to_dict(), "faults": self.faults}


def effective_share(log_weights: Tensor) -> float:
    """(Σ w)² / (N Σ w²) of log-weights ``(N,)``; −∞ stands for a weight of 0.

    >>> round(effective_share(torch.tensor([0.0, 0.0, -math.inf, -math.inf])), 6)
    0.5
    """
    if bool((log_weights == -math.inf).all()):
        return 0.0
    log_weights = log_weights.to(torch.float64)
    log_share = 2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)
    return float(log_share.exp() / len(log_weights))


@torch.no_grad()
def effective_sample_size(
    model: Distribution,
    energy: PairEnergy,
    *,
    count: int = LEAST_SAMPLES,
    at_least: int = LEAST_SAMPLES,
    seed_list: Sequence[int] = (0, 1, 2),
    batch: int = 1000,
) -> EffectiveSampleSize:
    r"""Importance weights of a model's own samples against the law of ``energy``:

    .. math:: w_i = \exp(-E(x_i)) / q(x_i), \quad x_i \sim q, \qquad
              \mathrm{ESS} / N = \frac{(\sum_i w_i)^2}{N \sum_i w_i^2}

    The value falls as N grows until the largest weights are met, so small N flatter: published values on 16 samples are
    worthless. Weights are taken where the decoder put the sample, in the model's own precision; energies in float64.

    Args:
        model: on clouds ``(n, p)`` of zero mean.
        energy: of the law.
        count: N, samples of each seed.
        at_least: fewer samples are refused; lower it knowingly.
        seed_list: seeds of the draws, at least one.
        batch: samples drawn and scored at once.

    Raises:
        UsageError: ``count`` below ``at_least``, or no seeds.

    Source: Kish, Survey Sampling, 1965; Noé et al., Science 365, 2019 (of Boltzmann generators).
    """
    if count < max(1, at_least):
        raise UsageError(
            f"an effective sample size of {count} samples flatters the model; draw at least {at_least}, or pass "
            f"at_least={count} to do so knowingly"
        )
    if not seed_list:
        raise UsageError("an effective sample size needs at least one seed, got none")
    rows = [_log_weights(model, energy, count, seed, batch) for seed in seed_list]
    found = torch.stack(rows)
    unscored = found.isnan()
    found = found.masked_fill(unscored, -math.inf)
    largest = max(float((row.max() - row.logsumexp(0)).exp()) if row.max() > -math.inf else 0.0 for row in found)
    return EffectiveSampleSize(
        tuple(effective_share(row) for row in found),
        tuple(seed_list),
        count,
        int(unscored.sum()),
        largest,
        _log_mean(found.flatten()),
    )


def _log_weights(model: Distribution, energy: PairEnergy, count: int, seed: int, batch: int) -> Tensor:
    """``(count,)`` float64; NaN for a sample without a density."""
    tensors = [*model.parameters(), *model.buffers()]
    generator = seeds.generator(seed, device=tensors[0].device if tensors else "cpu")
    parts = []
    for start in range(0, count, batch):
        x, log_prob = model.sample_and_log_prob(min(batch, count - start), generator=generator)
        log_prob = log_prob.to(torch.float64)
        log_weight = -energy.energy(x.to(torch.float64)) - log_prob
        parts.append(torch.where(torch.isfinite(log_prob), log_weight, math.nan).cpu())
    return torch.cat(parts)


def _log_mean(log_weights: Tensor) -> Estimate:
    top = log_weights.max()
    if top == -math.inf:
        return Estimate(-math.inf, math.nan)
    mean = mean_estimate((log_weights - top).exp())
    return Estimate(float(top) + math.log(mean.value), mean.se / mean.value)
