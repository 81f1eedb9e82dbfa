"""The methods of the benchmark, each one entry."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from manifold_gen import models
from manifold_gen.benchmark.budget import Budget
from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.job import Place
from manifold_gen.benchmark.training import Trained, build, train, without_steps
from manifold_gen.configuration import settings_of, suggestion
from manifold_gen.data.base import Dataset
from manifold_gen.distributions import fit_kernel_density, fit_mixture
from manifold_gen.distributions.base import Distribution, Sampler
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.volume_choice import choose_volume
from manifold_gen.training import TrainingConfig

if TYPE_CHECKING:
    from manifold_gen.models.distillation import DistilledFlow
    from manifold_gen.models.flow_map import FlowMap
    from manifold_gen.models.flow_matching import FlowMatching
    from manifold_gen.models.sized import SizedModel

Settings = dict[str, dict[str, object]]
Train = Callable[[Dataset, Cell, Place, Sampler | None], Trained]

ONE, ODE, MAP = "one", "ode", "map"
# network evaluations per sample at which the quality of samples is measured; none: what the sampler takes by default
EVALUATIONS = {ONE: (), ODE: (1, 2, 4, 8, 16, 32, 64), MAP: (1, 2, 4, 8)}
# Of a free-form flow's data, fading over the training. Without it the 660 training points of volcano are learned by
# heart: validation points of three seeds have 0.15, 0.63 and 0.53 nats, with it -0.72, 0.61 and -0.36.
NOISE = {"noise": 0.02}
_GIVEN = ("manifold", "seed", "context_features", "context_categories")


def _points(manifold: Manifold) -> bool:
    return not manifold.varies


def _clouds(manifold: Manifold) -> bool:
    return manifold.varies


def _anywhere(manifold: Manifold) -> bool:
    return True


def _as_elsewhere(manifold: Manifold) -> Mapping[str, object]:
    return {}


def _free_form(entry: str) -> Callable[[Manifold], Mapping[str, object]]:
    """Noise on points, and the volume change that the default stands for, so that a record says what was trained."""

    def settings(manifold: Manifold) -> Mapping[str, object]:
        if manifold.varies:
            return {}
        return {"volume": choose_volume("auto", manifold, models.resolve(entry).inverse_up_to), **NOISE}

    return settings


@dataclass(frozen=True)
class Method:
    """How the benchmark trains one kind of model.

    Attributes:
        title: in tables.
        kind: ``"one"`` evaluation a sample, an ``"ode"`` solved in a chosen number, or a ``"map"`` of a few.
        train: from data, cell, place and trained teacher to a trained sampler.
        model, training: settings beside the budget's and the defaults.
        on: of the model, those that the manifold decides.
        entry: name in ``models.REGISTRY`` whose constructor has the settings ``model``.
        suits: whether it exists on a manifold, or on a family of clouds.
        teacher: the method it learns from.
    """

    title: str
    kind: str
    train: Train
    model: Mapping[str, object] = field(default_factory=dict)
    training: Mapping[str, object] = field(default_factory=dict)
    on: Callable[[Manifold], Mapping[str, object]] = _as_elsewhere
    entry: str | None = None
    suits: Callable[[Manifold], bool] = _points
    teacher: str | None = None

    def settings(self, budget: Budget, manifold: Manifold) -> Settings:
        """``model`` and ``training`` in full: defaults, the budget's, the method's."""
        if self.entry is None:
            return {"model": dict(self.model)}
        options = settings_of(models.resolve(self.entry), "model", without=_GIVEN)
        defaults = {k: s.default for k, s in options.items() if s.default is not inspect.Parameter.empty}
        shared = {name: value for name, value in budget.model.items() if name in options}
        training = TrainingConfig(**{**budget.training, **self.training})
        model = {**defaults, **shared, **self.model, **self.on(manifold)}
        return {"model": model, "training": without_steps(training)}


def gradient(entry: str) -> Train:
    """Training of a registered model by gradient steps, for as long as the cell says."""

    def run(dataset: Dataset, cell: Cell, place: Place, teacher: Sampler | None) -> Trained:
        return train(build(entry, dataset, cell), dataset, cell, place)

    return run


def prepared(entry: str) -> Train:
    """The same after the model was prepared, where that takes long: it counts as training, and is not done twice."""

    def run(dataset: Dataset, cell: Cell, place: Place, teacher: Sampler | None) -> Trained:
        model = build(entry, dataset, cell)
        return train(model, dataset, cell, place, lambda: model.prepare(dataset.train))

    return run


def taught(entry: str, listen: Callable[[Any, Any, Dataset, Cell], None]) -> Train:
    """The same after ``listen(student, teacher, dataset, cell)``, whose time counts as training."""

    def run(dataset: Dataset, cell: Cell, place: Place, teacher: Sampler | None) -> Trained:
        student, teacher = build(entry, dataset, cell), teacher.to(place.device)
        return train(student, dataset, cell, place, lambda: listen(student, teacher, dataset, cell))

    return run


def fitted(fit: Callable[[Dataset, int], Distribution]) -> Train:
    """A fit that ends by itself; what it took is recorded."""

    def run(dataset: Dataset, cell: Cell, place: Place, teacher: Sampler | None) -> Trained:
        start = time.process_time()
        return Trained(fit(dataset, cell.seed), time.process_time() - start)

    return run


def learned(title: str, kind: str, entry: str, **more: Any) -> Method:
    """A method that is a registered model fitted by ``fit``."""
    return Method(title, kind, gradient(entry), entry=entry, **more)


def _angles(manifold: Manifold) -> bool:
    return _points(manifold) and manifold.period is not None and math.isclose(manifold.period, 2 * math.pi)


def _pairs(student: DistilledFlow, teacher: FlowMatching, dataset: Dataset, cell: Cell) -> None:
    student.learn_from(teacher, dataset.train.x, dataset.train.context, cell.seed)


def _field(student: FlowMap, teacher: FlowMatching, dataset: Dataset, cell: Cell) -> None:
    student.distil(teacher)


def _settling(student: SizedModel, teacher: SizedModel, dataset: Dataset, cell: Cell) -> None:
    from manifold_gen.models.settled import settle

    settle(teacher, student)


def _mixture(dataset: Dataset, seed: int) -> Distribution:
    return fit_mixture(dataset.manifold, dataset.train.x, dataset.val.x, seed=seed)


def _kernels(dataset: Dataset, seed: int) -> Distribution:
    return fit_kernel_density(dataset.train.x, dataset.val.x, dataset.manifold, seed=seed)


METHODS: dict[str, Method] = {
    "free-form-flow": learned(
        "free-form flow", ONE, "free-form-flow", on=_free_form("free-form-flow"), suits=_anywhere
    ),
    "free-form-flow-distilled": Method(
        "free-form flow, distilled",
        ONE,
        taught("free-form-flow-distilled", _pairs),
        entry="free-form-flow-distilled",
        on=_free_form("free-form-flow-distilled"),
        teacher="flow-matching",
    ),
    "flow-matching": learned("flow matching", ODE, "flow-matching", suits=_anywhere),
    "continuous-flow": learned("continuous flow", ODE, "continuous-flow"),
    "diffusion": learned("diffusion", ODE, "diffusion", suits=_anywhere),
    "moser-flow": learned("Moser flow", ODE, "moser-flow"),
    "flow-map": learned("flow map", MAP, "flow-map", suits=_anywhere),
    "flow-map-distilled": Method(
        "flow map, distilled", MAP, taught("flow-map", _field), entry="flow-map", teacher="flow-matching"
    ),
    "mean-flow": learned("MeanFlow", MAP, "mean-flow", suits=_anywhere),
    "spline-coupling": learned("spline flow, coupling", ONE, "spline-coupling", suits=_angles),
    "spline-autoregressive": learned("spline flow, autoregressive", ONE, "spline-autoregressive", suits=_angles),
    "autoregressive": learned("autoregressive mixtures", ONE, "autoregressive", suits=_angles),
    "mixture": Method("mixture by EM", ONE, fitted(_mixture)),
    "kernel-density": Method("kernel density", ONE, fitted(_kernels)),
    "free-form-flow-mixture": Method(
        "free-form flow, mixture base",
        ONE,
        prepared("free-form-flow-mixture"),
        entry="free-form-flow-mixture",
        on=_free_form("free-form-flow-mixture"),
    ),
    "flow-matching-mixture": Method(
        "flow matching, mixture base", ODE, prepared("flow-matching-mixture"), entry="flow-matching-mixture"
    ),
    "endpoint-flow": learned(
        "endpoint flow", MAP, "endpoint-flow", model={"pairing": True, "noise": 1.0}, suits=_clouds
    ),
    "endpoint-flow-settled": Method(
        "settled flow",
        ONE,
        taught("endpoint-flow-settled", _settling),
        entry="endpoint-flow-settled",
        suits=_clouds,
        teacher="endpoint-flow",
    ),
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
