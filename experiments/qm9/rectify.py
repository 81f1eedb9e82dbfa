"""A flow of fewer evaluations from a trained one: it learns what the teacher makes of latents without new noise.

python experiments/qm9/rectify.py qm9-flow-matching --out runs/qm9-rectified --device cuda --precision bf16
python experiments/qm9/evaluate.py runs/qm9-rectified --noise 0 -n 4000 --evaluations 1 2 4 8 --device cuda
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen import models
from manifold_gen.models.rectified import rectify


def main() -> None:
    """Ask the teacher for pairs, train the student on them and save it."""
    told = arguments()
    dataset = mg.load_dataset("qm9")
    device = torch.device(told.device)
    teacher = mg.load(told.teacher).to(device)
    settings = {name: value for name, value in teacher.hyperparameters.items() if name not in ("pairing", "noise")}
    student = models.build(models.RectifiedFlow, dataset.manifold, **settings, start=told.start).to(device)
    rectify(teacher, student, dataset.train, told.pairs, told.evaluations, told.seed)
    print(f"{told.pairs} pairs of {told.evaluations} evaluations each", flush=True)
    config = mg.TrainingConfig(
        steps=told.steps, batch_size=told.batch_size, lr=told.lr, ema_decay=0.999, keep="last", seed=told.seed,
        eval_every=max(1, told.steps // 4), precision=told.precision, device=told.device,
    )  # fmt: skip
    mg.fit(student, dataset, config, out=told.out)


def arguments() -> argparse.Namespace:
    """What the command line says; the defaults are those of ``gpu.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teacher")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--evaluations", type=int, default=16, help="of the teacher for a pair")
    parser.add_argument("--start", type=float, default=0.5, help="share of the rows at t = 0")
    parser.add_argument("--steps", type=int, default=1613)
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    return parser.parse_args()


if __name__ == "__main__":
    main()
