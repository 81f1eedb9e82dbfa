"""Result files as a benchmark writes them, with made-up numbers: whatever a report must show, without any training."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from manifold_gen.benchmark.budget import Budget
from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.job import Place
from manifold_gen.benchmark.measure import LIKELIHOOD_EVALUATIONS
from manifold_gen.benchmark.methods import EVALUATIONS, METHODS
from manifold_gen.benchmark.records import ResultFolder
from manifold_gen.benchmark.suite import make_cell
from manifold_gen.benchmark.work import failed_record

BUDGET = Budget("quick", seeds=3, seconds=60.0)
NASTY = "<script>fetch('x')</script>|a & `b` *c*"
_DEFAULT = {"one": 1, "ode": 128, "map": 4}
_GRIDS = {"sphere:2": ("lonlat", 96), "torus:2": ("angles", 48)}


def pair(value, se=0.02):
    """A metric as result files hold it."""
    return {"value": value, "se": se}


def fake_cell(data, method, seed):
    """The cell that the suite would run."""
    if method in METHODS:
        cell = make_cell("earthquake" if data == NASTY else data, method, seed, BUDGET)
        return replace(cell, data=data, teacher=cell.teacher and replace(cell.teacher, data=data))
    return Cell(data, method, seed, "quick", BUDGET.seconds, {"data": {"split_seed": seed}, "model": {}})


def fake_record(cell, manifold="sphere:2", nll=0.5, mmd=0.05, faults=(), points=200, **metrics):
    """A record of the schema; ``metrics`` replace its own."""
    kind = METHODS[cell.method].kind if cell.method in METHODS else "one"
    keys = EVALUATIONS[kind] or (1,)
    own = {
        "nll": None if kind == "map" else {**pair(nll, 0.05), "valid": not faults, "faults": list(faults)},
        "gap": None,
        "mmd": {str(k): pair(mmd + (0.3 / k**2 if kind == "ode" else 0.0)) for k in keys},
        "mmd_floor": pair(0.04),
        "sample_seconds": {str(k): 4e-6 * k for k in keys},
        "likelihood_seconds": None if kind == "map" else {"ode": 5e-3}.get(kind, 1e-4),
        "likelihood_by_evaluations": _likelihoods(nll) if kind == "ode" and nll is not None else None,
        "evaluations": _DEFAULT[kind],
        **{name: pair(0.1) for name in ("wasserstein1", "wasserstein2")},
        **{name: pair(0.6) for name in ("c2st", "coverage", "nearest")},
        "favoured": None,
        "allowed": None,
    }
    teacher = 0.0 if cell.teacher is None else cell.teacher.seconds
    curve = (
        [{"seconds": teacher + 6.0 * i, "nll": nll + 2.0 / i} for i in range(1, 6)]
        if own["nll"] and nll is not None
        else []
    )
    return {
        **failed_record(cell, "", Place()),
        "status": "done",
        "reason": None,
        "manifold": manifold,
        "train": {"seconds": 60.0, "teacher_seconds": teacher, "steps": 900, "parameters": 83_590, "curve": curve},
        "metrics": {**own, **metrics},
        "samples": _points(manifold, random.Random(cell.seed), points),
        "density": _grid(manifold) if own["nll"] else None,
    }


def _likelihoods(nll):
    """Off by a nat at four evaluations and by a sixteenth as much at twice as many; 40 µs an evaluation."""
    return {str(k): {"nll": nll + 256 / k**4, "seconds": 4e-5 * k} for k in LIKELIHOOD_EVALUATIONS}


def write(folder, *records):
    """Cells and their records, through the benchmark's own writer."""
    results = ResultFolder(folder)
    for cell, record in records:
        results.write(cell, record, {})


def fill(folder, data=("earthquake", "ramachandran", "so3_mixture_16", NASTY), methods=tuple(METHODS), seeds=2):
    """A folder as after a run: teachers, an invalid likelihood, a failed cell."""
    manifolds = {"ramachandran": "torus:2", "so3_mixture_16": "so3", "rna": "torus:7", NASTY: "poincare:2"}
    records = []
    for name in data:
        for place, method in enumerate(methods):
            for seed in range(seeds):
                cell = fake_cell(name, method, seed)
                told = {"manifold": manifolds.get(name, "sphere:2"), "nll": 0.3 + 0.05 * place + 0.2 * seed}
                if method == "free-form-flow-distilled":
                    told["faults"] = [f"3 of 611 points have no preimage, at most 1 may; {NASTY}"]
                records.append((cell, fake_record(cell, mmd=0.04 + 0.01 * place + 0.003 * seed, **told)))
                if cell.teacher is not None:
                    records.append((cell.teacher, fake_record(cell.teacher, **told)))
        failed = fake_cell(name, "continuous-flow", 0)
        records.append((failed, failed_record(failed, f"DivergenceError: the loss is nan; {NASTY}", Place())))
    write(folder, *records)


def _points(manifold, source, count):
    if manifold == "so3":
        angles = [source.uniform(-3, 3) for _ in range(count)]
        return [[1.0, 0, 0, 0, math.cos(a), -math.sin(a), 0, math.sin(a), math.cos(a)] for a in angles]
    if manifold == "sphere:2":
        return [[math.cos(a), math.sin(a), 0.0] for a in (source.uniform(-3, 3) for _ in range(count))]
    reach = 0.6 if manifold == "poincare:2" else 3.0
    return [[source.uniform(-reach, reach) for _ in range(int(manifold.partition(":")[2]))] for _ in range(count)]


def _grid(manifold):
    if manifold not in _GRIDS:
        return None
    kind, columns = _GRIDS[manifold]
    places = [(row - 24, column - columns / 2) for row in range(48) for column in range(columns)]
    values = [-((up / 9) ** 2) - (across / 14) ** 2 for up, across in places]
    return {"kind": kind, "rows": 48, "columns": columns, "log_density": [None, *values[1:]]}
