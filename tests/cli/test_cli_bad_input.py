"""Every kind of bad input ends in one message of two lines and the promised exit code."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from calling import ENVIRONMENT, OF_FILE, SMALL, call, check_failure

NOISE = np.random.default_rng(5).standard_normal


def rotations(count=20):
    """Rotation matrices as rows of nine numbers."""
    q, _ = np.linalg.qr(NOISE((count, 3, 3)))
    return (q * np.sign(np.linalg.det(q))[:, None, None]).reshape(count, 9)


def unit(count=20, dim=3):
    x = NOISE((count, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def changed(values, row, new):
    values = values.copy()
    values[row] = new
    return values


LATLON = np.stack([np.linspace(-80, 80, 20), np.linspace(-170, 170, 20)], 1)

# name: (manifold and options, values, exit code is 66, words of the message)
BAD_ARRAYS = {
    "nan": (["torus"], changed(NOISE((20, 2)), 3, np.nan), ["NaN", "row 3", "--on-bad-row drop"]),
    "infinite": (["torus"], changed(NOISE((20, 2)), 4, np.inf), ["infinite", "row 4"]),
    "off the manifold": (["sphere"], 1.01 * unit(), ["sphere:2", "largest deviation", "--project"]),
    "reflection": (["so3"], changed(rotations(), 7, -np.eye(3).reshape(9)), ["reflection", "row 7", "determinant"]),
    "zero vector": (["sphere"], changed(unit(), 2, 0.0), ["row 2"]),
    "zero quaternion": (["so3"], changed(unit(dim=4), 6, 0.0), ["quaternion of norm 0", "row 6"]),
    "latitude": (["sphere"], changed(LATLON, 1, [95.0, 10.0]), ["latitude beyond 90°", "95", "row 1"]),
    "half type": (["torus"], NOISE((20, 2)).astype(np.float16), ["float16"]),
    "text": (["torus"], np.array([["a", "b"]] * 20), ["number"]),
    "empty": (["torus"], np.zeros((0, 2)), ["0 rows"]),
    "single row": (["torus"], np.zeros((1, 2)), ["1 row"]),
    "objects": (["torus"], np.array([[{}, []]] * 20, dtype=object), ["numbers"]),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(case, tmp_path):
    manifold, values, words = BAD_ARRAYS[case]
    path = tmp_path / "x.npy"
    np.save(path, values, allow_pickle=values.dtype == object)
    done = call("fit", "--data", path, "--manifold", *manifold, "--dry-run")
    check_failure(done, 66, *words)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npy"]


def test_wrong_number_of_columns_is_a_usage_error(tmp_path):
    np.save(tmp_path / "x.npy", unit(dim=5))
    check_failure(call("fit", "--data", tmp_path / "x.npy", "--manifold", "so3", "--dry-run"), 2, "5 columns", "so3")
    check_failure(call("fit", "--data", tmp_path / "x.npy", "--manifold", "torus:2", "--dry-run"), 2, "5 columns")


def test_integers_are_read_as_numbers(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(40).reshape(20, 2) % 3)
    assert call("fit", "--data", tmp_path / "x.npy", "--manifold", "torus", "--dry-run").code == 0


def test_bad_rows_are_dropped_where_asked(tmp_path):
    np.save(tmp_path / "x.npy", changed(NOISE((20, 2)), 3, np.nan))
    done = call(
        "fit", "--data", tmp_path / "x.npy", "--manifold", "torus", "--on-bad-row", "drop", "--dry-run", "--json"
    )
    assert done.code == 0, done.err
    assert sum(json.loads(done.out)["data"]["rows"].values()) == 19
    assert "warning: 1 of 20 rows have NaN" in done.err


def test_points_are_projected_where_asked(tmp_path):
    np.save(tmp_path / "x.npy", 1.01 * unit())
    assert call("fit", "--data", tmp_path / "x.npy", "--manifold", "sphere", "--project", "--dry-run").code == 0


def test_angles_that_look_like_degrees_are_told(angles):
    done = call("fit", "--data", angles, "--manifold", "torus", "--dry-run")
    assert done.code == 0
    assert "look like degrees" in done.err
    assert "--units degrees" in done.err
    assert "look like degrees" not in call("fit", "--data", angles, *OF_FILE, "--dry-run").err


BAD_TEXTS = {
    "cell": ("phi,psi\n1,2\n3,x\n5,6\n", ["line 3", "'x'"]),
    "short line": ("phi,psi\n1,2\n3\n5,6\n", ["line 3", "2"]),
    "header alone": ("phi,psi\n", ["no rows of data"]),
    "nothing": ("", ["empty"]),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_malformed_csv_names_the_line(case, tmp_path):
    text, words = BAD_TEXTS[case]
    (tmp_path / "x.csv").write_text(text)
    check_failure(call("fit", "--data", tmp_path / "x.csv", *OF_FILE, "--dry-run"), 66, *words)


def test_missing_files(tmp_path, run):
    check_failure(call("fit", "--data", tmp_path / "none.csv", *OF_FILE, "--dry-run"), 66, "none.csv")
    check_failure(call("fit", "--data", "../none", *OF_FILE, "--dry-run"), 66, "none")
    check_failure(call("score", run, tmp_path / "none.csv"), 66, "none.csv")
    check_failure(call("fit", "--resume", tmp_path / "none"), 74, "does not exist")
    for command in (["evaluate"], ["plot", "-o", tmp_path / "x.png"], ["sample", "-o", tmp_path / "x.csv"]):
        check_failure(call(*command, tmp_path / "none"), 66, "does not exist")


def test_unknown_columns_and_manifolds(angles):
    given = ["fit", "--data", angles, "--dry-run"]
    check_failure(call(*given, *OF_FILE, "--columns", "phi,chi"), 66, "'chi'")
    check_failure(call(*given, "--manifold", "tours"), 2, "tours")
    check_failure(call(*given, "--manifold", "torus:2", "--units", "grad"), 2, "'grad'")
    check_failure(call(*given, "--manifold", "torus:-1"), 2, "torus:-1")


def test_scored_files_are_checked_like_data(run, tmp_path):
    (tmp_path / "nan.csv").write_text("phi,psi\n1,2\nnan,3\n")
    check_failure(call("score", run, tmp_path / "nan.csv"), 66, "NaN", "line 3")
    (tmp_path / "other.csv").write_text("a,b,c\n1,2,3\n")
    check_failure(call("score", run, tmp_path / "other.csv"), 66, "phi, psi")


def test_a_run_folder_that_exists_is_kept(run, angles):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    check_failure(call("fit", "--data", angles, *OF_FILE, *SMALL, "--out", run), 74, "exists", "--overwrite")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_folder_with_something_else_is_never_overwritten(tmp_path, angles):
    (tmp_path / "thesis.tex").write_text("years of work")
    done = call("fit", "--data", angles, *OF_FILE, *SMALL, "--out", tmp_path, "--overwrite")
    check_failure(done, 74, "holds no run")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_two_runs_in_one_folder(run, tmp_path):
    """A folder whose lock names a living process is refused."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    code = (
        "import sys, time\nfrom manifold_gen.checkpoint import RunFolder\n"
        f"with RunFolder({str(copy)!r}, resume=True):\n print('held', flush=True)\n time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        check_failure(call("fit", "--resume", copy), 74, "in use by process", str(holder.pid))
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("model.safetensors", b"", ["model.safetensors", "empty"]),
        ("model.safetensors", None, ["model.safetensors"]),
        ("model.json", b"{", ["model.json"]),
        ("manifest.json", b"not json", ["manifest.json"]),
    ],
)
def test_damaged_run_folders(run, tmp_path, name, damage, words):
    """Emptied, with one bit flipped, or altered: each is told, nothing is scored."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(bytes(content) if damage is None else damage)
    check_failure(call("evaluate", copy), 66, *words)


def full_disk_or_limit(size):
    """Let a child process write no file beyond ``size`` bytes, which fails as a full disk does."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def limited(arguments, size):
    return subprocess.run(
        [sys.executable, "-m", "manifold_gen", *map(str, arguments)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=120, preexec_fn=lambda: full_disk_or_limit(size),
    )  # fmt: skip


def test_a_disk_that_takes_no_more_is_74_and_leaves_no_half_file(run, tmp_path):
    """Output that cannot be written to its end does not appear, and what was there stays."""
    target = tmp_path / "x.csv"
    target.write_text("old")
    done = limited(["sample", run, "-n", "5000", "-o", target, "--overwrite"], 20_000)
    assert done.returncode == 74, done.stderr
    assert "x.csv" in done.stderr
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.csv"]


def test_a_full_disk_while_training_keeps_the_last_checkpoint(angles, tmp_path):
    folder = tmp_path / "run"
    done = limited(["fit", "--data", angles, *OF_FILE, *SMALL, "--steps", "30", "--out", folder], 4_000)
    assert done.returncode == 74, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_may_not_be_written(angles, tmp_path):
    """A path below a file cannot become a folder, whoever asks."""
    (tmp_path / "file").write_text("x")
    done = call("fit", "--data", angles, *OF_FILE, *SMALL, "--out", tmp_path / "file" / "run")
    check_failure(done, 74, "file")
    done = call("sample", tmp_path / "none", "-o", tmp_path / "no" / "x.csv")
    check_failure(done, 74, "does not exist", "mkdir -p")


def test_a_diverging_run_is_1_and_says_what_to_do(angles, tmp_path):
    given = ["fit", "--data", angles, *OF_FILE, *SMALL, "--steps", "60", "--lr", "1e30"]
    done = call(*given, "training.grad_clip=0", "training.schedule=constant", "--out", tmp_path / "run", "-q")
    check_failure(done, 1, "step ", "lower lr")
    assert os.path.exists(tmp_path / "run" / "model.safetensors")


def test_names_that_leave_their_folder_are_refused(angles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("../x", "a/b", "..", "a b"):
        check_failure(call("fit", "--data", angles, *OF_FILE, "--name", name), 2, "run name", "letters")
    assert list(tmp_path.iterdir()) == []
