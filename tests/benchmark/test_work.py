"""One cell: trained, measured, and its failures told without a number."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from small_data import bumps, truth

from manifold_gen import seeds
from manifold_gen.benchmark.budget import BUDGETS
from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.job import Job
from manifold_gen.benchmark.measure import measure, solver_of
from manifold_gen.benchmark.methods import METHODS
from manifold_gen.benchmark.suite import make_cell
from manifold_gen.benchmark.training import Trained
from manifold_gen.benchmark.work import run_cell
from manifold_gen.checkpoint import RunFolder, load
from manifold_gen.data import list_datasets

ESTIMATES = ("mmd_floor", "wasserstein1", "wasserstein2", "c2st", "coverage", "nearest")
FEW = {"width": 16, "depth": 1, "waves": 8}
DATA = "small_data:bumps"


def small_cell(method, seconds=0.5, data=DATA, **model):
    budget = replace(BUDGETS["quick"], seconds=seconds, model={**FEW, **model})
    return make_cell(data, method, 0, budget)


@pytest.fixture(scope="module")
def teacher():
    return run_cell(Job(small_cell("free-form-flow-distilled").teacher))


def check(record, kind):
    json.dumps(record, allow_nan=False)
    assert record["status"] == "done", record["reason"]
    measured = record["metrics"]
    for name in ESTIMATES:
        assert set(measured[name]) == {"value", "se"}
        assert measured[name]["value"] is not None
    assert set(measured["mmd"]) == set(measured["sample_seconds"])
    assert len(record["samples"]) == 2000
    assert {len(point) for point in record["samples"]} == {2}
    assert (measured["nll"] is None) == (kind == "map")
    assert (measured["likelihood_seconds"] is None) == (kind == "map")
    assert record["metrics"]["favoured"] is None


@pytest.mark.parametrize("name", ["free-form-flow", "kernel-density", "mean-flow"])
def test_a_cell_of_each_kind(name):
    cell = small_cell(name)
    payload = run_cell(Job(cell))
    check(payload.record, METHODS[name].kind)
    assert payload.record["spec"] == cell.spec
    assert bool(payload.files) == (METHODS[name].entry is not None)
    assert payload.record["train"]["steps"] >= (METHODS[name].entry is not None)


def test_an_ode_is_measured_by_its_evaluations(teacher):
    check(teacher.record, "ode")
    assert list(teacher.record["metrics"]["mmd"]) == ["1", "2", "4", "8", "16", "32", "64"]
    likelihoods = teacher.record["metrics"]["likelihood_by_evaluations"]
    assert list(likelihoods) == ["4", "8", "16", "32", "64", "128"]
    misses = [abs(at["nll"] - likelihoods["128"]["nll"]) for at in likelihoods.values()]
    assert misses[3] < 0.1 * misses[0] + 1e-6  # a field that is barely smooth: less than order four
    assert likelihoods["128"]["seconds"] > likelihoods["4"]["seconds"] > 0
    assert len(teacher.record["train"]["curve"]) >= 5  # steps are timed, and need not divide evenly


def test_a_student_learns_from_its_teacher_and_its_time_holds_the_teachers(teacher):
    cell = small_cell("free-form-flow-distilled")
    record = run_cell(Job(cell, teacher=teacher.files)).record
    check(record, "one")
    assert record["spec"]["teacher"] == teacher.record["hash"]
    assert record["train"]["teacher_seconds"] == cell.teacher.seconds
    assert record["train"]["seconds"] > cell.teacher.seconds
    assert all(point["seconds"] > cell.teacher.seconds for point in record["train"]["curve"])


def test_saved_files_are_the_model_that_was_measured(teacher, tmp_path):
    with RunFolder(tmp_path / "model") as run:
        run.save(teacher.files)
    model = load(run.path).to(torch.float64)
    drawn = model.sample(2000, generator=seeds.generator(0, 0))
    assert torch.allclose(drawn, torch.tensor(teacher.record["samples"], dtype=torch.float64), atol=1e-5)


def test_a_truth_measured_as_a_method_has_no_gap_and_looks_like_the_data():
    data = bumps()
    found = measure(Trained(truth(), 0.0), METHODS["mixture"], data, seed=0)
    assert abs(found["gap"]["value"]) < 1e-6
    assert found["nll"]["valid"]
    expected = -float(truth().log_prob(data.test.x).mean())
    assert math.isclose(found["nll"]["value"], expected, rel_tol=1e-4)
    assert found["mmd"]["1"]["value"] < found["mmd_floor"]["value"] + 5 * found["mmd_floor"]["se"]
    assert abs(found["c2st"]["value"] - 0.5) < 5 * found["c2st"]["se"]


def test_a_wrong_density_is_told_from_the_truth():
    from manifold_gen.distributions import Uniform

    found = measure(Trained(Uniform(bumps().manifold), 0.0), METHODS["mixture"], bumps(), seed=0)
    assert found["gap"]["value"] > 0.5
    assert found["mmd"]["1"]["value"] > 3 * found["mmd_floor"]["value"]
    assert found["c2st"]["value"] > 0.6


def test_a_training_that_diverges_is_failed_without_a_number():
    cell = small_cell("flow-matching")
    settings = {**cell.settings, "training": {**cell.settings["training"], "lr": 1e30, "grad_clip": 0.0}}
    settings["training"]["optimiser"] = "sgd"
    record = run_cell(Job(replace(cell, settings=settings))).record
    json.dumps(record, allow_nan=False)
    assert record["status"] == "failed"
    assert record["reason"].startswith("DivergenceError: step ")
    assert record["metrics"] is None
    assert record["train"] == {"seconds": None, "steps": None, "parameters": None, "curve": []}


def test_a_cell_that_cannot_be_built_is_failed_with_its_reason():
    cell = small_cell("free-form-flow")
    settings = {**cell.settings, "model": {**cell.settings["model"], "volume": "none"}}
    assert "volume is 'none'" in run_cell(Job(replace(cell, settings=settings))).record["reason"]


@pytest.mark.parametrize(
    ("evaluations", "expected"), [(1, ("euler", 1)), (2, ("midpoint", 1)), (3, ("euler", 3)), (64, ("rk4", 16))]
)
def test_the_solver_of_so_many_evaluations(evaluations, expected):
    solver = solver_of(evaluations)
    assert (solver.method, solver.steps) == expected
    assert solver.evaluations == evaluations


def test_every_backbone_set_is_known():
    from manifold_gen.benchmark.measure import _BACKBONES

    assert set(_BACKBONES) <= {source.name for source in list_datasets()}


def test_a_cell_is_a_pure_function_but_for_time(teacher):
    cell = Cell(DATA, "mixture", 0, "quick", 1.0, {"data": {"split_seed": 0}, "model": {}})
    first, second = (run_cell(Job(cell)).record for _ in range(2))
    for record in (first, second):
        record["train"].pop("seconds")
        for name in ("sample_seconds", "likelihood_seconds"):
            record["metrics"].pop(name)
    assert first == second
