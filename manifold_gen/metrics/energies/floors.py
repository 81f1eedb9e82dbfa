"""The negative log-likelihood of clouds with a known law, beside the entropy below which none can lie.

Published values of DW4, LJ13 and LJ55 lack the prior's normaliser, so they stand (n − 1) p / 2 · ln 2π below true nats.
A mean below the floor is no record: the density is not normalised, or the points scored are not from the law.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch

from manifold_gen.data.base import Split
from manifold_gen.distributions.base import Distribution
from manifold_gen.energies import Known, PairEnergy
from manifold_gen.errors import UsageError
from manifold_gen.metrics.base import Estimate, mean_estimate
from manifold_gen.metrics.likelihood import LikelihoodReport, round_trip_integral

STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class FlooredLikelihood:
    """A mean negative log-likelihood in nats, its floor, and what makes it valid.

    Attributes:
        likelihood: the mean, its error, the share without a preimage, the round-trip integral.
        floor: the entropy of the law; ``None`` where it is not known.
        log_partition: log Z of the law; ``None`` where it is not known.
        excess: mean of −log q − E − log Z over the same points, the divergence KL(law ‖ model) with the error of log Z
            in it; the fluctuation of E drops out, so it is sharper than the mean less the floor. ``None`` where
            log Z is not known.
        offset: what the published convention subtracts.
    """

    likelihood: LikelihoodReport
    floor: Known | None
    log_partition: Known | None
    excess: Estimate | None
    offset: float

    @property
    def nll(self) -> Estimate:
        """True nats."""
        return Estimate(self.likelihood.nll, self.likelihood.nll_se)

    @property
    def published_nll(self) -> Estimate:
        """The same in the published convention: less ``offset``."""
        return Estimate(self.likelihood.nll - self.offset, self.likelihood.nll_se)

    @property
    def published_floor(self) -> float | None:
        """The floor in the published convention."""
        return None if self.floor is None else self.floor.value - self.offset

    @property
    def faults(self) -> list[str]:
        """Why the number is not valid, one line each; empty where it is."""
        found = list(self.likelihood.faults)
        if self.floor is not None:
            error = math.hypot(self.nll.se, self.floor.error)
            if self.nll.value < self.floor.value - STANDARD_ERRORS * error:
                found.append(
                    f"the mean {self.nll.value:.3f} is below the entropy of the law, {self.floor.value:.3f}, by more "
                    f"than {STANDARD_ERRORS:g} errors of {error:.3f}: no normalised density has it on data of this law"
                )
        if self.excess is not None and self.excess.value < -STANDARD_ERRORS * self.excess.se:
            found.append(f"the excess over the law's own density is negative, {self.excess}")
        return found

    @property
    def valid(self) -> bool:
        """Whether the mean may be quoted."""
        return not self.faults

    def to_dict(self) -> dict[str, object]:
        """Everything as plain values."""
        return {
            "nll": self.nll.to_dict(),
            "published_nll": self.published_nll.to_dict(),
            "floor": None if self.floor is None else self.floor.to_dict(),
            "published_floor": self.published_floor,
            "excess": None if self.excess is None else self.excess.to_dict(),
            "likelihood": self.likelihood.to_dict(),
            "valid": self.valid,
            "faults": self.faults,
        }


@torch.no_grad()
def likelihood_with_floor(
    model: Distribution,
    split: Split,
    energy: PairEnergy,
    *,
    round_trips: int = 4096,
    batch: int = 512,
    seed: int = 0,
) -> FlooredLikelihood:
    """Score ``split``, clouds of the law of ``energy``, in double precision.

    Args:
        model: any distribution on the clouds; log-densities are with respect to the volume of the zero-mean subspace.
        split: test clouds ``(N, n, p)``. They must be of the law and independent of the training set, or the floor does
            not hold: split Markov chains, not states.
        energy: whose law they have, at temperature 1.
        round_trips: of ``round_trip_integral``; 0 leaves it out, and the report invalid.
        batch: clouds scored at once.
        seed: of the round trips.

    Raises:
        UsageError: no clouds.
    """
    if len(split) == 0:
        raise UsageError("a likelihood needs at least one cloud, got an empty split")
    model = copy.deepcopy(model).to(torch.float64).eval()
    x = split.x.to(torch.float64)
    contexts = [None] * math.ceil(len(x) / batch) if split.context is None else split.context.split(batch)
    records = [model.score(part, given) for part, given in zip(x.split(batch), contexts, strict=True)]
    ok = torch.cat([record.converged for record in records])
    residual = torch.cat([record.residual for record in records])[ok]
    nll = -torch.cat([record.log_prob for record in records])[ok]
    excess = _excess(nll - energy.energy(x[ok]), energy.log_partition) if bool(ok.any()) else None
    mean = mean_estimate(nll) if bool(ok.any()) else Estimate(math.nan, math.nan)
    report = LikelihoodReport(
        mean.value,
        mean.se,
        count=len(x),
        unconverged=int((~ok).sum()),
        largest_residual=float(residual.max()) if bool(ok.any()) else math.nan,
        round_trip=round_trip_integral(model, split, round_trips, seed),
        gap=None if excess is None else excess.value,
        gap_se=None if excess is None else excess.se,
    )
    return FlooredLikelihood(report, energy.entropy_floor, energy.log_partition, excess, energy.published_offset)


def _excess(paired: torch.Tensor, log_partition: Known | None) -> Estimate | None:
    if log_partition is None:
        return None
    mean = mean_estimate(paired)
    return Estimate(mean.value - log_partition.value, math.hypot(mean.se, log_partition.error))
