"""Everything about a model of DW4, LJ13 or LJ55 in one report."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data.base import Split
from manifold_gen.distributions.base import Distribution
from manifold_gen.energies import PairEnergy
from manifold_gen.metrics.base import Estimate, mean_estimate
from manifold_gen.metrics.energies.comparison import Comparison, compare_distances, compare_energies
from manifold_gen.metrics.energies.floors import FlooredLikelihood, likelihood_with_floor
from manifold_gen.metrics.energies.published import published_values
from manifold_gen.metrics.energies.weights import LEAST_SAMPLES, EffectiveSampleSize, effective_sample_size

_ABSENT = "–"


@dataclass(frozen=True)
class BoltzmannReport:
    """A model against the law of an energy.

    Attributes:
        system: name of the energy.
        likelihood: of test clouds, with its floor.
        energies, distances: Wasserstein-2 to reference clouds, with the one between halves of those.
        mean_energy, reference_energy: means over the compared clouds.
        effective: effective sample size.
    """

    system: str
    likelihood: FlooredLikelihood
    energies: Comparison
    distances: Comparison
    mean_energy: Estimate
    reference_energy: Estimate
    effective: EffectiveSampleSize

    @property
    def faults(self) -> list[str]:
        """What speaks against the numbers, one line each."""
        return [*self.likelihood.faults, *self.effective.faults]

    def to_dict(self) -> dict[str, object]:
        """Everything as plain values, with the published rows that may be printed."""
        return {
            "system": self.system,
            "likelihood": self.likelihood.to_dict(),
            "energies": self.energies.to_dict(),
            "distances": self.distances.to_dict(),
            "mean_energy": self.mean_energy.to_dict(),
            "reference_energy": self.reference_energy.to_dict(),
            "effective": self.effective.to_dict(),
            "published": [row.to_dict() for row in published_values(self.system)],
            "faults": self.faults,
        }

    def table(self) -> str:
        """Markdown: one line a number with what it is to be held against, then the published ones, then the faults.

        An invalid likelihood is shown as such, without a number.
        """
        lines = [f"| {self.system} | value | floor or law |", "|---|---|---|", *map(_line, self._rows())]
        rows = published_values(self.system)
        if rows:
            lines += ["", "| published | metric | value | grade | remark |", "|---|---|---|---|---|"]
            for row in rows:
                value = f"{row.value:g}" + ("" if row.error is None else f" ± {row.error:g}")
                lines.append(_line((row.method, row.metric, value, row.grade, row.remark)))
        return "\n".join([*lines, *(["", *(f"- {fault}" for fault in self.faults)] if self.faults else [])])

    def _rows(self) -> list[tuple[str, str, str]]:
        scored, weights = self.likelihood, self.effective
        floor, log_z = scored.floor, scored.log_partition
        nll, published = (str(v) if scored.valid else "invalid" for v in (scored.nll, scored.published_nll))
        return [
            ("NLL (nats)", nll, _ABSENT if floor is None else f"{floor.value:g} ± {floor.error:g}"),
            ("NLL (published convention)", published, _ABSENT if floor is None else f"{scored.published_floor:.2f}"),
            ("KL(law ‖ model) (nats)", _ABSENT if scored.excess is None else str(scored.excess), "0"),
            ("energy W2 (kT)", str(self.energies.distance), str(self.energies.floor)),
            ("interatomic distance W2", str(self.distances.distance), str(self.distances.floor)),
            ("mean energy (kT)", str(self.mean_energy), str(self.reference_energy)),
            (f"ESS, share of {weights.count} samples × {len(weights.seeds)} seeds", str(weights.share), "1"),
            (
                "log Z from weights",
                str(weights.log_partition),
                _ABSENT if log_z is None else f"{log_z.value:g} ± {log_z.error:g}",
            ),
        ]


@torch.no_grad()
def evaluate_boltzmann(
    model: Distribution,
    test: Split,
    energy: PairEnergy,
    *,
    count: int = LEAST_SAMPLES,
    at_least: int = LEAST_SAMPLES,
    seed_list: tuple[int, ...] = (0, 1, 2),
    compared: int = 5000,
    round_trips: int = 4096,
    batch: int = 512,
    seed: int = 0,
) -> BoltzmannReport:
    """Score, compare and weigh a model.

    Args:
        model: a distribution on clouds; its samples are those of its density, ``exact_sample``.
        test: clouds of the law, independent of the training set; they are also the reference of the comparisons.
        energy: whose law it is.
        count, at_least, seed_list: of ``effective_sample_size``.
        compared: samples drawn for the comparisons.
        round_trips: of the likelihood's round-trip integral.
        batch: clouds drawn or scored at once.
        seed: of everything else.

    Raises:
        UsageError: too few samples, clouds or seeds, or wrong shapes.
        DataError: samples that are not finite.
    """
    tensors = [*model.parameters(), *model.buffers()]
    generator = seeds.generator(seed, 3, device=tensors[0].device if tensors else "cpu")
    parts = [min(batch, compared - start) for start in range(0, compared, batch)]
    samples = torch.cat([model.exact_sample(part, generator=generator) for part in parts])
    return BoltzmannReport(
        energy.name,
        likelihood_with_floor(model, test, energy, round_trips=round_trips, batch=batch, seed=seed),
        compare_energies(energy, samples, test.x, seed=seed),
        compare_distances(samples, test.x, seed=seed),
        _mean_energy(energy, samples),
        _mean_energy(energy, test.x),
        effective_sample_size(model, energy, count=count, at_least=at_least, seed_list=seed_list, batch=batch),
    )


def _mean_energy(energy: PairEnergy, x: Tensor) -> Estimate:
    return mean_estimate(energy.energy(x.to(torch.float64)))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
