"""The folder of a benchmark: files that are whole or not there, versions, claims."""

from __future__ import annotations

import json
import resource
import signal

import pytest

from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.records import ResultFolder, read_all
from manifold_gen.errors import DataError, RunFolderError

CELL = Cell("none", "fast", 0, "quick", 1.0)
RECORD = {"version": 1, "hash": CELL.hash, "status": "done", "text": "é"}


def test_a_record_comes_back(tmp_path):
    folder = ResultFolder(tmp_path / "new" / "out")
    assert folder.read(CELL) is None
    folder.write(CELL, RECORD, {"model.json": b"{}", "model.safetensors": b"1"})
    assert folder.read(CELL) == RECORD
    assert folder.files(CELL) == {"model.json": b"{}", "model.safetensors": b"1"}
    assert read_all(tmp_path / "new" / "out") == [RECORD]


def test_a_number_that_is_none_is_not_written(tmp_path):
    folder = ResultFolder(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write(CELL, {**RECORD, "nll": float("nan")}, {})
    assert folder.read(CELL) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps({"version": 7, "package": "9.1"}), ["schema version 7", "reads 1", "(9.1)", "use another folder"]),
        (json.dumps([1]), ["schema version None", "(unknown)"]),
        ('{"version": 1, "half', ["is damaged", "delete it and run the benchmark again"]),
        ("", ["is damaged"]),
    ],
    ids=["another version", "foreign", "truncated", "empty"],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, text, words):
    ResultFolder(tmp_path)
    path = tmp_path / "cells" / "abc.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        ResultFolder(tmp_path)
    assert [word for word in [str(path), *words] if word not in str(caught.value)] == []


def test_a_full_disk_keeps_what_was_written(tmp_path):
    folder = ResultFolder(tmp_path)
    folder.write(CELL, RECORD, {})
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        with pytest.raises(RunFolderError, match=r"cannot write .*raise the file size limit"):
            folder.write(CELL, {**RECORD, "long": "x" * 5000}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert folder.read(CELL) == RECORD
    assert list((tmp_path / "cells").iterdir()) == [tmp_path / "cells" / f"{CELL.hash}.json"]


def test_a_cell_is_claimed_once(tmp_path):
    first, second = ResultFolder(tmp_path), ResultFolder(tmp_path)
    assert first.claim(CELL)
    assert not second.claim(CELL)
    first.release(CELL)
    assert second.claim(CELL)
    second.release_all()
    assert not any((tmp_path / "claims").iterdir())


def test_the_claim_of_a_dead_run_is_taken_over(tmp_path):
    folder = ResultFolder(tmp_path)
    assert folder.claim(CELL)
    claim = tmp_path / "claims" / CELL.hash
    pid, birth, host = claim.read_text().split()
    claim.write_text(f"{pid} {int(birth) - 1} {host}\n")  # an earlier process of the same number
    assert ResultFolder(tmp_path).claim(CELL)


def test_a_claim_that_cannot_be_written_is_an_error(tmp_path):
    folder = ResultFolder(tmp_path)
    (tmp_path / "claims").rmdir()
    with pytest.raises(RunFolderError, match="cannot write"):
        folder.claim(CELL)
