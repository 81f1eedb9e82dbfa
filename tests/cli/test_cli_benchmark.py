"""``manifold-gen benchmark`` as a user types it."""

from __future__ import annotations

import json

import pytest
import torch
from calling import call, call_process, check_failure

CHEAP = ["--data", "ramachandran", "--methods", "kernel-density,free-form-flow", "--seeds", "1", "--seconds", "2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a small benchmark and what running it said."""
    out = tmp_path_factory.mktemp("bench") / "out"
    return out, call_process("benchmark", "torus", *CHEAP, "--jobs", "2", "--out", out, timeout=300)


def test_two_cells_from_the_command_line(finished):
    out, done = finished
    assert done.code == 0, done.err
    records = [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]
    assert sorted(record["spec"]["method"] for record in records) == ["free-form-flow", "kernel-density"]
    assert {record["status"] for record in records} == {"done"}
    flow = next(record for record in records if record["spec"]["method"] == "free-form-flow")
    assert flow["train"]["seconds"] < 10
    assert (out / "models" / flow["hash"] / "model.safetensors").exists()
    assert "2 cells, 0 of them finished, 2 at a time, 2 s of training each" in done.err
    assert all(f"ramachandran · {record['spec']['method']} · seed 0: NLL " in done.err for record in records)
    assert "2 of 2 cells done" in done.out


def test_a_second_run_does_nothing(finished):
    out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    done = call("benchmark", "torus", *CHEAP, "--out", out, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["cells"] == 2
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == before


@pytest.mark.parametrize(("jobs", "shared"), [("1", False), ("3", True)])
def test_cells_that_share_a_gpu_are_told_so(finished, jobs, shared, monkeypatch):
    """As many as asked for. All cells are finished, so that nothing runs where torch is made to promise a GPU."""
    out, _ = finished
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    done = call("benchmark", "torus", *CHEAP, "--device", "cuda", "--jobs", jobs, "--out", out)
    assert done.code == 0, done.err
    assert f"2 of them finished, {jobs} at a time" in done.err
    assert ("cells share cuda:0" in done.err) == shared


def test_a_failed_cell_is_told_and_done_again_on_demand(finished, tmp_path):
    out, _ = finished
    for path in (out / "cells").iterdir():
        record = json.loads(path.read_text())
        if record["spec"]["method"] == "kernel-density":
            failed = {**record, "status": "failed", "reason": "it diverged", "metrics": None}
            (tmp_path / "cells").mkdir()
            (tmp_path / "cells" / path.name).write_text(json.dumps(failed))
    told = ["benchmark", "torus", "--data", "ramachandran", "--methods", "kernel-density"]
    told += ["--seeds", "1", "--seconds", "2", "--out", tmp_path]
    done = call(*told)
    assert done.code == 1
    assert "failed: ramachandran · kernel-density · seed 0: it diverged" in done.out
    assert call(*told, "--retry-failed").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["benchmark", "earht", "--out", "x"], ["No such command 'earht'", "did you mean earth?"]),
        (["benchmark", "torus", "--data", "ramachandrn", "--out", "x"], ["did you mean 'ramachandran'?"]),
        (["benchmark", "torus", "--methods", "flow-maching", "--out", "x"], ["did you mean flow-matching?"]),
        (["benchmark", "torus", "--budget", "quik", "--out", "x"], ["no budget is called 'quik'", "quick?"]),
        (["benchmark", "torus", "--engine", "rya", "--out", "x"], ["no engine is called 'rya'", "ray?"]),
        (["benchmark", "torus", "--device", "tpu9", "--out", "x"], ["training.device is 'tpu9'"]),
        (["benchmark", "torus"], ["Missing option '--out'"]),
        (["benchmark", "torus", "--jobs", "0", "--out", "x"], ["0 is not in the range x>=1"]),
    ],
    ids=lambda value: value[-3] if isinstance(value, list) and value[-1] == "x" else None,
)
def test_what_is_misspelt_is_one_message(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_failure(call(*arguments), 2, *words)
    assert not any(tmp_path.iterdir())


def test_a_result_of_another_version_is_one_message(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "abc.json").write_text('{"version": 3, "package": "7.0"}')
    done = call("benchmark", "torus", *CHEAP, "--out", tmp_path)
    check_failure(done, 66, "abc.json has schema version 3", "the manifold-gen that wrote it (7.0)")


def test_data_that_cannot_be_had_is_told_before_the_first_cell(tmp_path, monkeypatch):
    for name in ("MANIFOLD_GEN_DATA", "MANIFOLD_GEN_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    done = call("benchmark", "earth", "--data", "volcano", "--methods", "mixture", "--out", tmp_path / "out")
    check_failure(done, 66, "volerup.csv", "MANIFOLD_GEN_DATA")


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "out").write_text("a file")
    check_failure(call("benchmark", "torus", *CHEAP, "--out", tmp_path / "out"), 74, "cannot write")
