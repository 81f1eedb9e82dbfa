"""Training time as CPU seconds of one thread, turned into a number of steps before training begins.

Schedules need the number of steps in advance, so the cost of a step is measured first, on a copy that is thrown away.
CPU time rather than the clock's: a busy machine does not shorten a training.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from manifold_gen.data.base import Dataset
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training import TrainingConfig
from manifold_gen.training.distributed import World, choose_device
from manifold_gen.training.ema import MovingAverage
from manifold_gen.training.inputs import precision_dtype
from manifold_gen.training.step import Stepper

if TYPE_CHECKING:
    from manifold_gen.manifolds.base import Manifold
    from manifold_gen.manifolds.point_clouds import PointClouds

EVALUATIONS = 10  # on the validation split, of one training
_STAGES = 5  # parts of the schedule at which a step is timed: its cost may change with the progress
_TRIAL_SHARE, _LONGEST_TRIAL = 0.1, 6.0


@dataclass(frozen=True)
class Budget:
    """How much a benchmark spends.

    Attributes:
        name: as on the command line.
        seeds: seeds a cell is repeated with, unless told otherwise.
        seconds: training time of one cell.
        model: constructor arguments that every method's network gets, where it has them.
        training: training settings of every method.
        clouds: those that differ on clouds of many sizes, whose points are many rows of a network.
    """

    name: str
    seeds: int
    seconds: float
    model: dict[str, object] = field(default_factory=dict)
    training: dict[str, object] = field(default_factory=dict)
    clouds: dict[str, object] = field(default_factory=lambda: {"batch_size": 64})

    def on(self, manifold: Manifold | PointClouds) -> Budget:
        """The same for data on ``manifold``.

        >>> from manifold_gen.manifolds import from_spec
        >>> BUDGETS["quick"].on(from_spec("clouds:3,5")).training["batch_size"]
        64
        """
        if not manifold.varies:
            return self
        return replace(self, training={**self.training, **self.clouds})


# Every method gets the same networks where it has them. Waves of equal amplitude (decay 0) because they were better on
# the validation split of earthquake after 60 s: 0.28 against 0.39 for the free-form flow, 0.17 against 0.20 for flow
# matching.
_FEATURES = {"frequency": 6.0, "waves": 128, "decay": 0.0}
BUDGETS = {
    "quick": Budget("quick", seeds=3, seconds=60.0, model={"width": 64, "depth": 3, **_FEATURES}),
    "paper": Budget(
        "paper",
        seeds=5,
        seconds=3600.0,
        model={"width": 256, "depth": 4, **_FEATURES},
        training={"batch_size": 2048},
        clouds={"batch_size": 256},
    ),
}


def clock(device: torch.device) -> Callable[[], float]:
    """Seconds that count against a budget: CPU time of this process, or on a GPU the clock's once its queue is done."""
    if device.type != "cuda":
        return time.process_time

    def now() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def calibrate(model: GenerativeModel, dataset: Dataset, config: TrainingConfig, seconds: float) -> TrainingConfig:
    """``config`` with the number of steps, and an interval of evaluations, that take about ``seconds``.

    Args:
        model: left as it is: the steps are timed on a copy.
        config: its ``steps`` are replaced.
        seconds: training time, validation included.
    """
    device = choose_device(config.device)
    dtype = precision_dtype(config.precision, dataset.manifold)
    trial = copy.deepcopy(model).to(device=device, dtype=dtype).train()
    train, val = (split.to(dtype=dtype, device=device) for split in (dataset.train, dataset.val))
    stepper = Stepper(trial, config, World(), device)
    now, average = clock(device), MovingAverage(trial, config.ema_decay)
    one_step(stepper, trial, average, train, 0, 0.0, config)  # what only a first step costs
    limit = min(_TRIAL_SHARE * seconds, _LONGEST_TRIAL) / _STAGES
    cost = 0.0
    for stage in range(_STAGES):
        start, done = now(), 0
        while done == 0 or now() - start < limit:
            one_step(stepper, trial, average, train, done + 1, (stage + 0.5) / _STAGES, config)
            done += 1
        cost += (now() - start) / done / _STAGES
    trial.eval()
    start = now()
    if len(val):
        stepper.validate(val)
    validation = now() - start
    evaluations = max(1, min(EVALUATIONS, int(0.2 * seconds / max(validation, 1e-6))))
    steps = max(evaluations, round((seconds - evaluations * validation) / cost))
    return replace(config, steps=steps, eval_every=max(1, steps // evaluations))


def one_step(
    stepper: Stepper,
    model: GenerativeModel,
    average: MovingAverage,
    train: object,
    step: int,
    progress: float,
    config: TrainingConfig,
) -> None:
    """One step of the training loop without its records."""
    model.set_progress(progress)
    stepper.backward(train, step)
    stepper.update(config.lr)  # the trial learns: iterations to convergence are few where weights are new
    average.update(step)
