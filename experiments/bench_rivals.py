"""What one network evaluation saves: sampling and likelihood against flow matching, in one run on one thread.

Both models have networks of the same size and are fitted for as many steps to the same mixture, so that Newton's method
and the field are those of trained models. Flow matching is timed at several numbers of evaluations; beside each stands
how far its likelihood is from that at the largest number, which says from where on more evaluations change nothing.

    python experiments/bench_rivals.py --out experiments/bench_rivals.json
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_speed import machine, targets

from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Distribution
from manifold_gen.models import FlowMatching, FreeFormFlow
from manifold_gen.ode import Solver
from manifold_gen.training import TrainingConfig, fit

NETWORK = dict(width=64, depth=3, decay=0.0)
STEPS = (4, 8, 16, 32, 64)  # of the classical method of order 4: four evaluations each
TRAINING = {"free-form-flow": 400, "flow-matching": 1500}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--points", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--manifolds", nargs="+", help="specs, such as so3; default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [t for t in targets() if arguments.manifolds is None or t.manifold.spec in arguments.manifolds]
    rows = [row for target in chosen for row in compare(target, arguments.points, arguments.repeats)]
    if arguments.out:
        record = {"machine": machine(), "points": arguments.points, "threads": 1, "rows": rows}
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")


@torch.no_grad()
def compare(target: Distribution, points: int, repeats: int) -> list[dict[str, object]]:
    """Ratios of flow matching's times to the free-form flow's on one manifold, one row a number of evaluations."""
    manifold = target.manifold
    data = Split(target.sample(5000, generator=torch.Generator().manual_seed(1)))
    dataset = Dataset("bench", manifold, data, data, data)
    flow, rival = FreeFormFlow(manifold, **NETWORK), FlowMatching(manifold, **NETWORK)
    for model, steps in ((flow, TRAINING["free-form-flow"]), (rival, TRAINING["flow-matching"])):
        with torch.enable_grad():
            fit(model, dataset, TrainingConfig(steps=steps, eval_every=steps), quiet=True)
    x = target.sample(points, generator=torch.Generator().manual_seed(2))
    exact = copy.deepcopy(rival).double().log_prob(x.double(), solver=Solver("rk4", 2 * STEPS[-1]))
    rows = []
    for steps in STEPS:
        solver = Solver("rk4", steps)
        drawing = ratio(lambda s=solver: rival.sample(points, solver=s), lambda: flow.sample(points), repeats)
        scoring = ratio(lambda s=solver: rival.log_prob(x, solver=s), lambda: flow.score(x), repeats)
        error = float((rival.log_prob(x, solver=solver).double() - exact).mean().abs())
        row = {"manifold": manifold.spec, "evaluations": solver.evaluations, "sample": drawing, "log_prob": scoring,
               "nll_error": error}  # fmt: skip
        print(
            f"{manifold.spec:10s} {solver.evaluations:4d} evaluations: sampling {drawing:7.1f} x, likelihood "
            f"{scoring:6.1f} x the free-form flow's time; its NLL is {error:.1e} from the limit"
        )
        rows.append(row)
    return rows


def ratio(slow: Callable[[], object], fast: Callable[[], object], repeats: int) -> float:
    """Median over repetitions of time(slow) / time(fast)."""
    return statistics.median(seconds(slow) / seconds(fast) for _ in range(repeats))


def seconds(call: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()
