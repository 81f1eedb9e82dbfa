"""Generators of molecules in the benchmark: their cells, and their part of the report."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from manifold_gen.benchmark import molecules
from manifold_gen.benchmark.budget import BUDGETS
from manifold_gen.benchmark.job import Job
from manifold_gen.benchmark.methods import METHODS
from manifold_gen.benchmark.records import ResultFolder
from manifold_gen.benchmark.report import write_report
from manifold_gen.benchmark.suite import cells, choose_data
from manifold_gen.benchmark.work import run_cell

DATA = "small_data:small_molecules"
ONE_PASS = {"free-form-flow", "endpoint-flow-settled"}
GENERATORS = {*ONE_PASS, "flow-matching", "diffusion", "flow-map", "mean-flow", "endpoint-flow"}
BUDGET = replace(BUDGETS["quick"], seconds=0.5, model={"width": 16, "depth": 1})


@pytest.fixture(scope="module")
def records():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(molecules, "DRAWN", 20)
        made = cells([DATA], METHODS, 1, BUDGET)
        found = {}
        for cell in made:  # teachers come first
            taught_by = None if cell.teacher is None else found[cell.teacher.hash][1].files
            found[cell.hash] = (cell, run_cell(Job(cell, teacher=taught_by)))
        return list(found.values())


def test_the_methods_are_those_that_fit_clouds_of_every_size(records):
    assert {cell.method for cell, _ in records} == GENERATORS
    assert all(cell.settings["training"]["batch_size"] == 64 for cell, _ in records)


def test_all_groups_leave_molecules_to_their_own_name():
    assert "qm9" not in choose_data("all")[0]
    assert choose_data("molecules") == (["qm9"], [])


def test_shares_and_distances_by_evaluations(records):
    compared = 0
    for cell, payload in records:
        record = payload.record
        json.dumps(record, allow_nan=False)
        assert record["status"] == "done", record["reason"]
        measured = record["metrics"]
        wanted = ["1"] if cell.method in ONE_PASS else ["1", "2", "4", "8", "20", "100"]
        assert list(measured["molecules"]) == list(measured["sample_seconds"]) == wanted
        for at in measured["molecules"].values():
            assert all(0 <= at[name]["value"] <= 1 for name in molecules.SHARES)
            # twenty molecules of hardly trained weights may have no bond between them, and then no distance
            known = [at[name]["value"] for name in molecules.DISTANCES if at[name]["value"] is not None]
            assert all(0 <= value <= 1 for value in known)
            compared += len(known)
            assert at["strict"]["value"] <= at["molecule_stable"]["value"] <= at["atom_stable"]["value"]
        assert 0 < measured["molecules_floor"]["rings"]["value"] < 1
        assert {len(row["numbers"]) == len(row["positions"]) for row in record["samples"]} == {True}
        assert payload.files
    assert compared > len(records)


def test_evaluations_are_those_of_one_size(records):
    counted = {cell.method: payload.record["metrics"]["evaluations"] for cell, payload in records}
    assert {counted[name] for name in (*ONE_PASS, "flow-map")} == {1}
    assert counted["endpoint-flow"] == 100
    assert counted["flow-matching"] == 128


def test_the_report_has_their_tables_and_pictures(records, tmp_path):
    folder = ResultFolder(tmp_path)
    for cell, payload in records:
        folder.write(cell, payload.record, {})
    page, text = (path.read_text() for path in write_report(tmp_path, tmp_path / "report"))
    assert "ms a strict" in text
    assert all(METHODS[name].title in text for name in GENERATORS)
    assert "training molecules in place of samples" in text
    assert "Claims and what was measured" not in text
    assert page.count("data:image/png") == len(records)
    assert page.count("data:image/svg") == 1
