"""How good molecules of one model are at 1, 2, 4, 8, 20 and 100 network evaluations, by every measure there is.

python experiments/qm9/evaluate.py runs/qm9-cpu --out experiments/qm9/cpu.json
python experiments/qm9/evaluate.py qm9-flow-matching -n 10000 --device cuda --out experiments/qm9/gpu.json
"""

from __future__ import annotations

import argparse
import json
from inspect import signature
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen.benchmark.budget import clock
from manifold_gen.checkpoint import read_description
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.data.qm9 import qm9_molecules
from manifold_gen.errors import UsageError
from manifold_gen.metrics.molecules import MoleculeReport, References, score_molecules
from manifold_gen.models import SizedModel
from manifold_gen.models.renewal import usual_temperature
from manifold_gen.seeds import generator

EVALUATIONS = (1, 2, 4, 8, 20, 100)


def main() -> None:
    """Draw, score and print one row for each number of evaluations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--out", type=Path)
    parser.add_argument("-n", "--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS)
    parser.add_argument("--relax", type=int, default=60, help="molecules relaxed at the largest number of evaluations")
    parser.add_argument("--posebusters", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where molecules are drawn; times are the clock's there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    model, now = mg.load(arguments.run).to(device), clock(device)
    fmt = MoleculeFormat.from_dict(read_description(arguments.run)["data"]["format"])
    parts = qm9_molecules()
    references = References.read(parts["train"][:20_000], parts["test"])
    options = {name: getattr(arguments, name) for name in ("noise", "temperature")}
    options = {name: value for name, value in options.items() if value is not None}
    rows = []
    for steps in arguments.evaluations:
        start = now()
        drawn = generator(arguments.seed, device=device)
        clouds = model.sample(arguments.count, generator=drawn, **options, **told_steps(model, steps)).to(device="cpu")
        seconds = now() - start
        last = steps == max(arguments.evaluations)
        report = score_molecules(
            fmt.decode(clouds),
            references,
            temperature=options.get("temperature", usual_temperature(model)),
            relax=arguments.relax if last else 0,
            posebusters=arguments.posebusters if last else 0,
            seed=arguments.seed,
        )
        rows.append({"evaluations": steps, "ms": 1000 * seconds / arguments.count, **report.to_dict()})
        print(row(steps, rows[-1]["ms"], report), flush=True)
        if last:
            print(report.table())
    if arguments.out:
        told = {"count": arguments.count, "seed": arguments.seed, "noise": arguments.noise, "train_references": 20_000}
        arguments.out.write_text(json.dumps({**told, "rows": rows}, indent=1, default=str) + "\n")


def told_steps(model: SizedModel, steps: int) -> dict[str, int]:
    """What the sampler is told of ``steps``; one that has a single evaluation is told nothing."""
    if "steps" in signature(model.member.sample).parameters:
        return {"steps": steps}
    if steps != 1:
        raise UsageError(f"{model.kind.__name__} has one evaluation, {steps} were asked for; give --evaluations 1")
    return {}


def row(steps: int, ms: float, report: MoleculeReport) -> str:
    """One line of the Markdown table."""
    shares = (
        report.strict, report.atom_stable, report.molecule_stable, report.valid, report.valid_and_unique,
        report.single_fragment,
    )  # fmt: skip
    cells = " | ".join(f"{100 * share.value:.1f} ± {100 * share.se:.1f}" for share in shares)
    return f"| {steps} | {cells} | {ms:.1f} |"


if __name__ == "__main__":
    main()
