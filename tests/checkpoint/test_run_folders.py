"""Who may write where, and what happens when writing fails."""

import errno
import json
import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifold_gen.checkpoint import RunFolder, manifest, safe_run_path, toml
from manifold_gen.checkpoint.files import write_atomically
from manifold_gen.checkpoint.folder import CONFIG, METRICS, STATE, WEIGHTS
from manifold_gen.errors import CheckpointError, RunFolderError, UsageError


def test_two_runs_in_one_folder(tmp_path):
    with RunFolder(tmp_path / "run") as first:
        first.write_text(CONFIG, "a = 1\n")
        for options in ({"resume": True}, {"overwrite": True}):
            with (
                pytest.raises(RunFolderError, match=f"in use by process {os.getpid()}"),
                RunFolder(first.path, **options),
            ):
                pass
        assert first.read_config() == {"a": 1}
    with RunFolder(tmp_path / "run", resume=True) as second:
        assert second.read_config() == {"a": 1}


def test_another_process_is_refused_with_exit_code_74(tmp_path):
    code = "import sys; from manifold_gen.checkpoint import RunFolder; RunFolder(sys.argv[1], resume=True).__enter__()"
    root = Path(__file__).parents[2]
    with RunFolder(tmp_path / "run"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "run")],
            env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert f"is in use by process {os.getpid()}" in done.stderr
    assert RunFolderError.exit_code == 74


@pytest.mark.parametrize("text", ["{pid} 1 {host}\n", "999999999 1 {host}\n", "", "what is this"])
def test_a_lock_of_the_dead_is_taken_over(tmp_path, text):
    """A number reused by a living process, a number of nobody, an empty and a foreign lock."""
    (tmp_path / ".lock").write_text(text.format(pid=os.getpid(), host=os.uname().nodename))
    with RunFolder(tmp_path) as run:
        run.write_text(CONFIG, "")
    assert not (tmp_path / ".lock").exists()


def test_a_lock_of_another_machine_holds(tmp_path):
    (tmp_path / ".lock").write_text("12 34 elsewhere\n")
    with pytest.raises(RunFolderError, match="process 12 on elsewhere"), RunFolder(tmp_path):
        pass
    assert (tmp_path / ".lock").exists()


def test_only_runs_are_overwritten_and_foreign_files_stay(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match="exists and is not empty"), RunFolder(tmp_path):
        pass
    with pytest.raises(RunFolderError, match="holds no run"), RunFolder(tmp_path, overwrite=True):
        pass
    (tmp_path / CONFIG).write_text("a = 1\n")
    with RunFolder(tmp_path, overwrite=True):
        assert not (tmp_path / CONFIG).exists()
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_paths_that_are_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    for path, message in [
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "run", "a part of the path is a file"),
        ("s3://bucket/run", "is a URL"),
    ]:
        with pytest.raises(RunFolderError, match=message), RunFolder(path):
            pass


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", "/etc", "a\\b", "a b", "ü", "x\n"])
def test_a_name_cannot_leave_its_root(tmp_path, name):
    with pytest.raises(UsageError, match="run name"):
        safe_run_path(tmp_path, name)


def test_a_name_through_a_link_cannot_either(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "out").symlink_to("/tmp")
    with pytest.raises(UsageError, match="run name"):
        safe_run_path(tmp_path / "runs", "out")
    assert safe_run_path(tmp_path / "runs", "rna_7.b") == tmp_path / "runs" / "rna_7.b"


def test_a_full_disk_keeps_what_was_saved(tmp_path):
    """The operating system itself refuses: files of this process may not grow beyond a limit."""
    with RunFolder(tmp_path / "run") as run:
        run.save({WEIGHTS: b"good", STATE: b"state"})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(RunFolderError, match="what was saved before is intact") as caught:
                run.save({WEIGHTS: b"x" * 10_000, STATE: b"state 2"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.exit_code == 74
        assert manifest.verified(run.path, WEIGHTS) == b"good"
        assert manifest.verified(run.path, STATE) == b"state"
        assert not list(run.path.rglob("*.tmp"))
        run.save({WEIGHTS: b"y" * 10_000})
        assert manifest.verified(run.path, WEIGHTS) == b"y" * 10_000


def test_no_space_left_is_said_in_plain_words(tmp_path):
    """``/dev/full`` answers every write with ENOSPC."""
    with RunFolder(tmp_path / "run") as run:
        (run.path / METRICS).symlink_to("/dev/full")
        with pytest.raises(RunFolderError, match=r"the disk is full.*free some space and resume") as caught:
            run.append_metrics({"step": 1})
        assert caught.value.__cause__.errno == errno.ENOSPC


@pytest.mark.parametrize("stop", range(1, 7))
def test_a_process_that_dies_between_two_files_leaves_valid_ones(tmp_path, stop, monkeypatch):
    with RunFolder(tmp_path / "run") as run:
        run.save({WEIGHTS: b"old", STATE: b"old"})
        replace, calls = os.replace, []

        def dying(*arguments):
            calls.append(arguments)
            if len(calls) == stop:
                raise KeyboardInterrupt
            replace(*arguments)

        monkeypatch.setattr(os, "replace", dying)
        if stop <= 4:
            with pytest.raises(KeyboardInterrupt):
                run.save({WEIGHTS: b"new", STATE: b"new"})
        else:
            run.save({WEIGHTS: b"new", STATE: b"new"})
    assert manifest.verified(run.path, WEIGHTS) == (b"old" if stop < 3 else b"new")
    assert manifest.verified(run.path, STATE) == (b"old" if stop < 4 else b"new")


def test_a_state_that_was_saved_and_is_gone_is_not_taken_for_a_new_run(tmp_path):
    with RunFolder(tmp_path / "run") as run:
        assert run.read_state() is None
        run.save({STATE: b"state"})
        assert run.read_state() == b"state"
        (run.path / STATE).unlink()
        with pytest.raises(CheckpointError, match="is missing"):
            run.read_state()


def test_a_write_into_a_missing_folder(tmp_path):
    with pytest.raises(RunFolderError, match="cannot write"):
        write_atomically(tmp_path / "none" / "file", b"x")


def test_metrics_survive_a_torn_line_and_drop_what_comes_again(tmp_path):
    with RunFolder(tmp_path / "run") as run:
        for step in (5, 10, 15):
            run.append_metrics({"step": step, "loss": float("nan")})
        with (run.path / METRICS).open("a") as stream:
            stream.write('{"step": 20, "lo')
        assert [record["step"] for record in run.read_metrics()] == [5, 10, 15]
        run.truncate_metrics(10)
        lines = (run.path / METRICS).read_text().splitlines()
        assert [json.loads(line) for line in lines] == [{"step": 5, "loss": None}, {"step": 10, "loss": None}]


def test_a_damaged_configuration_is_named(tmp_path):
    with RunFolder(tmp_path / "run") as run:
        with pytest.raises(CheckpointError, match="cannot read"):
            run.read_config()
        run.write_text(CONFIG, "a = = 1")
        with pytest.raises(CheckpointError, match="is damaged"):
            run.read_config()


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), VALUES, max_size=5))
def test_toml_reads_back(table):
    assert tomllib.loads(toml.dumps(table)) == table


def test_toml_leaves_none_out_and_refuses_objects():
    assert tomllib.loads(toml.dumps({"a": None, "b": {"c": (1, 2)}})) == {"b": {"c": [1, 2]}}
    with pytest.raises(UsageError, match=r"b\.c is <object"):
        toml.dumps({"b": {"c": object()}})
