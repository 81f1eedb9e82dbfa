"""One conformance test for every engine: workers that die, runs that are killed, no cell lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fast_work import announced, fast, make_cells, starts

from manifold_gen.benchmark.engines import make_engine
from manifold_gen.benchmark.job import Job, Place
from manifold_gen.benchmark.records import ResultFolder, read_all
from manifold_gen.benchmark.run import run
from manifold_gen.errors import MissingExtraError, UsageError

HERE = Path(__file__).resolve().parent
PATH = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of this machine that other processes can join."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH)  # its workers import the work by name
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        context = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        patch.setenv("RAY_ADDRESS", context.address_info["address"])
        yield context
        ray.shutdown()


@pytest.fixture(params=["local", "ray"])
def engine(request):
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return request.param


@pytest.fixture
def marks(tmp_path):
    path = tmp_path / "marks"
    path.mkdir()
    return path


def do(engine, cells, folder, jobs=2):
    seen = []
    made = make_engine(engine, fast, jobs, Place())
    records = run(cells, ResultFolder(folder), made, Place(), lambda cell, record: seen.append(cell.hash))
    assert len(seen) == len(set(seen))
    return records


def test_every_cell_once(engine, tmp_path, marks):
    cells = make_cells(marks)
    records = do(engine, cells, tmp_path / "out")
    assert sorted(records) == sorted(cell.hash for cell in cells)
    assert [starts(marks, cell) for cell in cells] == [1] * len(cells)
    assert sorted(record["hash"] for record in read_all(tmp_path / "out")) == sorted(records)


def test_a_student_gets_the_files_of_its_teacher(engine, tmp_path, marks):
    cells = make_cells(marks, count=2)
    assert do(engine, cells[::-1], tmp_path / "out")[cells[-1].hash]["teacher"] == "weights of 1"


def test_a_killed_worker_costs_one_more_start_of_its_own_cell(engine, tmp_path, marks):
    cells = make_cells(marks, deaths=1)
    records = do(engine, cells, tmp_path / "out")
    assert {record["status"] for record in records.values()} == {"done"}
    assert [starts(marks, cell) for cell in cells] == [2] + [1] * (len(cells) - 1)


@pytest.mark.parametrize("raises", [False, True], ids=["killed", "exception"])
def test_a_cell_whose_worker_dies_twice_is_failed_and_the_others_go_on(engine, tmp_path, marks, raises):
    cells = make_cells(marks, count=3, deaths=9, raises=raises)
    records = do(engine, cells, tmp_path / "out")
    first, *others = (records[cell.hash] for cell in cells)
    assert first["status"] == "failed"
    assert first["metrics"] is None
    assert "2 times" in first["reason"]
    assert ("this work was told to fail" in first["reason"]) == raises
    assert starts(marks, cells[0]) == 2
    assert {record["status"] for record in others} == {"done"}


def test_a_student_of_a_failed_teacher_is_failed_without_being_started(engine, tmp_path, marks):
    cells = make_cells(marks, count=1, fails=True)
    student = do(engine, cells, tmp_path / "out")[cells[-1].hash]
    assert student["reason"] == "its teacher failed: told to"
    assert starts(marks, cells[-1]) == 0


def test_a_finished_folder_starts_nothing(engine, tmp_path, marks):
    cells = make_cells(marks, count=2)
    first, again = (do(engine, cells, tmp_path / "out") for _ in range(2))
    assert first == again
    assert [starts(marks, cell) for cell in cells] == [1] * len(cells)


@pytest.fixture
def begun(engine, marks, tmp_path):
    """Start a run of slow cells in a process of its own, which does not outlive the test."""
    started = []

    def start():
        told = [engine, str(tmp_path / "out"), str(marks), "0.4"]
        environment = {**os.environ, "PYTHONPATH": PATH}
        command = [sys.executable, str(HERE / "fast_work.py"), *told]
        started.append(subprocess.Popen(command, env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(condition, seconds=300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def results(folder):
    return sorted((folder / "cells").glob("*.json"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_a_killed_run_goes_on_where_it_stopped(engine, begun, tmp_path, marks, number):
    folder, cells = tmp_path / "out", make_cells(marks, seconds=0.4)
    process = begun()
    until(lambda: results(folder))
    process.send_signal(number)
    process.wait()
    kept = {path: path.read_bytes() for path in results(folder)}
    assert 0 < len(kept) < len(cells)
    time.sleep(1.0)  # a cluster hears of the death a little later
    before = {cell.hash: starts(marks, cell) for cell in cells}
    records = do(engine, cells, folder)
    assert {record["status"] for record in records.values()} == {"done"}
    assert {path: path.read_bytes() for path in kept} == kept
    finished = {path.stem for path in kept}
    assert all(starts(marks, cell) == before[cell.hash] for cell in cells if cell.hash in finished)
    assert all(starts(marks, cell) == before[cell.hash] + 1 for cell in cells if cell.hash not in finished)


def test_two_runs_in_one_folder_share_the_cells(engine, begun, tmp_path, marks):
    folder, cells = tmp_path / "out", make_cells(marks, seconds=0.4)
    process = begun()
    until(lambda: any(marks.iterdir()))
    records = do(engine, cells, folder)
    assert process.wait() == 0
    assert sorted(records) == sorted(cell.hash for cell in cells)
    assert [starts(marks, cell) for cell in cells] == [1] * len(cells)


def test_workers_have_one_thread_in_their_environment(engine, tmp_path):
    with make_engine(engine, announced, 1, Place()) as running:
        running.submit(make_job(tmp_path))
        outcomes = []
        until(lambda: outcomes.extend(running.wait(0.1)) or outcomes)
    assert outcomes[0].payload == "1"


def make_job(path):
    return Job(make_cells(path, count=1)[0])


def test_no_cluster_is_one_message(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UsageError, match=r"no Ray cluster was found at RAY_ADDRESS=127.0.0.1:1.*ray start --head"):
        make_engine("ray", fast, 1, Place())._join()  # __enter__ stays in a cluster that was joined before


def test_without_ray_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'manifold-gen\[ray\]'"):
        make_engine("ray", fast, 1, Place())


def test_an_unknown_engine_is_told_the_nearest():
    with pytest.raises(UsageError, match="no engine is called 'locale'; did you mean local"):
        make_engine("locale", fast, 1, Place())
