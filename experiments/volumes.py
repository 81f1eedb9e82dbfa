"""Which volume change a free-form flow should be trained through where nothing else is said: data × volume × seed.

Every cell has the same processor time of one thread, the default settings of ``FreeFormFlow`` and of the training, and
is judged on validation points. Finished cells are kept, so that a killed run goes on where it stopped.

    python experiments/volumes.py --out experiments/volumes.jsonl --seeds 2
    python experiments/volumes.py --data fire --volumes restoring --beta 1 3 --seconds 60 --seeds 3
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen.benchmark.budget import calibrate

# one a kind of manifold: T², SO(3), H², R², S² and a torus of more dimensions
SETS = ("ramachandran", "so3_mixture_16", "hyperbolic_mixture_a", "swiss_roll", "checkerboard_s2", "rna")
VOLUMES = ("exact_encoder", "restoring")
WEIGHTS = {"reconstruction": 30.0, "latent_reconstruction": 30.0, "proposal_reconstruction": 3.0}  # the default
CELL = ("data", "volume", "beta", "seconds", "seed")


def main() -> None:
    """Run the cells that are missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("experiments/volumes.jsonl"))
    parser.add_argument("--data", nargs="*", default=list(SETS))
    parser.add_argument("--volumes", nargs="*", default=list(VOLUMES))
    parser.add_argument("--beta", nargs="*", type=float, default=[1.0], help="factors of the reconstruction weights")
    parser.add_argument("--seconds", type=float, default=40.0, help="processor time of a training")
    parser.add_argument("--seeds", type=int, default=1, help="how many, of weights, batches and split")
    told = parser.parse_args()
    torch.set_num_threads(1)
    done = {tuple(record[key] for key in CELL) for record in records(told.out)}
    for cell in itertools.product(range(told.seeds), told.data, told.beta, told.volumes):
        seed, data, beta, volume = cell
        wanted = dict(data=data, volume=volume, beta=beta, seconds=told.seconds, seed=seed)
        if tuple(wanted[key] for key in CELL) in done:
            continue
        record = run(**wanted)
        with told.out.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(row(record), flush=True)
    print(table(told.out))


def run(data: str, volume: str, beta: float, seconds: float, seed: int) -> dict[str, object]:
    """Train and score one cell; a training that diverges is recorded as such, without a number."""
    dataset = mg.load_dataset(data, split_seed=seed)
    weights = {name: beta * value for name, value in WEIGHTS.items()}
    flow = mg.FreeFormFlow(dataset.manifold, volume=volume, seed=seed, **weights)
    record = dict(data=data, volume=volume, beta=beta, seconds=seconds, seed=seed)
    config = calibrate(flow, dataset, mg.TrainingConfig(seed=seed, threads=1), seconds)
    start = time.process_time()
    try:
        mg.fit(flow, dataset, config, quiet=True)
    except mg.errors.DivergenceError as error:
        return {**record, "failed": str(error).splitlines()[0]}
    record |= {"steps": config.steps, "cpu_seconds": round(time.process_time() - start, 1)}
    return {**record, **mg.evaluate_likelihood(flow, dataset.val, density=dataset.density).to_dict()}


def records(path: Path) -> list[dict[str, object]]:
    """All cells in the file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(path: Path) -> str:
    """The cells as a Markdown table, one a row."""
    head = "| data | seed | volume | β × | steps | seconds | validation NLL | unconverged | integral | valid |"
    cells = sorted(records(path), key=lambda r: (r["data"], r["seed"], r["seconds"], r["beta"], r["volume"]))
    return "\n".join([head, "|---" * head.count(" | ") + "|---|", *map(row, cells)])


def row(record: dict[str, object]) -> str:
    """One cell as a row of the table."""
    start = f"| {record['data']} | {record['seed']} | {record['volume']} | {record['beta']:g} |"
    if "failed" in record:
        return f"{start} diverged ||||||"
    lost, integral = f"{record['unconverged']} of {record['count']:,}", record["round_trip"]["value"]
    return (
        f"{start} {record['steps']:,} | {record['cpu_seconds']:.0f} | {record['nll']:.3f} ± {record['nll_se']:.3f} |"
        f" {lost} | {integral:.4f} | {'yes' if record['valid'] else 'no'} |"
    )


if __name__ == "__main__":
    main()
