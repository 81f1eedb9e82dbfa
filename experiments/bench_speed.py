"""Speed as ratios to a bare pass of the same networks, measured in one run on one thread; `make bench` calls it.

The networks have four residual blocks of width 256 in one stage. A *bare pass* is the residual network alone, on
features that are there already, without gradient. Every ratio is the median over repetitions of (time of the call /
time of the bare pass next to it), so that a busy machine slows both alike.

    python experiments/bench_speed.py --out experiments/bench_speed.json
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Mixture, VonMisesFisher, VonMisesProduct, WrappedNormal
from manifold_gen.distributions.base import Distribution
from manifold_gen.manifolds import SO3, Manifold, Sphere, Torus
from manifold_gen.models.chunks import CHUNK
from manifold_gen.models.free_form_flow import FreeFormFlow
from manifold_gen.networks.free_form import FreeFormMap
from manifold_gen.training import TrainingConfig, fit

POINTS = 100_000
NETWORK = dict(width=256, depth=4, stages=1)
ALONE = dict(latent_reconstruction=0.0, proposal_reconstruction=0.0, fold_penalty=0.0)
IN_FOUR = dict(latent_stride=4, proposal_stride=4)
WARM_UP_STEPS = 150


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--points", type=int, default=POINTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for target in targets():
        rows += measure(target, arguments.points)
    rows += peak_memory()
    print(as_line(rows[-1]))
    if arguments.out:
        record = {"machine": machine(), "points": arguments.points, "threads": 1, "rows": rows}
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")


def targets() -> list[Distribution]:
    """Something to fit on S², T² and SO(3), so that the inversion is that of a trained flow."""
    generator = torch.Generator().manual_seed(0)
    sphere, torus, rotations = Sphere(2), Torus(2), SO3()
    return [
        Mixture(VonMisesFisher(sphere.random_uniform(4, generator=generator), torch.full((4,), 10.0)), torch.zeros(4)),
        Mixture(VonMisesProduct(torus.random_uniform(4, generator=generator), torch.full((4, 2), 5.0)), torch.zeros(4)),
        Mixture(WrappedNormal(rotations, rotations.random_uniform(4, generator=generator), 0.4), torch.zeros(4)),
    ]


def measure(target: Distribution, points: int) -> list[dict[str, object]]:
    """All ratios on one manifold."""
    manifold = target.manifold
    data = Split(target.sample(5000, generator=torch.Generator().manual_seed(1)))
    flow = FreeFormFlow(manifold, **NETWORK)
    config = TrainingConfig(steps=WARM_UP_STEPS, batch_size=256, eval_every=WARM_UP_STEPS)
    fit(flow, Dataset("bench", manifold, data, data, data), config, quiet=True)
    x = target.sample(points, generator=torch.Generator().manual_seed(2))
    bare = bare_pass(flow.decoder, x)
    steps = float(without_grad(lambda: flow.score(x))().steps.double().mean())
    allowed = (manifold.dim + 1) * (1 + steps) * 1.5
    rows = [
        row(manifold, f"sample, {points:,} points", ratio(lambda: flow.sample(points), bare), 1.25),
        row(manifold, f"log_prob, {steps:.2f} Newton steps", ratio(without_grad(lambda: flow.score(x)), bare), allowed),
    ]
    for volume in ("exact_encoder", "exact", "surrogate"):
        for batch, limit in ((512, 6.0), (32, 8.0)):
            rows.append(training_row(manifold, volume, data.x[:batch], limit, {**NETWORK, **ALONE}))
    for volume in ("exact_encoder", "restoring"):
        rows.append(training_row(manifold, volume, data.x[:512], 9.0, {**NETWORK, **IN_FOUR}))
    return rows


def training_row(
    manifold: Manifold, volume: str, x: Tensor, limit: float, hyperparameters: dict[str, float]
) -> dict[str, object]:
    """Loss, gradient and nothing else, beside one pass of encoder and decoder."""
    flow = FreeFormFlow(manifold, volume=volume, **hyperparameters)
    drawn = flow.auxiliary(len(x))
    both = [bare_pass(flow.encoder, x), bare_pass(flow.decoder, x)]

    def step() -> None:
        flow.zero_grad()
        torch.stack(list(flow.losses(x, None, drawn).values())).sum(0).mean().backward()

    terms = "all terms" if hyperparameters.get("latent_reconstruction", 1.0) else "NLL + reconstruction"
    return row(
        manifold, f"training step, {terms}, {volume}, batch {len(x)}", ratio(step, lambda: [b() for b in both]), limit
    )


def bare_pass(network: FreeFormMap, x: Tensor) -> Callable[[], object]:
    """The residual network alone, in the chunks that sampling uses."""
    with torch.no_grad():
        features = [network.features(rows) for rows in x.split(CHUNK)]
    return without_grad(lambda: [stage(rows) for rows in features for stage in network.networks])


def without_grad(call: Callable[[], Any]) -> Callable[[], Any]:
    """``call`` with gradients off."""

    def quiet() -> Any:
        with torch.no_grad():
            return call()

    return quiet


def ratio(call: Callable[[], object], bare: Callable[[], object], seconds: float = 3.0) -> float:
    """Median of the ratio of neighbouring timings, at least three."""
    bare()
    ratios: list[float] = []
    end = time.perf_counter() + seconds
    while len(ratios) < 3 or time.perf_counter() < end:
        ratios.append(timed(call) / timed(bare))
    return statistics.median(ratios)


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(manifold: Manifold, what: str, value: float, limit: float) -> dict[str, object]:
    """One measured ratio beside its goal, printed when it is there."""
    entry = {"manifold": manifold.spec, "what": what, "ratio": round(value, 3), "goal": round(limit, 2)}
    print(as_line(entry), flush=True)
    return entry


def as_line(entry: dict[str, object]) -> str:
    """The row as text."""
    mark = "ok" if entry["ratio"] <= entry["goal"] else "above"
    return f"{entry['manifold']:<10}{entry['what']:<62}{entry['ratio']:>8.2f}  goal ≤ {entry['goal']:<7} {mark}"


MEMORY = """
import resource, sys, torch
from manifold_gen.manifolds import Torus
from manifold_gen.models.free_form_flow import FreeFormFlow
flow = FreeFormFlow(Torus(2), width=256, depth=4)
flow.sample(16_384)
flow.sample(int(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory() -> list[dict[str, object]]:
    """Peak memory of sampling ten times as many points, as a ratio: a chunk bounds it."""
    small, large = (
        int(subprocess.run([sys.executable, "-c", MEMORY, str(n)], capture_output=True, text=True, check=True).stdout)
        for n in (100_000, 1_000_000)
    )
    return [
        {
            "manifold": "torus:2",
            "what": "peak memory of sample, 1,000,000 to 100,000 points",
            "ratio": large / small,
            "goal": 1.25,
        }
    ]


def machine() -> dict[str, object]:
    """Where the numbers come from."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(names),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
