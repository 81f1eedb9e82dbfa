"""Train one model within its budget, keeping what it was on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from manifold_gen import models, seeds
from manifold_gen.benchmark.budget import EVALUATIONS, calibrate, clock
from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.job import Place
from manifold_gen.data.base import Dataset
from manifold_gen.distributions.base import Sampler
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training import TrainingConfig, fit
from manifold_gen.training.distributed import choose_device

SNAPSHOTS = 5


@dataclass(frozen=True)
class Trained:
    """A trained sampler and what its training took.

    Attributes:
        sampler: the result.
        seconds: training time, of this cell alone.
        steps: optimiser steps, 0 where there are none.
        snapshots: training time and weights at a few moments; they cost no training time.
    """

    sampler: Sampler
    seconds: float
    steps: int = 0
    snapshots: list[tuple[float, dict[str, Tensor]]] = field(default_factory=list)


def build(name: str, dataset: Dataset, cell: Cell, **more: object) -> GenerativeModel:
    """The model called ``name`` with the cell's settings and weights drawn from its seed."""
    kind = models.resolve(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.mix(cell.seed, 0))
        return models.build(kind, dataset.manifold, **cell.settings["model"], seed=cell.seed, **more)


def train(
    model: GenerativeModel,
    dataset: Dataset,
    cell: Cell,
    place: Place,
    prepare: Callable[[], None] | None = None,
) -> Trained:
    """Fit ``model`` for the cell's seconds; ``prepare`` runs first and counts as training.

    Raises:
        DivergenceError: a loss is not finite.
    """
    config = TrainingConfig(**cell.settings["training"], seed=cell.seed, device=place.device)
    now = clock(choose_device(config.device))
    start = now()
    if prepare is not None:
        prepare()
    spent = now() - start
    config = calibrate(model, dataset, config, max(cell.seconds - spent, 0.0))
    watch = _Watch(now, spent, max(1, EVALUATIONS // SNAPSHOTS))
    result = fit(model, dataset, config, observe=watch, quiet=True)
    return Trained(result.model, watch.seconds(), result.step, watch.snapshots)


class _Watch:
    """Training time, and copies of the weights whose making it does not count."""

    def __init__(self, now: Callable[[], float], spent: float, stride: int) -> None:
        self.now, self.stride, self.calls = now, stride, 0
        self.start = now() - spent
        self.snapshots: list[tuple[float, dict[str, Tensor]]] = []

    def seconds(self) -> float:
        return self.now() - self.start

    def __call__(self, step: int, model: GenerativeModel) -> None:
        self.calls += 1
        if self.calls % self.stride:
            return
        before = self.now()
        weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        self.snapshots.append((before - self.start, weights))
        self.start += self.now() - before


def without_steps(config: TrainingConfig) -> dict[str, object]:
    """The settings of a training that a cell's specification holds: neither what the budget decides nor the place."""
    told = vars(config)
    left_out = (
        "steps",
        "eval_every",
        "seed",
        "device",
        "threads",
        "log_every",
        "checkpoint_every",
        "checkpoint_seconds",
    )
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in told.items() if name not in left_out
    }


def frozen(sampler: Sampler) -> Sampler:
    """A copy for measuring: no gradients, evaluation mode, double precision."""
    return copy.deepcopy(sampler).to(torch.float64).requires_grad_(False).eval()
