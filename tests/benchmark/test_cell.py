"""What decides a cell's hash, and which cells a benchmark has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manifold_gen.benchmark import suite
from manifold_gen.benchmark.budget import BUDGETS, Budget
from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.methods import METHODS
from manifold_gen.errors import UsageError

CELL = Cell("ramachandran", "free-form-flow", 0, "quick", 60.0, {"model": {"width": 64, "decay": 1.0}})


def test_the_hash_of_a_specification_is_pinned():
    assert CELL.hash == "29893702ceee63aaac388f0917a781e42b3b454ce96edc02703686e26d465e22"


@pytest.mark.parametrize(
    "change",
    [
        {"data": "rna"},
        {"method": "flow-matching"},
        {"seed": 1},
        {"budget": "paper"},
        {"seconds": 61.0},
        {"settings": {"model": {"width": 65, "decay": 1.0}}},
        {"settings": {"model": {"width": 64}}},
        {"teacher": CELL},
    ],
    ids=str,
)
def test_everything_in_the_specification_changes_the_hash(change):
    assert replace(CELL, **change).hash != CELL.hash


def test_the_order_of_settings_does_not_change_the_hash():
    assert replace(CELL, settings={"model": {"decay": 1.0, "width": 64}}).hash == CELL.hash


def test_a_student_names_its_teacher_by_hash():
    student = replace(CELL, teacher=replace(CELL, seed=3))
    assert student.spec["teacher"] == replace(CELL, seed=3).hash
    assert replace(CELL, teacher=replace(CELL, seed=4)).hash != student.hash


def test_settings_are_resolved_in_full():
    for name, method in METHODS.items():
        settings = suite.make_cell("ramachandran", name, 2, BUDGETS["quick"]).settings
        assert settings["data"] == {"split_seed": 2}
        if method.entry is not None:
            assert settings["model"]["width"] > 0
            assert settings["training"]["lr"] > 0
            assert not {"steps", "device", "threads", "seed"} & set(settings["training"])
            assert "seed" not in settings["model"]


def test_a_cell_records_the_volume_that_the_default_stands_for():
    """But on clouds of many sizes, where it is chosen size by size."""
    cells = suite.cells(["earthquake", "ramachandran", "qm9"], ["free-form-flow"], 1, BUDGETS["quick"])
    assert {cell.data: cell.settings["model"]["volume"] for cell in cells} == {
        "earthquake": "restoring",
        "ramachandran": "exact_encoder",
        "qm9": "auto",
    }


def test_a_budget_changes_networks_and_training():
    large = Budget("large", 1, 5.0, {"width": 17, "unknown": 3}, {"batch_size": 33})
    settings = suite.make_cell("ramachandran", "flow-matching", 0, large).settings
    assert (settings["model"]["width"], settings["training"]["batch_size"]) == (17, 33)
    assert "unknown" not in settings["model"]


def test_teachers_come_first_and_share_the_time():
    cells = suite.cells(["ramachandran"], ["free-form-flow-distilled", "flow-map-distilled"], 2, BUDGETS["quick"])
    students = [cell for cell in cells if cell.teacher is not None]
    assert len(cells) == 6  # two teachers for four students: those of one seed learn from one
    assert len(students) == 4
    for student in students:
        assert cells.index(student.teacher) < cells.index(student)
        assert student.seconds + student.teacher.seconds == BUDGETS["quick"].seconds
        assert student.teacher.seed == student.seed


def test_methods_are_left_out_where_they_do_not_exist():
    names = {cell.method for cell in suite.cells(["checkerboard_s2", "rna"], list(METHODS), 1, BUDGETS["quick"])}
    on_sphere = {cell.method for cell in suite.cells(["checkerboard_s2"], list(METHODS), 1, BUDGETS["quick"])}
    assert names - on_sphere == {"spline-coupling", "spline-autoregressive", "autoregressive"}


def test_every_group_names_known_data_sets():
    from manifold_gen.data import list_datasets

    known = {source.name for source in list_datasets()}
    assert {name for names in suite.GROUPS.values() for name in names} <= known


@pytest.mark.parametrize("group", [*suite.GROUPS, "all"])
def test_data_sets_that_are_not_here_are_told(group):
    here, missing = suite.choose_data(group)
    assert here
    assert not set(here) & set(missing)
    assert set(missing) <= set(suite.OPTIONAL)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: suite.choose_data("erth"), "no benchmark is called 'erth'; did you mean earth?"),
        (lambda: suite.choose_data("earth", ["earthquak"]), "did you mean 'earthquake'?"),
        (lambda: suite.choose_methods(["flow-maching"]), "did you mean flow-matching?"),
    ],
)
def test_unknown_names_get_the_nearest(call, message):
    with pytest.raises(UsageError) as caught:
        call()
    assert message in str(caught.value)
