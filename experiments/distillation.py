"""What brings a one-evaluation flow with an exact likelihood near the ODE that teaches it: one change at a time.

Every cell is judged on the validation split, never on the test split: the honest likelihood with its validity, and the
maximum mean discrepancy of one-evaluation samples. Steps are fixed and processor time is recorded, so that a busy
machine changes no result. Finished cells are kept.

    python experiments/distillation.py --out experiments/distillation.jsonl --cache teachers [name ...]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import manifold_gen as mg
from manifold_gen import metrics
from manifold_gen.checkpoint import load, save_model
from manifold_gen.distributions.base import Distribution
from manifold_gen.models.distillation import DistilledFlow
from manifold_gen.models.flow_matching import FlowMatching
from manifold_gen.models.free_form_flow import FreeFormFlow
from manifold_gen.seeds import generator

# about 30 seconds of one thread
TEACHER_STEPS = {"earthquake": 1220, "ramachandran": 1844}
MOST_SCORED = 1500
PAIRS_ALONE = {"share": 1.0, "near": 5000}
LAST = {"keep": "last"}


def cell(model: str, steps: int, settings: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    """Model, steps and what differs from the defaults."""
    return {"data": "earthquake", "model": model, "steps": steps, "settings": settings or {}, "seed": 0, **more}


CELLS: dict[str, dict[str, object]] = {
    "teacher": cell("teacher", 1220),
    "volume of the encoder": cell("flow", 400, {"volume": "exact_encoder"}),
    "the side that restores": cell("flow", 400, {"volume": "restoring"}),
    "volume at the solved latent": cell("flow", 400, {"volume": "inverse"}),
    "volume at the solved latent, equal waves": cell("flow", 400, {"volume": "inverse", "decay": 0.0}),
    "distilled": cell("distilled", 400, {}),
    "distilled, no Jacobians": cell("distilled", 400, {"jacobian_weight": 0.0}),
    "distilled, volume of the encoder, beta 500": cell(
        "distilled",
        400,
        {
            "volume": "exact_encoder",
            "reconstruction": 500.0,
            "latent_reconstruction": 500.0,
            "proposal_reconstruction": 50.0,
        },
    ),
    "distilled, the side that restores": cell("distilled", 400, {"volume": "restoring"}),
    "distilled, equal waves": cell("distilled", 400, {"decay": 0.0}),
    "distilled, width 128": cell("distilled", 400, {"width": 128}),
    "distilled, two stages of a third of the depth": cell("distilled", 400, {"stages": 2, "depth": 1}),
    "distilled, four stages of a third of the depth": cell("distilled", 400, {"stages": 4, "depth": 1}),
    "pairs alone": cell("distilled", 300, {**PAIRS_ALONE, "jacobian_weight": 0.0}, training=LAST),
    "pairs alone, Jacobians x 0.1": cell("distilled", 300, {**PAIRS_ALONE, "jacobian_weight": 0.1}, training=LAST),
    "pairs alone, Jacobians x 1": cell("distilled", 300, {**PAIRS_ALONE, "jacobian_weight": 1.0}, training=LAST),
    "pairs alone, log-determinants x 0.1": cell(
        "distilled", 300, {**PAIRS_ALONE, "jacobian_weight": 0.0, "volume_weight": 0.1}, training=LAST
    ),
    "ramachandran, teacher": cell("teacher", 1844, data="ramachandran"),
    "ramachandran, volume of the encoder": cell("flow", 400, {"volume": "exact_encoder"}, data="ramachandran"),
    "ramachandran, volume at the solved latent": cell("flow", 400, {"volume": "inverse"}, data="ramachandran"),
    "ramachandran, distilled": cell("distilled", 400, {}, data="ramachandran"),
    "rna, surrogate": cell("flow", 800, {"decay": 0.0, "volume": "surrogate"}, data="rna"),
    "rna, volume of the encoder": cell("flow", 400, {"decay": 0.0, "volume": "exact_encoder"}, data="rna"),
    "rna, volume of the encoder, 800 steps": cell("flow", 800, {"decay": 0.0, "volume": "exact_encoder"}, data="rna"),
    "rna, volume of the encoder, beta 300": cell(
        "flow",
        400,
        {"decay": 0.0, "volume": "exact_encoder", "reconstruction": 300.0, "latent_reconstruction": 300.0},
        data="rna",
    ),
    "rna, surrogate, beta 300": cell(
        "flow",
        800,
        {"decay": 0.0, "volume": "surrogate", "reconstruction": 300.0, "latent_reconstruction": 300.0},
        data="rna",
    ),
    "rna, surrogate, eight probes": cell("flow", 500, {"decay": 0.0, "volume": "surrogate", "probes": 8}, data="rna"),
}


def main() -> None:
    """Run the named cells that are missing, all by default, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("experiments/distillation.jsonl"))
    parser.add_argument("--cache", type=Path, default=Path("runs/teachers"))
    parser.add_argument("names", nargs="*", default=list(CELLS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = {record["name"] for record in records(arguments.out)}
    for name in arguments.names:
        if name not in done:
            record = {"name": name, **run(CELLS[name], arguments.cache)}
            with arguments.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(record, flush=True)
    print(table(arguments.out))


def run(spec: dict[str, object], cache: Path) -> dict[str, object]:
    """Train and score one cell."""
    dataset = mg.load_dataset(spec["data"])
    taught = None if spec["model"] == "flow" else teacher(spec["data"], dataset, cache)
    start = time.process_time()
    model = taught
    if spec["model"] == "distilled":
        model = DistilledFlow(dataset.manifold, **spec["settings"], seed=spec["seed"])
        model.learn_from(taught, dataset.train.x, seed=spec["seed"])
    elif spec["model"] == "flow":
        model = FreeFormFlow(dataset.manifold, **spec["settings"], seed=spec["seed"])
    if spec["model"] != "teacher":
        every = max(1, spec["steps"] // 6)
        config = mg.TrainingConfig(steps=spec["steps"], eval_every=every, seed=spec["seed"], **spec.get("training", {}))
        mg.fit(model, dataset, config, quiet=True)
    return {**spec, "cpu_seconds": round(time.process_time() - start, 1), **scored(model, dataset, spec["model"])}


def teacher(name: str, dataset: mg.data.Dataset, cache: Path) -> FlowMatching:
    """Flow matching of the default size, trained once and kept."""
    folder = cache / f"{name}-{TEACHER_STEPS[name]}"
    if not folder.exists():
        model = FlowMatching(dataset.manifold)
        mg.fit(model, dataset, mg.TrainingConfig(steps=TEACHER_STEPS[name], eval_every=122), quiet=True)
        save_model(folder, model)
    return load(folder)


def scored(model: Distribution, dataset: mg.data.Dataset, kind: str) -> dict[str, object]:
    """Likelihood and discrepancy on the validation split."""
    rows = torch.randperm(len(dataset.val), generator=generator(0))[:MOST_SCORED]
    val = dataset.val.take(rows)
    spent = {"round_trips": 512, "proposals": 1000} if kind == "teacher" else {}
    report = metrics.evaluate_likelihood(model, val, train=dataset.train, density=dataset.density, **spent)
    drawn = model.sample(len(val), generator=generator(1))
    discrepancy = metrics.mmd(dataset.manifold, drawn, val.x)
    floor = metrics.mmd_floor(dataset.manifold, dataset.train.x, val.x, n=len(val))
    return {**report.to_dict(), "mmd": discrepancy.value, "mmd_se": discrepancy.se, "mmd_floor": floor.value}


def records(path: Path) -> list[dict[str, object]]:
    """All cells in the file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(path: Path) -> str:
    """The cells as a Markdown table."""
    lines = ["| cell | steps | CPU seconds | NLL | unconverged | integral | valid | MMD (floor) |", "|---" * 8 + "|"]
    for r in records(path):
        lines.append(
            f"| {r['name']} | {r['steps']} | {r['cpu_seconds']} | {r['nll']:.3f} ± {r['nll_se']:.3f} | "
            f"{r['unconverged']} of {r['count']} | {r['round_trip']['value']:.3f} | {'yes' if r['valid'] else 'no'} | "
            f"{r['mmd']:.3f} ({r['mmd_floor']:.3f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
