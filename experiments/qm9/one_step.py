"""Molecules in one evaluation from the bundled generator: a flow map and a free-form flow that learn from its ODE.

python experiments/qm9/one_step.py --out experiments/qm9/one_step.json

Everything is trained on one thread within ``--seconds`` of processor time each, the free-form flow first on pairs of
the teacher, then by its likelihood. How many steps that is, and with it every number, depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen import models
from manifold_gen.benchmark.budget import calibrate
from manifold_gen.data.base import Dataset
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.metrics.molecules import MoleculeReport, References, exact_likelihood, score_molecules
from manifold_gen.models.distillation import learn_sizes
from manifold_gen.models.sized import SizedModel
from manifold_gen.seeds import generator

EVALUATIONS = (1, 2, 4, 8, 20, 100)
SHARES = ("strict", "atom_stable", "molecule_stable", "valid", "valid_and_unique", "single_fragment")
VALIDATED = 100  # molecules of the validation loss: a Jacobian each is dear
KNOWN = 2000  # molecules of the data that reports read


def main() -> None:
    """Train both students, judge them and their teacher, print and write."""
    told = arguments()
    torch.set_num_threads(1)
    dataset = mg.load_dataset("qm9", **({} if told.heavy == 9 else {"max_heavy": told.heavy}))
    dataset = replace(dataset, val=dataset.val.take(torch.arange(min(VALIDATED, len(dataset.val)))))
    fmt = MoleculeFormat.from_dict(dataset.info["format"])
    parts = [getattr(dataset, part) for part in ("train", "test")]
    known = References.read(*(fmt.decode(part.take(torch.arange(min(KNOWN, len(part))))) for part in parts))
    teacher = mg.load("qm9-endpoint-flow")
    teacher.prepare_sizes(dataset.train)
    result = {key: value for key, value in vars(told).items() if key != "out"} | {"rows": [], "students": {}}
    for name, train in {"flow map": flow_map, "free-form flow": free_form_flow}.items():
        if name.replace(" ", "-") in told.without:
            continue
        start = time.process_time()
        student, record = train(teacher, dataset, told)
        record |= {"seconds": time.process_time() - start, "parameters": sum(p.numel() for p in student.parameters())}
        result["students"][name] = record
        print(name, record, flush=True)
        for k in EVALUATIONS if name == "flow map" else (1,):
            setting = {"steps": k} if name == "flow map" else {}
            result["rows"].append(judged(name, student, k, setting, known, fmt, told))
        write(result, told.out)
    for noise in told.noise:
        for k in EVALUATIONS:
            setting = {"steps": k, "noise": noise}
            result["rows"].append(judged(f"teacher, noise {noise:g}", teacher, k, setting, known, fmt, told))
        write(result, told.out)
    if told.test and "free-form-flow" not in told.without:
        start = time.process_time()
        report = exact_likelihood(student, dataset.test, told.test, round_trips=told.round_trips, seed=told.seed)
        result["likelihood"] = report.to_dict() | {"seconds": time.process_time() - start}
        print(result["likelihood"])
        write(result, told.out)


def write(result: dict[str, object], path: Path | None) -> None:
    """What is known so far."""
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=150.0, help="processor time of each student")
    parser.add_argument("--heavy", type=int, default=9, help="heavy atoms of a molecule, at most")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--stages", type=int, default=1, help="networks of the free-form flow, each way")
    parser.add_argument("--pairs", type=int, default=1000, help="latents, and as many training molecules")
    parser.add_argument("--share", type=float, default=0.6, help="of the free-form flow's training spent on pairs")
    parser.add_argument("-n", "--count", type=int, default=500)
    parser.add_argument("--test", type=int, default=1000, help="test molecules whose exact likelihood is computed")
    parser.add_argument("--round-trips", type=int, default=400, help="by which the density's integral is estimated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 1.0], help="of the teacher's sampler")
    parser.add_argument("--without", nargs="*", default=[], choices=["flow-map", "free-form-flow"])
    return parser.parse_args()


def flow_map(teacher: SizedModel, dataset: Dataset, told: argparse.Namespace) -> tuple[SizedModel, dict[str, object]]:
    """A flow map that has learned the teacher's field and to skip along it."""
    student = models.build(models.FlowMap, dataset.manifold, width=told.width, depth=told.depth, seed=told.seed)
    student.member.distil(teacher.member)
    return fitted(student, dataset, told, told.seconds)


def free_form_flow(
    teacher: SizedModel, dataset: Dataset, told: argparse.Namespace
) -> tuple[SizedModel, dict[str, object]]:
    """A free-form flow regressed on the teacher's pairs, then trained by its likelihood."""
    size = {"width": told.width, "depth": told.depth, "stages": told.stages, "seed": told.seed}
    student = models.build(
        models.DistilledFlow, dataset.manifold, **size, pairs=told.pairs, near=told.pairs, share=told.share,
    )  # fmt: skip
    start = time.process_time()
    learn_sizes(teacher, student, dataset.train, told.seed)
    spent = time.process_time() - start
    student, record = fitted(student, dataset, told, told.seconds - spent)
    return student, {"pair_seconds": spent, **record}


def fitted(
    student: SizedModel, dataset: Dataset, told: argparse.Namespace, seconds: float
) -> tuple[SizedModel, dict[str, object]]:
    """``student`` after so many seconds of training, its last averaged weights."""
    config = mg.TrainingConfig(batch_size=64, keep="last", seed=told.seed)
    config = calibrate(student, dataset, config, seconds)
    result = mg.fit(student, dataset, replace(config, eval_every=max(1, config.steps // 2)), quiet=True)
    return result.model, {"steps": result.step, "validation": result.best_value}


def judged(
    name: str,
    model: SizedModel,
    evaluations: int,
    setting: dict[str, object],
    known: References,
    fmt: MoleculeFormat,
    told: argparse.Namespace,
) -> dict[str, object]:
    """One row: shares of what the model draws, and the milliseconds that a molecule takes."""
    start = time.process_time()
    clouds = model.sample(told.count, generator=generator(told.seed), **setting)
    ms = 1000 * (time.process_time() - start) / told.count
    report = score_molecules(fmt.decode(clouds), known, relax=0, posebusters=0, seed=told.seed)
    print(row(name, evaluations, ms, report), flush=True)
    shares = {key: [getattr(report, key).value, getattr(report, key).se] for key in SHARES}
    return {"model": name, "evaluations": evaluations, "ms": ms, **shares}


def row(name: str, evaluations: int, ms: float, report: MoleculeReport) -> str:
    """One line of the Markdown table."""
    shares = [getattr(report, key) for key in SHARES]
    cells = " | ".join(f"{100 * share.value:.1f} ± {100 * share.se:.1f}" for share in shares)
    return f"| {name} | {evaluations} | {cells} | {ms:.2f} |"


if __name__ == "__main__":
    main()
