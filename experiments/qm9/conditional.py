"""Whether molecules have the properties they were asked for, by a network that has seen none of the generator's data.

The network that judges is trained on the first half of QM9's training molecules and the generator on the second, as
Hoogeboom and others (2022) do; one generator is asked for all properties at once. Properties and numbers of atoms are
asked for as they occur together in test molecules.

    manifold-gen fit -c experiments/qm9/conditional.toml --out runs/qm9-conditional
    python experiments/qm9/conditional.py runs/qm9-conditional --out experiments/qm9/conditional.json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import manifold_gen as mg
from manifold_gen import seeds
from manifold_gen.checkpoint import read_description
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.data.qm9 import qm9_molecules
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.metrics.molecule_diagnostics import asked_rows, draw_molecules
from manifold_gen.metrics.molecules import score_molecules
from manifold_gen.metrics.molecules.graphs import read_graphs
from manifold_gen.metrics.molecules.properties import (
    PropertyPredictor,
    fit_predictor,
    mean_absolute_errors,
    medians_by_size,
    values_of,
)
from manifold_gen.metrics.molecules.references import References

UNITS = {"alpha": "bohr³", "gap": "eV", "mu": "D", "cv": "cal/(mol K)"}
NAMES = tuple(UNITS)
NETWORK = {"width": 64, "pair_width": 32, "depth": 4, "distance_features": 16}


def main() -> None:
    """Train or read the judge, draw, and print one row for each source of molecules."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run of conditional.toml")
    parser.add_argument("--predictor", type=Path, default=Path("runs/qm9-predictor.safetensors"))
    parser.add_argument("--steps", type=int, default=4000, help="of the predictor's training, five minutes of one core")
    parser.add_argument("-n", "--count", type=int, default=500)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unconditional", default="qm9-endpoint-flow", help="a model that is told the sizes alone")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    halves = {half: qm9_molecules(half=half) for half in ("first", "second")}
    judge = predictor(arguments.predictor, halves["first"], arguments.steps)
    found = evaluated(arguments, judge, halves["second"])
    print("\n".join(table(found["errors"])))
    print({name: found["strict"][name] for name in found["strict"]})
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def predictor(path: Path, parts: dict[str, Molecules], steps: int) -> PropertyPredictor:
    """The network that judges, from its file or trained now; what it reaches on validation molecules is printed."""
    torch.manual_seed(0)
    judge = PropertyPredictor(NAMES, **NETWORK)
    if path.exists():
        judge.load_state_dict(load_file(path))
        return judge.eval()
    start, some = time.process_time(), parts["val"][:2000]

    def observe(step: int) -> None:
        errors = mean_absolute_errors(judge.predict(some), values_of(some, NAMES), NAMES)
        said = ", ".join(f"{name} {error}" for name, error in errors.items())
        print(f"predictor step {step}, {time.process_time() - start:.0f} s, validation errors: {said}", flush=True)

    # at the rate of 5e-3 that generators are trained with it had learnt nothing after 460 steps
    config = mg.TrainingConfig(
        steps=steps, batch_size=64, lr=2e-3, schedule="cosine", warmup=20, eval_every=max(steps // 8, 1)
    )
    fit_predictor(judge, parts["train"], config, observe)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(judge.state_dict(), path)
    return judge.eval()


def evaluated(arguments: argparse.Namespace, judge: PropertyPredictor, parts: dict[str, Molecules]) -> dict:
    """Errors by source of the molecules, and how many of those drawn are strict successes."""
    n, seed = arguments.count, arguments.seed
    fmt = MoleculeFormat.from_dict(read_description(arguments.run)["data"]["format"])
    like = fmt.encode(parts["test"])
    rows = asked_rows(like, n, seed)
    real, asked = parts["test"][rows], values_of(parts["test"], NAMES)[rows]
    drawn = draw_molecules(mg.load(arguments.run), fmt, n, like=like, seed=seed, steps=arguments.evaluations)
    free = of_sizes(arguments.unconditional, real.sizes, seed, arguments.evaluations)
    strict = read_graphs(drawn).strict
    shuffled = asked[torch.randperm(n, generator=seeds.generator(seed, 2))]
    everything = parts["test"]
    pairs = {
        "real test molecules, all": (judge.predict(everything), values_of(everything, NAMES)),
        "real test molecules, those asked for": (judge.predict(real), asked),
        "generated": (judge.predict(drawn), asked),
        "generated, strict successes": (judge.predict(drawn)[strict], asked[strict]),
        "generated, told the number of atoms alone": (judge.predict(free), asked),
        "guessed from the number of atoms": (medians_by_size(parts["train"], NAMES, real.sizes), asked),
        "shuffled between molecules": (judge.predict(real), shuffled),
        "generated, what was asked for shuffled": (judge.predict(drawn), shuffled),
    }
    report = {"generated": drawn, "told the number of atoms alone": free}
    return {
        "run": read_description(arguments.run)["hyperparameters"],
        "count": n, "seed": seed, "evaluations": arguments.evaluations, "units": UNITS, "predictor": NETWORK,
        "errors": {key: errors_of(*pair) for key, pair in pairs.items()},
        "strict": {key: asdict(score_molecules(m, References.read(None, None)).strict) for key, m in report.items()},
    }  # fmt: skip


def errors_of(found: Tensor, asked: Tensor) -> dict[str, dict[str, float]]:
    """Mean absolute errors as plain numbers."""
    return {name: asdict(error) for name, error in mean_absolute_errors(found, asked, NAMES).items()}


def of_sizes(name: str, sizes: Tensor, seed: int, evaluations: int) -> Molecules:
    """As many molecules of these sizes by a model without context."""
    fmt = MoleculeFormat.from_dict(read_description(name)["data"]["format"])
    clouds: RaggedSplit = mg.load(name).sample(
        len(sizes), generator=seeds.generator(seed), sizes=sizes, steps=evaluations
    )
    return fmt.decode(clouds)


def table(errors: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """The rows of a Markdown table."""
    head = ["| | " + " | ".join(f"{name}, {unit}" for name, unit in UNITS.items()) + " |", "|---" * 5 + "|"]
    cells = {key: [f"{e['value']:.3g} ± {e['se']:.1g}" for e in row.values()] for key, row in errors.items()}
    return head + [f"| {key} | " + " | ".join(row) + " |" for key, row in cells.items()]


if __name__ == "__main__":
    main()
