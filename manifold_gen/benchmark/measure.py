"""Everything that is measured of one trained model, as plain values."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from manifold_gen import metrics, seeds
from manifold_gen.benchmark.methods import EVALUATIONS, MAP, ODE, Method
from manifold_gen.benchmark.training import Trained, frozen
from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions.base import Distribution, Sampler
from manifold_gen.manifolds.base import Manifold
from manifold_gen.metrics import Estimate

Value = dict[str, float | None]

MOST_SCORED = 4000  # test points, the same ones for every method
MOST_SHOWN = 2000  # samples kept for pictures
_TIMED_SAMPLES, _TIMED_POINTS, _REPEATS = 1000, 500, 3
_CURVE_POINTS = 500
# an ODE is solved there and back at every point of the integral: fewer suffice for the allowed error of 0.005
_ROUND_TRIPS, _PROPOSALS = {ODE: 1024}, {ODE: 2000}
_SAMPLES, _FLOOR, _TEST, _TIMING = range(4)  # streams of random numbers


def measure(trained: Trained, method: Method, dataset: Dataset, seed: int) -> dict[str, object]:
    """The metrics of a result file: likelihood, sample quality by evaluations, and costs.

    Args:
        seed: of samples and of the integral; the test points do not depend on it.
    """
    dataset = _doubled(dataset)
    model = frozen(trained.sampler)
    test = _part(dataset.test, MOST_SCORED)
    quality = _quality(model, method, dataset, test, seed)
    return {
        **_likelihood(model, method, dataset, test, seed),
        **quality,
        "sample_seconds": {str(k): _sample_seconds(trained.sampler, k) for k in _choices(method)},
        "likelihood_seconds": _likelihood_seconds(trained.sampler, dataset.test),
        "evaluations": _default_evaluations(model, method),
    }


def samples_of(model: Sampler, n: int, evaluations: int | None, generator: torch.Generator) -> Tensor:
    """``n`` points drawn with so many network evaluations each; ``None`` for what the sampler does by default."""
    if evaluations is None:
        return model.sample(n, generator=generator)
    if hasattr(model, "solver"):
        return model.sample(n, generator=generator, solver=solver_of(evaluations))
    return model.sample(n, generator=generator, steps=evaluations)


def solver_of(evaluations: int) -> object:
    """The solver of best order that so many evaluations pay: Euler for 1, midpoint for 2, RK4 for a multiple of 4."""
    from manifold_gen.ode import Solver

    if evaluations % 4 == 0:
        return Solver("rk4", evaluations // 4)
    return Solver("midpoint", evaluations // 2) if evaluations % 2 == 0 else Solver("euler", evaluations)


def curve(trained: Trained, dataset: Dataset) -> list[dict[str, float | None]]:
    """Negative log-likelihood on validation points against training seconds, where the model has a density."""
    if not isinstance(trained.sampler, Distribution):
        return []
    points = []
    val = _part(dataset.val, _CURVE_POINTS)
    for seconds, weights in trained.snapshots:
        model = frozen(trained.sampler)
        model.load_state_dict(weights)
        with torch.no_grad():
            record = model.score(val.x.to(torch.float64), val.context)
        scored = record.log_prob[record.converged]
        points.append({"seconds": seconds, "nll": finite(-scored.mean()) if len(scored) else None})
    return points


def finite(value: object) -> float | None:
    """A number, or ``None`` where it is none: JSON has no word for NaN."""
    number = float(value)
    return number if math.isfinite(number) else None


def estimate(found: Estimate) -> Value:
    """A value and its standard error."""
    return {"value": finite(found.value), "se": finite(found.se)}


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
        "value": finite(report.nll),
        "se": finite(report.nll_se),
        "valid": report.valid,
        "unconverged": report.unconverged,
        "count": report.count,
        "integral": finite(report.round_trip.value),
        "integral_se": finite(report.round_trip.se),
        "faults": report.faults,
    }
    gap = None if report.gap is None else {"value": finite(report.gap), "se": finite(report.gap_se)}
    return {"nll": nll, "gap": gap}


# ---- samples ----------------------------------------------------------------------------------------------------


def _quality(model: Sampler, method: Method, dataset: Dataset, test: Split, seed: int) -> dict[str, object]:
    manifold, n = dataset.manifold, len(test)
    found: dict[str, Value] = {}
    for k in _choices(method):
        drawn = samples_of(model, n, k if _chosen(method) else None, seeds.generator(seed, _SAMPLES, k))
        found[str(k)] = estimate(metrics.mmd(manifold, drawn, test.x))
    drawn = model.sample(max(n, MOST_SHOWN), generator=seeds.generator(seed, _SAMPLES))
    floor = metrics.mmd_floor(manifold, dataset.train.x, test.x, n=min(n, len(dataset.train)), seed=_FLOOR)
    return {
        "mmd": found,
        "mmd_floor": estimate(floor),
        **_discrepancies(manifold, drawn[:n], dataset, test),
        "samples": drawn[:MOST_SHOWN].flatten(1).to(torch.float64).mul(1e5).round().div(1e5).tolist(),
    }


def _discrepancies(manifold: Manifold, drawn: Tensor, dataset: Dataset, test: Split) -> dict[str, Value | None]:
    names = ("wasserstein1", "wasserstein2", "c2st", "coverage", "nearest", "favoured", "allowed")
    return dict.fromkeys(names)


def _choices(method: Method) -> tuple[int, ...]:
    return EVALUATIONS[method.kind] or (1,)


def _chosen(method: Method) -> bool:
    return method.kind in (ODE, MAP)


def _default_evaluations(model: Sampler, method: Method) -> int:
    if method.kind == ODE:
        return int(model.solver.evaluations)
    return 1


# ---- costs ------------------------------------------------------------------------------------------------------


def _sample_seconds(model: Sampler, evaluations: int) -> float:
    chosen = evaluations if hasattr(model, "solver") else None
    return _best(lambda: samples_of(model, _TIMED_SAMPLES, chosen, seeds.generator(0, _TIMING))) / _TIMED_SAMPLES


def _likelihood_seconds(model: Sampler, split: Split) -> float | None:
    if not isinstance(model, Distribution):
        return None
    first = next((p for p in model.state_dict().values() if p.is_floating_point()), torch.empty(0))
    rows = split.take(torch.arange(min(_TIMED_POINTS, len(split)))).to(dtype=first.dtype)
    return _best(lambda: model.score(rows.x, rows.context)) / len(rows)


def _best(action: Callable[[], object]) -> float:
    """Least CPU time of a few runs, which is what a run costs when nothing disturbs it."""
    times = []
    with torch.no_grad():
        for _ in range(_REPEATS):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
    return min(times)


def _part(split: Split, most: int) -> Split:
    """``most`` rows, the same at every call; the split itself where it has no more."""
    if len(split) <= most:
        return split
    return split.take(torch.randperm(len(split), generator=seeds.generator(0, _TEST))[:most])


def _doubled(dataset: Dataset) -> Dataset:
    parts: Mapping[str, Split] = {
        name: getattr(dataset, name).to(dtype=torch.float64) for name in ("train", "val", "test")
    }
    return Dataset(dataset.name, dataset.manifold, **parts, density=dataset.density, info=dataset.info)
