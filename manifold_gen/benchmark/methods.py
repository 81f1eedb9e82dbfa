"""The methods of the benchmark, each one entry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from manifold_gen import models
from manifold_gen.benchmark.budget import Budget
from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.job import Place
from manifold_gen.benchmark.training import Trained, build, train, without_steps
from manifold_gen.configuration import settings_of, suggestion
from manifold_gen.data.base import Dataset
from manifold_gen.distributions.base import Sampler
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.training import TrainingConfig

Settings = dict[str, dict[str, object]]
Train = Callable[[Dataset, Cell, Place, Sampler | None], Trained]

ONE, ODE, MAP = "one", "ode", "map"
# network evaluations per sample at which the quality of samples is measured; none: what the sampler takes by default
EVALUATIONS = {ONE: (), ODE: (1, 2, 4, 8, 16, 32), MAP: (1, 2, 4, 8)}
_GIVEN = ("manifold", "seed", "context_features", "context_categories")


def _anywhere(manifold: Manifold) -> bool:
    return True


@dataclass(frozen=True)
class Method:
    """How the benchmark trains one kind of model.

    Attributes:
        title: in tables.
        kind: ``"one"`` evaluation a sample, an ``"ode"`` solved in a chosen number, or a ``"map"`` of a few.
        train: from data, cell, place and trained teacher to a trained sampler.
        model, training: settings beside the budget's and the defaults.
        entry: name in ``models.REGISTRY`` whose constructor has the settings ``model``.
        suits: whether it exists on a manifold.
        teacher: the method it learns from.
    """

    title: str
    kind: str
    train: Train
    model: Mapping[str, object] = field(default_factory=dict)
    training: Mapping[str, object] = field(default_factory=dict)
    entry: str | None = None
    suits: Callable[[Manifold], bool] = _anywhere
    teacher: str | None = None

    def settings(self, budget: Budget) -> Settings:
        """``model`` and ``training`` in full: defaults, the budget's, the method's."""
        if self.entry is None:
            return {"model": dict(self.model)}
        options = settings_of(models.resolve(self.entry), "model", without=_GIVEN)
        defaults = {k: s.default for k, s in options.items() if s.default is not inspect.Parameter.empty}
        shared = {name: value for name, value in budget.model.items() if name in options}
        training = TrainingConfig(**{**budget.training, **self.training})
        return {"model": {**defaults, **shared, **self.model}, "training": without_steps(training)}


def gradient(entry: str) -> Train:
    """Training of a registered model by gradient steps, for as long as the cell says."""

    def run(dataset: Dataset, cell: Cell, place: Place, teacher: Sampler | None) -> Trained:
        return train(build(entry, dataset, cell), dataset, cell, place)

    return run


def learned(title: str, kind: str, entry: str, **more: object) -> Method:
    """A method that is a registered model fitted by ``fit``."""
    return Method(title, kind, gradient(entry), entry=entry, **more)


METHODS: dict[str, Method] = {
    "free-form-flow": learned("free-form flow", ONE, "free-form-flow"),
    "flow-matching": learned("flow matching", ODE, "flow-matching"),
}


def find_method(name: str) -> Method:
    """The method called ``name``.

    Raises:
        UsageError: there is none; the message names the nearest.

    Example:
        >>> find_method("free-form-flwo")
        Traceback (most recent call last):
        manifold_gen.errors.UsageError: no method is called 'free-form-flwo'; did you mean free-form-flow?
    """
    if name not in METHODS:
        raise UsageError(f"no method is called {name!r}; {suggestion(name, METHODS)}")
    return METHODS[name]
