"""Models of particles with a known energy in equal training time: likelihood with its floor, energies, distances, ESS.

python experiments/boltzmann.py dw4 --seconds 300 --out experiments/boltzmann_dw4.json
python experiments/boltzmann.py lj13 --seconds 600 --clouds 1000 --lots 1 --round-trips 512 --out lj13.json

With --runs a trained model is kept, and a later call with the same folder scores it without training it anew.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen import models
from manifold_gen.benchmark.budget import calibrate
from manifold_gen.data.base import Dataset
from manifold_gen.energies import RECIPES
from manifold_gen.metrics.energies import BoltzmannReport, evaluate_boltzmann
from manifold_gen.metrics.energies.weights import LEAST_SAMPLES
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training import TrainingConfig

MODELS = {
    "free-form-flow": {"width": 64, "depth": 3},
    "endpoint-flow": {"width": 64, "pair_width": 32, "depth": 3, "pairing": True, "likelihood_steps": 8},
}


def main() -> None:
    """Train, score and print each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=sorted(RECIPES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seconds", type=float, default=300.0, help="of training, processor time of one thread")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clouds", type=int, default=2000, help="of the test part that are scored and compared")
    parser.add_argument("--lots", type=int, default=2, help="of samples that are weighed")
    parser.add_argument("--draws", type=int, default=10_000, help="samples a lot; below 10,000 the report says so")
    parser.add_argument("--round-trips", type=int, default=1024, help="by which the integral is estimated")
    parser.add_argument("--runs", type=Path, help="folder of trained models; those that are there are not trained")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = mg.load_dataset(arguments.system)
    rows = []
    for name in arguments.models:
        rows.append({"model": name, "seed": arguments.seed, **trained(name, dataset, arguments)})
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=1, default=str) + "\n")


def trained(name: str, dataset: Dataset, arguments: argparse.Namespace) -> dict[str, object]:
    """One model's record, printed too."""
    model, told = fitted(name, dataset, arguments)
    print(f"\n{name}: {told['steps']} steps, {told['seconds']:.0f} s, {told['parameters']:,} parameters", flush=True)
    start = time.process_time()
    report = scored(model, dataset, arguments)
    print(report.table(), flush=True)
    return {**told, **report.to_dict(), "evaluation_seconds": time.process_time() - start}


def fitted(name: str, dataset: Dataset, arguments: argparse.Namespace) -> tuple[GenerativeModel, dict[str, object]]:
    """The model, trained or read from ``--runs``, and how it was trained."""
    run = arguments.runs / f"{arguments.system}-{name}" if arguments.runs else None
    record = run / "training.json" if run else None
    if record and record.exists():
        return mg.load(run), json.loads(record.read_text())
    model = models.resolve(name)(dataset.manifold, **MODELS[name], seed=arguments.seed)
    config = TrainingConfig(batch_size=arguments.batch_size, ema_decay=0.999, keep="last", seed=arguments.seed)
    config = calibrate(model, dataset, config, arguments.seconds)
    start = time.process_time()
    mg.fit(model, dataset, config, out=run, quiet=run is None)
    told = {"steps": config.steps, "batch_size": config.batch_size, "seconds": time.process_time() - start}
    told["parameters"] = sum(p.numel() for p in model.parameters())
    if record:
        record.write_text(json.dumps(told) + "\n")
    return model, told


def scored(model: GenerativeModel, dataset: Dataset, arguments: argparse.Namespace) -> BoltzmannReport:
    """The report on clouds of the test part and lots of samples."""
    count, lots = arguments.clouds, tuple(range(arguments.lots))
    options = {"compared": count, "round_trips": arguments.round_trips, "seed_list": lots}
    options |= {"count": arguments.draws, "at_least": min(arguments.draws, LEAST_SAMPLES)}
    energy = RECIPES[arguments.system].energy
    return evaluate_boltzmann(model, dataset.test.take(torch.arange(count)), energy, **options)


if __name__ == "__main__":
    main()
