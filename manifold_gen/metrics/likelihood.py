"""The negative log-likelihood that may be quoted, with the evidence that it is one.

A model whose density rests on a numerical inversion can cheat without meaning to: by scoring points it cannot produce,
or by a density that does not integrate to one. So three numbers go together: the mean over the converged points, the
share of points that did not converge, and the integral I of the density. The mean is *valid* when at most 0.1 % of the
points are unconverged (one point in a set below 1,000) and |I − 1| ≤ 0.02 + 2 SE, with SE ≤ 0.005.
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data.base import Split
from manifold_gen.distributions import Mixture, Uniform, WrappedNormal
from manifold_gen.distributions.base import Distribution, ScoreRecord

LARGEST_UNCONVERGED = 1e-3
INTEGRAL_SLACK = 0.02
LARGEST_INTEGRAL_SE = 0.005
KERNELS = 200
KERNEL_WIDTH = 0.15


@dataclass(frozen=True)
class Integral:
    """An estimate of ∫ exp(log_prob) dV.

    Attributes:
        value, se: the estimate and its standard error.
        effective: effective sample size of the importance weights, or the number of round trips.
    """

    value: float
    se: float
    effective: float

    @property
    def slack(self) -> float:
        """How far from 1 the estimate may lie: 0.02 and two standard errors."""
        return INTEGRAL_SLACK + 2 * self.se

    @property
    def is_one(self) -> bool:
        """Whether it is 1 within ``slack``."""
        return abs(self.value - 1) <= self.slack


@dataclass(frozen=True)
class LikelihoodReport:
    """A mean negative log-likelihood in nats and what makes it valid.

    Attributes:
        nll, nll_se: mean over the converged points, and its standard error.
        count, unconverged: points scored, and how many of them have no preimage.
        largest_residual: of the converged points.
        round_trip: integral of the density, from latents returned by the inversion.
        importance: the same by importance sampling, where the space is compact and of dimension ≤ 3.
        gap, gap_se: paired mean of log p_true − log p_model over the converged points, where the truth is known.
    """

    nll: float
    nll_se: float
    count: int
    unconverged: int
    largest_residual: float
    round_trip: Integral
    importance: Integral | None = None
    gap: float | None = None
    gap_se: float | None = None

    @property
    def unconverged_share(self) -> float:
        """Share of the points that the inversion did not solve."""
        return self.unconverged / self.count

    @property
    def faults(self) -> list[str]:
        """Why the number is not valid, one line each; empty where it is."""
        found = []
        allowed = max(1, math.floor(LARGEST_UNCONVERGED * self.count))
        if self.unconverged > allowed:
            found.append(f"{self.unconverged} of {self.count} points have no preimage, at most {allowed} may")
        if not self.round_trip.se <= LARGEST_INTEGRAL_SE:
            found.append(
                f"the round-trip integral is known to ±{self.round_trip.se:.3g}, needed ±{LARGEST_INTEGRAL_SE}"
            )
        for name, integral in (("round trip", self.round_trip), ("importance sampling", self.importance)):
            if integral is not None and not integral.is_one:
                found.append(f"the density integrates to {integral.value:.3f} ± {integral.se:.3f} by {name}, not to 1")
        return found

    @property
    def valid(self) -> bool:
        """Whether the mean may be quoted."""
        return not self.faults

    def to_dict(self) -> dict[str, object]:
        """Everything as plain numbers."""
        return {**asdict(self), "valid": self.valid, "faults": self.faults}


@torch.no_grad()
def evaluate_likelihood(
    model: Distribution,
    split: Split,
    *,
    train: Split | None = None,
    density: Distribution | None = None,
    round_trips: int = 4096,
    proposals: int = 20_000,
    seed: int = 0,
) -> LikelihoodReport:
    """Score ``split`` in double precision and estimate the integral of the density.

    Args:
        model: any distribution; a free-form flow is inverted.
        split: the points to score; a conditional model is integrated under their contexts.
        train: points around which half of the importance proposal lies; without it, only the round trip is done.
        density: the true density, for the paired gap.
        round_trips: latents of the round-trip integral; 0 leaves it out, and the report invalid.
        proposals: points of the importance-sampled integral.
        seed: of both.
    """
    model = copy.deepcopy(model).to(torch.float64).eval()
    x = split.x.to(torch.float64)
    record = model.score(x, split.context)
    ok = record.converged
    scored = record.log_prob[ok]
    found = of_record(record, round_trip_integral(model, split, round_trips, seed))
    gap = None if density is None else copy.deepcopy(density).to(torch.float64).log_prob(x)[ok] - scored
    conditional = split.context is not None
    importance = None
    if train is not None and not conditional and model.manifold.dim <= 3 and math.isfinite(model.manifold.log_volume):
        importance = importance_integral(model, train, proposals, seed)
    if gap is None:
        return replace(found, importance=importance)
    mean, se = _mean(gap)
    return replace(found, importance=importance, gap=mean, gap_se=se)


def of_record(record: ScoreRecord, round_trip: Integral) -> LikelihoodReport:
    """The report on points that have been scored; without an importance-sampled integral and without a gap."""
    ok = record.converged
    return LikelihoodReport(
        *_mean(-record.log_prob[ok]),
        count=ok.numel(),
        unconverged=int((~ok).sum()),
        largest_residual=float(record.residual[ok].max()) if bool(ok.any()) else math.nan,
        round_trip=round_trip,
    )


@torch.no_grad()
def round_trip_integral(model: Distribution, split: Split, count: int, seed: int) -> Integral:
    """Share of latents that come back, with its binomial error (Agresti–Coull, so that it is not 0 at share 1)."""
    generator = seeds.generator(seed, 1, device=split.x.device)
    context = split.context
    if context is not None:
        rows = torch.randint(len(split), (count,), generator=generator, device=split.x.device)
        context = context[rows]
    if count == 0:
        return Integral(math.nan, math.nan, 0.0)
    returned = int(model.round_trip(count, context, generator).sum())
    centre = (returned + 2) / (count + 4)
    return Integral(returned / count, math.sqrt(centre * (1 - centre) / (count + 4)), float(count))


@torch.no_grad()
def importance_integral(model: Distribution, train: Split, count: int, seed: int) -> Integral:
    """Mean of p / q for q half uniform, half a kernel density of training points."""
    generator = seeds.generator(seed, 2, device=train.x.device)
    manifold, x = model.manifold, train.x.to(torch.float64)
    rows = torch.randperm(len(x), generator=generator, device=x.device)[:KERNELS]
    uniform = Uniform(manifold).to(x)
    kernels = Mixture(WrappedNormal(manifold, x[rows], KERNEL_WIDTH), torch.zeros(len(rows))).to(x)
    half = count // 2
    points = torch.cat([uniform.sample(half, generator=generator), kernels.sample(half, generator=generator)])
    log_q = torch.logaddexp(uniform.log_prob(points), _in_parts(kernels, points)) - math.log(2)
    weights = (model.score(points).log_prob - log_q).exp()
    # Half of the points come from each part: the strata's variances add.
    variance = sum(part.var() / len(part) for part in weights.split(half)) / 4
    effective = weights.sum() ** 2 / weights.square().sum()
    return Integral(float(weights.mean()), float(variance.sqrt()), float(effective))


def _in_parts(density: Distribution, points: Tensor, size: int = 2048) -> Tensor:
    return torch.cat([density.log_prob(part) for part in points.split(size)])


def _mean(values: Tensor) -> tuple[float, float]:
    if len(values) == 0:
        return math.nan, math.nan
    if len(values) == 1:
        return float(values), math.nan
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))
