"""The Swiss roll of 2015: a diffusion forwards, backwards, and the drift that leads back.

Trains ``Diffusion`` on the plane and draws the figure of ``docs/swiss_roll.md``, in the manner of figure 1 of
Sohl-Dickstein et al., *Deep unsupervised learning using nonequilibrium thermodynamics* (2015). About 40 s on one core.

    python experiments/swiss_roll.py --out runs/swiss_roll
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import manifold_gen as mg
from manifold_gen.checkpoint.files import write_atomically
from manifold_gen.data import Dataset
from manifold_gen.models import Diffusion
from manifold_gen.plotting import save_figure
from manifold_gen.plotting.style import DATA, INK, MODEL, PAGE, styled

MODEL_SETTINGS = dict(width=64, depth=2, smoothing=0.02)
TRAINING = dict(steps=2500, batch_size=512, lr=5e-3, eval_every=500)
TIMES = (1.0, 0.8, 0.6, 0.4, 0.0)  # of the model: data on the left, noise on the right
SHOWN, REACH, ARROWS, STEPS = 1500, 2.9, 21, 200
LIGHT = "#9ecae1"


def main() -> None:
    """Train, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/swiss_roll"))
    parser.add_argument("--steps", type=int, default=TRAINING["steps"], help="optimiser steps")
    arguments = parser.parse_args()
    dataset = mg.load_dataset("swiss_roll")
    model = Diffusion(dataset.manifold, **MODEL_SETTINGS)
    result = mg.fit(model, dataset, mg.TrainingConfig(**{**TRAINING, "steps": arguments.steps}), out=arguments.out,
                    overwrite=True)  # fmt: skip
    numbers = {"seconds": round(result.seconds, 1), **measured(model, dataset)}
    print(json.dumps(numbers, indent=2))
    write_atomically(arguments.out / "numbers.json", (json.dumps(numbers, indent=2) + "\n").encode())
    save_figure(draw(model, dataset), arguments.out / "swiss_roll.png")
    print(f"wrote {arguments.out / 'swiss_roll.png'}")


def measured(model: Diffusion, dataset: Dataset) -> dict[str, float]:
    """Mean log-densities of 1,000 test points: exact, by the probability flow, and the bound of the reverse process."""
    x = dataset.test.x[:1000]
    with torch.no_grad():
        truth, flow = dataset.density.log_prob(x), model.log_prob(x)
    bound = model.variational_bound(x, generator=torch.Generator().manual_seed(0), draws=32).value
    names = ("exact", "flow", "bound")
    return {name: round(float(v.mean()), 3) for name, v in zip(names, (truth, flow, bound), strict=True)}


def draw(model: Diffusion, dataset: Dataset) -> Figure:
    """Three rows, one column a time: the data diffusing, the reverse process, its drift."""
    generator = torch.Generator().manual_seed(1)
    kept = {}
    for t, x in model.walk_back(SHOWN, generator=generator, steps=STEPS):
        kept[round(t, 6)] = x
    data = dataset.test.x[:SHOWN]
    with styled():
        figure = Figure(figsize=(PAGE, 0.625 * PAGE), layout="constrained")
        axes = figure.subplots(3, len(TIMES), sharex=True, sharey=True)
        for column, t in enumerate(TIMES):
            s = model.clock.at(torch.tensor(t))
            noised = model.noised(data, s.expand(len(data)), generator)
            scatter(axes[0, column], noised, DATA)
            scatter(axes[1, column], kept[t], MODEL)
            scatter(axes[2, column], noised, LIGHT)
            arrows(axes[2, column], model, t)
            axes[0, column].set_title(f"$t$ = {t:g},  $s$ = {float(s):.2g}")
        for row, text in zip(axes[:, 0], ("forward process", "reverse process", "reverse drift"), strict=True):
            row.set_ylabel(text)
        axes[1, 0].set_xticks([-2, 0, 2])
        axes[1, 0].set_yticks([-2, 0, 2])
    return figure


def scatter(axis: Axes, points: Tensor, colour: str) -> None:
    """Small dots in the common window."""
    axis.plot(*points.T.numpy(), ".", color=colour, markersize=1.6, markeredgewidth=0, alpha=0.7, rasterized=True)
    axis.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")


def arrows(axis: Axes, model: Diffusion, t: float) -> None:
    """The drift of the reverse process at time ``t``: lengths go by the square root, each panel to its own scale."""
    line = torch.linspace(-0.95 * REACH, 0.95 * REACH, ARROWS)
    x = torch.tensor(list(product(line.tolist(), repeat=2)))
    with torch.no_grad():
        drift = model.relative_score(x, x.new_full((len(x),), t)) + model.noising.pull(x)
    length = drift.norm(dim=-1, keepdim=True)
    drift = drift / length.sqrt() / length.amax().sqrt()
    axis.quiver(*x.T.numpy(), *drift.T.numpy(), color=INK, scale=ARROWS * 0.8, width=0.005, pivot="mid")
    axis.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")


if __name__ == "__main__":
    main()
