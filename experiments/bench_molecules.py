"""What molecules cost: the network against a plain masked one, training and sampling against a bare forward pass.

One thread, molecules of QM9's sizes; every pair of times is taken in turns in one run, so that a busy machine changes
both. The plain network is the published layer as one would first write it: no split of the first edge layer, as wide
in the pairs as in the points, all molecules padded to 29 atoms.

    python experiments/bench_molecules.py --out experiments/bench_molecules.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_speed import machine
from torch import Tensor, nn

from manifold_gen import models
from manifold_gen.data.molecule_sets import load_qm9
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.manifolds import from_spec
from manifold_gen.networks.egnn import EGNN
from manifold_gen.seeds import generator

LARGEST = 29
SIZE = {"width": 64, "pair_width": 32, "depth": 5}


class PlainLayer(nn.Module):
    """φ_e of both ends and the squared distance, φ_x for the positions, φ_h for the features, with a mask."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge = nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.move = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self.node = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        pairs = (mask.unsqueeze(-1) * mask.unsqueeze(-2)).unsqueeze(-1)
        difference = x.unsqueeze(-2) - x.unsqueeze(-3)
        squared = difference.square().sum(-1, keepdim=True)
        shape = (*pairs.shape[:-1], h.shape[-1])
        ends = [h.unsqueeze(-2).expand(shape), h.unsqueeze(-3).expand(shape)]
        message = self.edge(torch.cat([*ends, squared], -1)) * pairs
        x = x + (difference / (squared.sqrt() + 1) * self.move(message) * pairs).sum(-2)
        return x, h + self.node(torch.cat([h, message.sum(-2)], -1))


class PlainEGNN(nn.Module):
    """Layers of that kind on padded clouds."""

    def __init__(self, features: int, width: int, depth: int) -> None:
        super().__init__()
        self.entry, self.last = nn.Linear(features, width), nn.Linear(width, features)
        self.layers = nn.ModuleList(PlainLayer(width) for _ in range(depth))

    def forward(self, x: Tensor, h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        h = self.entry(h)
        for layer in self.layers:
            x, h = layer(x, h, mask)
        return x, self.last(h)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--molecules", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_qm9()
    some = dataset.train.take(torch.arange(arguments.molecules))
    found = {**networks(some, arguments.repeats), **generators(dataset.train, some, arguments.repeats)}
    for name, value in found.items():
        print(f"{name:<55} {value:10.2f}")
    if arguments.out:
        record = {"machine": machine(), "threads": 1, "molecules": arguments.molecules, "size": SIZE, "measured": found}
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")


@torch.no_grad()
def networks(some: RaggedSplit, repeats: int) -> dict[str, float]:
    """The forward pass of both networks on the same molecules."""
    ours, plain = EGNN(3, 5, 5, **SIZE), PlainEGNN(5, SIZE["width"], SIZE["depth"])
    batches = [some.batch(part).x for part in some.parts(64)]
    padded = torch.zeros(len(some), LARGEST, 8)
    for row, cloud in enumerate(some.clouds):
        padded[row, : len(cloud)] = cloud
    mask = (torch.arange(LARGEST) < some.sizes.unsqueeze(-1)).float()

    def run_ours() -> None:
        for x in batches:
            ours(x[..., :3], x[..., 3:])

    def run_plain() -> None:
        for x, m in zip(padded.split(32), mask.split(32), strict=True):
            plain(x[..., :3], x[..., 3:], m)

    a, b = in_turns([run_ours, run_plain], repeats)
    return {
        "EGNN forward, molecules a second": len(some) / a,
        "plain masked network forward, molecules a second": len(some) / b,
        "EGNN forward, times the plain network": b / a,
    }


def generators(train: RaggedSplit, some: RaggedSplit, repeats: int) -> dict[str, float]:
    """Training step and sampling of the molecule model, as ratios to a bare forward pass of its network."""
    model = models.build(models.EndpointFlow, from_spec(f"clouds:3,{train.x.shape[-1] - 3}"), **SIZE)
    model.prepare(train)
    batches = [some.batch(part).x for part in some.parts(64)]
    times = [torch.full((len(x),), 0.5) for x in batches]

    def forward() -> None:
        with torch.no_grad():
            for x, t in zip(batches, times, strict=True):
                model.on(x).network(x, t)

    def step() -> None:
        for number, x in enumerate(batches):
            model.zero_grad()
            model.loss(x, generator=generator(0, number)).mean().backward()

    def draw(steps: int) -> Callable[[], None]:
        return lambda: model.sample(len(some), generator=generator(1), sizes=some.sizes, chunk=64, steps=steps)

    bare, training, one, hundred = in_turns([forward, step, draw(1), draw(100)], repeats)
    return {
        "training, molecules a second": len(some) / training,
        "training step, times a bare forward pass": training / bare,
        "one evaluation, ms a molecule": 1000 * one / len(some),
        "one evaluation, times a bare forward pass": one / bare,
        "100 evaluations, ms a molecule": 1000 * hundred / len(some),
        "100 evaluations, times a bare forward pass": hundred / bare,
        "100 evaluations, times one evaluation": hundred / one,
    }


def in_turns(functions: list[Callable[[], None]], repeats: int) -> list[float]:
    """Median seconds of processor time of each function, called one after another ``repeats`` times."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.process_time()
            function()
            taken.append(time.process_time() - start)
    return [statistics.median(taken) for taken in seconds]


if __name__ == "__main__":
    main()
