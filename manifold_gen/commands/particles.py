"""What ``evaluate`` says of a model of particles whose energy is known."""

from __future__ import annotations

from manifold_gen.commands.kinds import Evaluation, Told
from manifold_gen.commands.runs import device_of, floating_type, whole_number


def diagnosed(dim: int) -> int:
    """Clouds of each part that are scored after a fit: exact densities take a derivative a coordinate, and each of them
    longer the more points there are.

    >>> diagnosed(6), diagnosed(36)
    (128, 16)
    """
    return max(16, 4608 // dim**2)


def evaluate_particles(asked: Evaluation) -> Told:
    """Likelihood with its floor, energies, distances and effective sample size, beside the published rows."""
    from manifold_gen.energies import RECIPES
    from manifold_gen.metrics.energies import evaluate_boltzmann
    from manifold_gen.metrics.energies.weights import LEAST_SAMPLES

    count = whole_number(asked.flags["-n"], "-n") if "-n" in asked.flags else LEAST_SAMPLES
    rows = getattr(asked.dataset, asked.split).to(dtype=floating_type(asked.model), device=device_of(asked.model))
    asked.note(f"drawing and scoring 3 × {count:,} clouds, up to an hour where the density is that of an ODE …")
    energy = RECIPES[asked.dataset.name].energy
    report = evaluate_boltzmann(asked.model, rows, energy, count=count, at_least=1, seed=asked.seed)
    return Told(report.table().splitlines(), report.to_dict(), report.likelihood.valid)
