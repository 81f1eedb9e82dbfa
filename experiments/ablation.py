"""What makes the free-form flow's training hold validity: one change at a time, on three data sets.

Each cell trains the base configuration with one thing changed, for the same number of steps, and reports the honest
test likelihood with the share of unconverged points and the integral of the density, and beside it the likelihood of
the validation points, by which a change is to be judged. Finished cells are kept, so that a killed run goes on where it
stopped.

    python experiments/ablation.py --out experiments/ablation.jsonl
    python experiments/ablation.py --out again.jsonl --changes base "width 128"
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

import manifold_gen as mg

STEPS = 1000
BASE = dict(
    width=64,
    depth=3,
    stages=1,
    head="projection",
    volume="exact_encoder",
    decay=1.0,
    frequency=6.0,
    waves=128,
    fold_penalty=1.0,
    latent_stride=2,
)
SETS = {
    "ramachandran": dict(model=dict(reconstruction=10.0, latent_reconstruction=10.0, proposal_reconstruction=1.0)),
    "earthquake": dict(model=dict(reconstruction=100.0, latent_reconstruction=100.0, proposal_reconstruction=10.0)),
    "so3_mixture_16": dict(model=dict(reconstruction=30.0, latent_reconstruction=30.0, proposal_reconstruction=3.0)),
}
TRAINING = dict(steps=STEPS, batch_size=512, lr=5e-3, grad_clip=5.0, ema_decay=0.995, threads=1)
CHANGES: dict[str, dict[str, dict[str, object]]] = {
    "base": {},
    "displacement head": {"model": dict(head="displacement")},
    "three stages of a third of the depth": {"model": dict(stages=3, depth=1)},
    "displacement head, three stages": {"model": dict(head="displacement", stages=3, depth=1)},
    "no fold penalty": {"model": dict(fold_penalty=0.0)},
    "fold penalty x 10": {"model": dict(fold_penalty=10.0)},
    "fold margin x 20": {"model": dict(fold_margin=0.01)},
    "no waves": {"model": dict(frequency=0.0)},
    "waves of equal amplitude": {"model": dict(decay=0.0)},
    "waves let in over half of the run": {"model": dict(annealing=0.5)},
    "beta x 0.1": {"scale": dict(beta=0.1)},
    "beta x 0.3": {"scale": dict(beta=0.3)},
    "beta x 3": {"scale": dict(beta=3.0)},
    "beta x 10": {"scale": dict(beta=10.0)},
    "beta x 1 to x 10 over the run": {"model": dict(tightening=10.0)},
    "no latent reconstruction": {"model": dict(latent_reconstruction=0.0)},
    "latent terms at one sample in four": {"model": dict(latent_stride=4)},
    "no proposal reconstruction": {"model": dict(proposal_reconstruction=0.0)},
    "no latent, no proposal reconstruction": {"model": dict(latent_reconstruction=0.0, proposal_reconstruction=0.0)},
    "noise of 0.02, fading": {"model": dict(noise=0.02)},
    "exact volume of the decoder": {"model": dict(volume="exact")},
    "surrogate volume, one probe": {"model": dict(volume="surrogate")},
    "AdamW": {"training": dict(optimiser="adamw")},
    # the same as above, for the rows below, which were measured later
    "base, again": {},
    "surrogate volume, one probe, again": {"model": dict(volume="surrogate")},
    "conditional surrogate, one probe": {"model": dict(volume="conditional")},
    "conditional surrogate, the other way round": {"model": dict(volume="restoring")},
    "no averaging of weights": {"training": dict(ema_decay=0.0)},
    "averaging 0.98": {"training": dict(ema_decay=0.98)},
    "width 128": {"model": dict(width=128)},
    "depth 6": {"model": dict(depth=6)},
}
WEIGHTS = ("reconstruction", "latent_reconstruction", "proposal_reconstruction")


def main() -> None:
    """Run the cells that are missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("experiments/ablation.jsonl"))
    parser.add_argument("--data", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--changes", nargs="*", choices=list(CHANGES), default=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches; one file a seed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = finished(arguments.out)
    for name in arguments.data:
        dataset = mg.load_dataset(name)
        for change in arguments.changes:
            if (name, change) not in done:
                record = run(name, change, dataset, arguments.seed)
                with arguments.out.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(record, flush=True)
    print(table(arguments.out, as_cell))
    print("\nvalidation points, where they were scored:\n")
    print(table(arguments.out, as_validation_cell))


def run(name: str, change: str, dataset: mg.data.Dataset, seed: int) -> dict[str, object]:
    """Train and score one cell; a training that diverges is recorded as such, without a number."""
    cell = CHANGES[change]
    hyperparameters = {**BASE, **SETS[name]["model"], **cell.get("model", {})}
    for weight in WEIGHTS:
        hyperparameters[weight] *= cell.get("scale", {}).get("beta", 1.0)
    flow = mg.FreeFormFlow(dataset.manifold, **hyperparameters, seed=seed)
    config = mg.TrainingConfig(**{**TRAINING, "seed": seed, **cell.get("training", {})})
    start = time.process_time()
    record = {"data": name, "change": change, "model": hyperparameters, "training": config.steps, "seed": seed}
    try:
        mg.fit(flow, dataset, config, quiet=True)
    except mg.errors.DivergenceError as error:
        return {**record, "failed": str(error).splitlines()[0]}
    seconds = time.process_time() - start
    report = mg.evaluate_likelihood(flow, dataset.test, train=dataset.train, density=dataset.density)
    held_out = mg.evaluate_likelihood(flow, dataset.val, round_trips=0)
    validation = {key: getattr(held_out, key) for key in ("nll", "nll_se", "count", "unconverged")}
    return {**record, "cpu_seconds": round(seconds, 1), **report.to_dict(), "validation": validation}


def finished(path: Path) -> set[tuple[str, str]]:
    """Cells that are there already."""
    return {(r["data"], r["change"]) for r in records(path)}


def records(path: Path) -> list[dict[str, object]]:
    """All cells in the file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(path: Path, shown: Callable[[dict[str, object]], str]) -> str:
    """What ``shown`` says of the cells as a Markdown table, one change a row; empty rows are left out."""
    cells = {(r["data"], r["change"]): shown(r) for r in records(path)}
    lines = ["| change | " + " | ".join(SETS) + " |", "|---" * (1 + len(SETS)) + "|"]
    for change in CHANGES:
        row = [cells.get((name, change), "") for name in SETS]
        if any(row):
            lines.append(f"| {change} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def as_cell(record: dict[str, object]) -> str:
    """Test likelihood, or what is wrong with it."""
    if "failed" in record:
        return "diverged"
    value = f"{record['nll']:.3f} ± {record['nll_se']:.3f}"
    if record["valid"]:
        return value
    share, integral = record["unconverged"] / record["count"], record["round_trip"]["value"]
    return f"*invalid* ({record['nll']:.2f}; {share:.1%} unconverged, I = {integral:.3f})"


def as_validation_cell(record: dict[str, object]) -> str:
    """Likelihood of the validation points and how many of them have no preimage; empty where they were not scored."""
    if "validation" not in record:
        return ""
    found = record["validation"]
    lost = f" ({found['unconverged']} unconverged)" if found["unconverged"] else ""
    return f"{found['nll']:.3f} ± {found['nll_se']:.3f}{lost}"


if __name__ == "__main__":
    main()
