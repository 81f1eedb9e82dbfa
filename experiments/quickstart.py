"""The main job in two minutes: a free-form flow on the backbone angles of proteins, beside a classical mixture.

Fits both to the bundled ``ramachandran`` data, evaluates them on the test split, and writes a run folder with the
checkpoint, the samples as CSV, the figures and the table that it prints.

    python experiments/quickstart.py --out runs/quickstart
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen.checkpoint.files import write_atomically
from manifold_gen.data import Dataset
from manifold_gen.data.files import write_points
from manifold_gen.data.formats import PointFormat
from manifold_gen.distributions import Mixture, Uniform, fit_von_mises_mixture
from manifold_gen.distributions.base import Distribution
from manifold_gen.metrics import LikelihoodReport
from manifold_gen.plotting import plot_torus, plot_training, save_figure

FLOW = dict(reconstruction=10.0, latent_reconstruction=10.0, proposal_reconstruction=1.0)
TRAINING = dict(steps=3000, batch_size=512, lr=5e-3, eval_every=500)
COMPONENTS = 24
EM_ROWS = 20_000
SAMPLES = 10_000


def main() -> None:
    """Fit, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--steps", type=int, default=TRAINING["steps"], help="optimiser steps of the flow")
    arguments = parser.parse_args()
    started = time.monotonic()
    dataset = mg.load_dataset("ramachandran")
    print(f"ramachandran: {len(dataset.train):,} training angles (φ, ψ), {len(dataset.test):,} held out for the test")

    mixture, mixture_seconds = timed(lambda: fit_mixture(dataset))
    flow = mg.FreeFormFlow(dataset.manifold, **FLOW)
    config = mg.TrainingConfig(**{**TRAINING, "steps": arguments.steps})
    result = mg.fit(flow, dataset, config, out=arguments.out, overwrite=True, diagnose=mg.diagnose)
    print(result.diagnostics.table())

    rows = {
        "uniform": (Uniform(dataset.manifold), 0.0),
        f"mixture of {COMPONENTS} von Mises products": (mixture, mixture_seconds),
        "free-form flow": (flow, result.seconds),
    }
    test, truth = dataset.test, dataset.density
    reports = {name: mg.evaluate_likelihood(model, test, density=truth) for name, (model, _) in rows.items()}
    table = as_table(reports, {name: seconds for name, (_, seconds) in rows.items()})
    print(f"\n{table}\n")
    write_results(arguments.out, flow, dataset, table, reports)
    print(f"wrote {arguments.out} in {time.monotonic() - started:.0f} s")
    print(f"next: manifold-gen sample {arguments.out} -n 1000 -o samples.csv")


def fit_mixture(dataset: Dataset) -> Mixture:
    """The baseline: expectation maximisation on the first rows."""
    return fit_von_mises_mixture(dataset.train.x[:EM_ROWS], COMPONENTS, torch.Generator().manual_seed(0))


def timed(job: Callable[[], Distribution]) -> tuple[Distribution, float]:
    """What ``job()`` returns and the seconds it took."""
    start = time.monotonic()
    return job(), time.monotonic() - start


def as_table(reports: dict[str, LikelihoodReport], seconds: dict[str, float]) -> str:
    """One line a model: test likelihood, gap to the true density, integral, and time."""
    entropy = next(iter(reports.values()))
    lines = [f"{'test split, nats':<36}{'NLL':>9}{'above the truth':>22}{'integral':>10}{'valid':>7}{'fit, s':>8}"]
    for name, report in reports.items():
        gap = f"{report.gap:.4f} ± {report.gap_se:.4f}"
        valid = "yes" if report.valid else "NO"
        lines.append(
            f"{name:<36}{report.nll:>9.4f}{gap:>22}{report.round_trip.value:>10.4f}{valid:>7}{seconds[name]:>8.0f}"
        )
    lines.append(f"{'the exact density':<36}{entropy.nll - entropy.gap:>9.4f}")
    return "\n".join(lines)


def write_results(
    out: Path, flow: Distribution, dataset: Dataset, table: str, reports: dict[str, LikelihoodReport]
) -> None:
    """Samples, figures, table."""
    samples = flow.sample(SAMPLES, generator=torch.Generator().manual_seed(0))
    write_points(out / "samples.csv", samples, PointFormat.from_dict(dataset.info["format"]))
    figures = out / "figures"
    figures.mkdir(exist_ok=True)
    picture = plot_torus(flow, samples=samples[:1500], data=dataset.train.x, compare=True)
    save_figure(picture, figures / "ramachandran.png")
    save_figure(picture, figures / "ramachandran.pdf")
    save_figure(plot_training(out / "metrics.jsonl"), figures / "training.png")
    write_atomically(out / "table.txt", (table + "\n").encode())
    numbers = {name: report.to_dict() for name, report in reports.items()}
    write_atomically(out / "table.json", json.dumps(numbers, indent=2, default=_plain).encode())


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else str(value)


if __name__ == "__main__":
    main()
