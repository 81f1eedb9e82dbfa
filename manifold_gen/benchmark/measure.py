"""Everything that is measured of one trained model, as plain values."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from manifold_gen import metrics, seeds
from manifold_gen.benchmark.methods import EVALUATIONS, ODE, Method
from manifold_gen.benchmark.pictures import density_grid
from manifold_gen.benchmark.training import Trained, frozen
from manifold_gen.data.base import Dataset, Split
from manifold_gen.data.locations import find
from manifold_gen.distributions.base import Distribution, Sampler
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.metrics import Estimate
from manifold_gen.ode import Solver

Value = dict[str, float | None]

MOST_TESTED = 4000  # test points, the same ones for every method
MOST_SHOWN = 2000  # samples kept for pictures
_MOST_MATCHED = 1000  # points of the metrics whose cost grows faster than the square of their number
_CURVE_POINTS = 400
_SKETCH_STEPS = 8
_TIMED, _REPEATS = 500, 3
_NO_LIKELIHOOD = {"likelihood_seconds": None, "likelihood_by_evaluations": None}
LIKELIHOOD_EVALUATIONS = (4, 8, 16, 32, 64, 128)  # of an ODE, at which its likelihood is compared and timed
# an ODE is solved there and back at every point of the integral: fewer suffice for the allowed error of 0.005
_ROUND_TRIPS, _PROPOSALS = {ODE: 1024}, {ODE: 2000}
_SAMPLES, _TEST = range(2)  # streams of random numbers
_BACKBONES = {
    "ramachandran": "general",
    "protein_general": "general",
    "protein_glycine": "glycine",
    "protein_proline": "proline",
    "protein_prepro": "pre-proline",
}


def measure(trained: Trained, method: Method, dataset: Dataset, seed: int) -> dict[str, object]:
    """The metrics of a result file, with ``samples`` and ``density`` for its pictures.

    Args:
        trained: likelihood and samples are evaluated in double precision, times in its own.
        seed: of samples and of the integral; the test points do not depend on it.
    """
    doubled = _doubled(dataset)
    model, test = frozen(trained.sampler), part(doubled.test, MOST_TESTED)
    drawn = model.sample(max(len(test), MOST_SHOWN), generator=seeds.generator(seed, _SAMPLES))
    return {
        **_likelihood(model, method, doubled, test, seed),
        "mmd": _mmd_by_evaluations(model, method, dataset.manifold, test, seed),
        "mmd_floor": estimated(_floor(doubled, test)),
        **_discrepancies(dataset.manifold, drawn[: len(test)], test.x),
        **_regions(dataset.name, drawn[: len(test)]),
        **_costs(trained.sampler, method, dataset.test),
        "samples": drawn[:MOST_SHOWN].flatten(1).mul(1e5).round().div(1e5).tolist(),
        "density": density_grid(sketched(model, method), dataset.manifold),
    }


def curve(trained: Trained, method: Method, dataset: Dataset) -> list[dict[str, float | None]]:
    """Negative log-likelihood on validation points against training seconds, where the model has a density."""
    if not isinstance(trained.sampler, Distribution):
        return []
    val = part(_doubled(dataset).val, _CURVE_POINTS)
    model, points = sketched(frozen(trained.sampler), method), []
    for seconds, weights in trained.snapshots:
        model.load_state_dict(weights)
        with torch.no_grad():
            record = model.score(val.x, val.context)
        points.append({"seconds": seconds, "nll": _finite(-record.log_prob[record.converged].mean())})
    return points


def sketched(model: Sampler, method: Method) -> Sampler:
    """The model as curves and pictures need it: an ODE in few steps, since those take most of the time otherwise."""
    if method.kind == ODE:
        model = copy.copy(model)
        model.solver = Solver("rk4", _SKETCH_STEPS)
    return model


def sampling_settings(
    model: Sampler, method: Method, choices: Sequence[int] | None = None
) -> dict[int, dict[str, object]]:
    """By evaluations per sample, what ``model.sample`` is told to make so many; ``choices`` are those of its kind."""
    choices = EVALUATIONS[method.kind] if choices is None else choices
    if not choices:
        return {max(1, metrics.network_evaluations(model)): {}}
    if method.kind == ODE:
        return {k: {"solver": solver_of(k)} for k in choices}
    return {k: {"steps": k} for k in choices}


def solver_of(evaluations: int) -> Solver:
    """The solver of best order that takes so many evaluations.

    >>> solver_of(8).method, solver_of(8).steps, solver_of(1).method
    ('rk4', 2, 'euler')
    """
    if evaluations % 4 == 0:
        return Solver("rk4", evaluations // 4)
    return Solver("midpoint", evaluations // 2) if evaluations % 2 == 0 else Solver("euler", evaluations)


# ---- likelihood -------------------------------------------------------------------------------------------------


def _likelihood(model: Sampler, method: Method, dataset: Dataset, test: Split, seed: int) -> dict[str, object]:
    if not isinstance(model, Distribution):
        return {"nll": None, "gap": None}
    report = metrics.evaluate_likelihood(
        model,
        test,
        train=dataset.train,
        density=dataset.density,
        round_trips=_ROUND_TRIPS.get(method.kind, 4096),
        proposals=_PROPOSALS.get(method.kind, 20_000),
        seed=seed,
    )
    nll = {
        "value": _finite(report.nll),
        "se": _finite(report.nll_se),
        "valid": report.valid,
        "unconverged": report.unconverged,
        "count": report.count,
        "integral": _finite(report.round_trip.value),
        "integral_se": _finite(report.round_trip.se),
        "importance": None if report.importance is None else _finite(report.importance.value),
        "importance_se": None if report.importance is None else _finite(report.importance.se),
        "faults": report.faults,
    }
    gap = None if report.gap is None else {"value": _finite(report.gap), "se": _finite(report.gap_se)}
    return {"nll": nll, "gap": gap}


# ---- samples ----------------------------------------------------------------------------------------------------


def _mmd_by_evaluations(model: Sampler, method: Method, manifold: Manifold, test: Split, seed: int) -> dict[str, Value]:
    found = {}
    for k, setting in sampling_settings(model, method).items():
        drawn = model.sample(len(test), generator=seeds.generator(seed, _SAMPLES, k), **setting)
        found[str(k)] = estimated(metrics.mmd(manifold, drawn, test.x))
    return found


def _floor(dataset: Dataset, test: Split) -> Estimate:
    train = dataset.train.x
    return metrics.mmd_floor(dataset.manifold, train, test.x, n=min(len(test), len(train)))


def _discrepancies(manifold: Manifold, drawn: Tensor, test: Tensor) -> dict[str, Value | None]:
    few = {"maximum": _MOST_MATCHED}
    asked = {
        "wasserstein1": lambda: metrics.wasserstein(manifold, drawn, test, 1, **few),
        "wasserstein2": lambda: metrics.wasserstein(manifold, drawn, test, 2, **few),
        "c2st": lambda: metrics.c2st(manifold, drawn, test),
        "coverage": lambda: metrics.coverage(manifold, drawn, test, **few),
        "nearest": lambda: metrics.nearest_neighbour_accuracy(manifold, drawn, test, **few),
    }
    return {name: _where_points_suffice(metric) for name, metric in asked.items()}


def _where_points_suffice(metric: Callable[[], Estimate]) -> Value | None:
    """The estimate, or nothing where a metric refuses a sample as too small: volcano has 83 test points."""
    try:
        return estimated(metric())
    except UsageError:
        return None


def _regions(name: str, drawn: Tensor) -> dict[str, Value | None]:
    """Shares in MolProbity's regions where the angles are a backbone's and the reference is on this machine."""
    kind = _BACKBONES.get(name)
    if kind is None or find(metrics.RESIDUE_CLASSES[kind].file.place) is None:
        return {"favoured": None, "allowed": None}
    favoured, allowed = metrics.ramachandran_shares(drawn, kind)
    return {"favoured": estimated(favoured), "allowed": estimated(allowed)}


# ---- costs ------------------------------------------------------------------------------------------------------


def _costs(model: Sampler, method: Method, split: Split) -> dict[str, object]:
    """Times in the precision the model was trained in, on one thread."""
    seconds = {
        str(k): metrics.sampling_seconds(model, _TIMED, repeats=_REPEATS, **setting).value
        for k, setting in sampling_settings(model, method).items()
    }
    return {
        "sample_seconds": seconds,
        **(_likelihood_costs(model, method, split) if isinstance(model, Distribution) else _NO_LIKELIHOOD),
        "evaluations": metrics.network_evaluations(model),
    }


def _likelihood_costs(model: Distribution, method: Method, split: Split) -> dict[str, object]:
    """Seconds a point; of an ODE also by the evaluations that it is solved in, with the mean −log p that they give."""
    types = [tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point()]
    few = split.take(torch.arange(min(_TIMED, len(split))))
    rows, doubled, exact = few.to(dtype=types[0] if types else None), few.to(dtype=torch.float64), frozen(model)

    def seconds(**settings: object) -> float:
        return metrics.likelihood_seconds(model, rows.x, rows.context, repeats=_REPEATS, **settings).value

    def solved(k: int) -> dict[str, float | None]:
        log_prob = exact.log_prob(doubled.x, doubled.context, solver=solver_of(k))
        return {"nll": _finite(-log_prob.mean()), "seconds": seconds(solver=solver_of(k))}

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # points without a preimage are counted elsewhere
        by_evaluations = {str(k): solved(k) for k in LIKELIHOOD_EVALUATIONS} if method.kind == ODE else None
        return {"likelihood_seconds": seconds(), "likelihood_by_evaluations": by_evaluations}


# ---- helpers ----------------------------------------------------------------------------------------------------


def part(split: Split, most: int) -> Split:
    """``most`` rows, the same at every call; the split itself where it has no more."""
    if len(split) <= most:
        return split
    return split.take(torch.randperm(len(split), generator=seeds.generator(0, _TEST))[:most])


def _doubled(dataset: Dataset) -> Dataset:
    parts = {name: getattr(dataset, name).to(dtype=torch.float64) for name in ("train", "val", "test")}
    return replace(dataset, **parts)


def estimated(found: Estimate) -> Value:
    """An estimate as a result file holds it."""
    return {"value": _finite(found.value), "se": _finite(found.se)}


def _finite(value: Tensor | float) -> float | None:
    """A number, or ``None`` where it is none: JSON has no word for NaN."""
    number = float(value)
    return number if math.isfinite(number) else None
