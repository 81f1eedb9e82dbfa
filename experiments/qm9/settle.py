"""A generator of one evaluation from a trained flow: it learns where the flow settles the molecules it makes.

OMP_NUM_THREADS=1 python experiments/qm9/settle.py --out runs/qm9-settled
python experiments/qm9/evaluate.py runs/qm9-settled -n 2000 --evaluations 1 --out settled.json
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen import models
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.metrics.molecules import strict_judge
from manifold_gen.models.settled import settle

# What the student has in common with the flow whose weights it begins with.
NETWORK = ("network", "width", "pair_width", "depth", "distance_features", "attention", "time_waves",
           "context_features", "context_categories")  # fmt: skip


def main() -> None:
    """Start the student from a trained flow, train it under the teacher and save it."""
    told = arguments()
    torch.set_flush_denormal(True)
    dataset = mg.load_dataset("qm9")
    # a validation loss takes as many evaluations as training; some molecules are enough to see it fall
    dataset = replace(dataset, val=dataset.val.take(torch.arange(512)))
    device = torch.device(told.device)
    teacher, begin = (mg.load(name).to(device) for name in (told.teacher, told.begin))
    settings = {name: begin.hyperparameters[name] for name in NETWORK if name in begin.hyperparameters}
    student = models.build(models.SettledFlow, dataset.manifold, stages=told.stages, **settings).to(device)
    judge = strict_judge(MoleculeFormat.from_dict(dataset.info["format"]), told.memory) if told.judge else None
    settle(teacher, student, begin, judge=judge, precision=told.precision)
    config = mg.TrainingConfig(
        steps=told.steps, batch_size=told.batch_size, lr=told.lr, schedule="cosine", warmup=min(20, told.steps),
        ema_decay=0.99, keep="last", seed=told.seed, log_every=25,
        eval_every=max(1, told.steps // 2), precision="float32", device=told.device,
    )  # fmt: skip
    mg.fit(student, dataset, config, out=told.out)


def arguments() -> argparse.Namespace:
    """What the command line says; the defaults make one anew, docs/molecules.md has the bundled one's runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", default="qm9-flow-matching", help="settles the molecules")
    parser.add_argument("--begin", default="qm9-endpoint-flow", help="whose weights the student begins with")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", type=int, default=8)
    parser.add_argument("--judge", action=argparse.BooleanOptionalAction, default=True, help="mend wrong molecules")
    parser.add_argument("--memory", type=int, default=4000, help="molecules that the judge does not want again")
    parser.add_argument("--precision", default="bf16", help="of the teacher; float32 where bf16 is slow")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
