"""A budget of CPU seconds becomes a number of steps."""

from __future__ import annotations

import time

import pytest
import torch

from manifold_gen.benchmark.budget import EVALUATIONS, calibrate
from manifold_gen.data.base import Dataset, Split
from manifold_gen.manifolds import Torus
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training import TrainingConfig

STEP = 0.01


class Busy(GenerativeModel):
    """A model whose step takes a known CPU time, ``late`` times as much in the second half of the training."""

    def __init__(self, late=1.0, validating=0.0):
        super().__init__(Torus(1))
        self.late, self.validating, self.fraction = late, validating, 0.0
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.hyperparameters = {}

    def sample(self, n, context=None, generator=None):
        return torch.zeros(n, 1)

    def set_progress(self, fraction):
        self.fraction = fraction

    def losses(self, x, context=None, auxiliary=None):
        spend(STEP * (self.late if self.fraction >= 0.5 else 1.0))
        return {"loss": (self.weight - x[:, 0]).square()}

    def validation(self, x, context=None, auxiliary=None):
        spend(self.validating)
        return {"loss": (self.weight - x[:, 0]).square()}


def spend(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


DATA = Dataset("points", Torus(1), *(Split(torch.zeros(n, 1)) for n in (8, 4, 4)))


# The lower bounds leave room for what a busy machine adds to a step of known time.
def test_steps_fill_the_seconds():
    config = calibrate(Busy(), DATA, TrainingConfig(batch_size=8), 10.0)
    assert 10.0 / STEP * 0.2 < config.steps <= 10.0 / STEP
    assert config.steps // config.eval_every == EVALUATIONS


def test_steps_that_grow_dearer_with_the_progress_are_foreseen():
    config = calibrate(Busy(late=3.0), DATA, TrainingConfig(batch_size=8), 10.0)
    assert 10.0 / (2.2 * STEP) * 0.2 < config.steps <= 10.0 / (2.2 * STEP)  # 0.4 at 1 and 0.6 at 3


def test_dear_validations_are_few_and_counted():
    config = calibrate(Busy(validating=0.45), DATA, TrainingConfig(batch_size=8), 10.0)
    assert config.steps // config.eval_every in (3, 4)  # at most a fifth of the time
    assert config.steps < 8.3 / STEP


def test_the_model_is_left_as_it_was():
    model = Busy()
    calibrate(model, DATA, TrainingConfig(batch_size=8), 0.1)
    assert model.weight.grad is None
    assert model.weight.item() == 1.0


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_there_is_always_a_step(seconds):
    assert calibrate(Busy(), DATA, TrainingConfig(batch_size=8), seconds).steps >= 1
