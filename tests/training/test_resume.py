"""Whatever ends a run, going on with it ends with the same bits."""

import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import run_toy
import torch

from manifold_gen.checkpoint import RunFolder
from manifold_gen.checkpoint.folder import STATE, WEIGHTS
from manifold_gen.errors import RunFolderError, UsageError

SCRIPT = Path(__file__).with_name("run_toy.py")
ROOT = Path(__file__).parents[2]


def start(run, *arguments):
    """A process forked from this one, which needs no second to import torch; it writes ``run``.out."""

    def main():
        with run.with_suffix(".out").open("w") as out, redirect_stdout(out):
            sys.exit(run_toy.main(run, *arguments))

    process = multiprocessing.get_context("fork").Process(target=main)
    process.start()
    return process


def run_afresh(*arguments):
    """A process that shares nothing with this one."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def digest(run):
    return hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest()


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timing = ("elapsed", "steps_per_second", "rows_per_second")
    return [{key: value for key, value in line.items() if key not in timing} for line in lines]


def wait_for_steps(process, run, steps):
    """Until the run has logged ``steps`` lines more, or has ended."""
    path = run / "metrics.jsonl"
    while process.is_alive():
        if path.exists() and path.read_text().count("\n") >= steps:
            return
        time.sleep(0.005)


def test_killed_runs_end_with_the_bits_of_an_uninterrupted_one(tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    train(straight, 250)
    moments, kills = random.Random(0), 0
    for lines in (0, 12, 40):
        process = start(killed, 250, 32, *(["resume"] if killed.exists() else []))
        wait_for_steps(process, killed, lines)
        time.sleep(0.05 * moments.random())
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    done = run_afresh(killed, 250, 32, "resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert kills == 3
    assert digest(killed) == digest(straight)
    assert metrics(killed) == metrics(straight)


def test_a_kill_inside_a_write_leaves_a_folder_that_goes_on(tmp_path):
    """The first write of each kind is cut short in turn: the folder then holds what any killed process may leave."""
    train(tmp_path / "straight", 60)
    for calls in range(1, 30, 7):
        run = tmp_path / f"cut{calls}"
        child = os.fork()
        if child == 0:
            die_at_rename(calls)
            train(run, 60)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        train(run, 60, resume=True)
        assert digest(run) == digest(tmp_path / "straight")


def die_at_rename(calls):
    """Ends this process at its ``calls``-th atomic replacement, before it takes place."""
    replace, seen = os.replace, []

    def dying(*arguments):
        seen.append(arguments)
        if len(seen) == calls:
            os._exit(9)
        replace(*arguments)

    os.replace = dying


def train(run, steps, **options):
    return run_toy.train(run, steps, 32, **options)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_save_and_give_their_exit_code(tmp_path, signum, code):
    run = tmp_path / "run"
    process = start(run, 100_000, 32)
    wait_for_steps(process, run, 10)
    os.kill(process.pid, signum)
    process.join()
    assert process.exitcode == code
    assert "saved in" in run.with_suffix(".out").read_text()
    with RunFolder(run, resume=True) as folder:
        step = torch.load(run / STATE, weights_only=True)["step"]
        assert folder.read_metrics()[-1]["step"] in (step, step // 5 * 5, step // 13 * 13)


def test_a_signal_during_the_diagnostics_ends_them_and_the_run_is_whole(tmp_path):
    def diagnose(model, dataset):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # where the interrupt arrives

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", 30, diagnose=diagnose)
    train(tmp_path / "other", 30)
    assert digest(tmp_path / "run") == digest(tmp_path / "other")


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first = train(tmp_path / "run", 30)
    before = digest(tmp_path / "run")
    second = train(tmp_path / "run", 30, resume=True)
    assert digest(tmp_path / "run") == before
    assert (second.step, second.best_step, second.best_value) == (first.step, first.best_step, first.best_value)


def test_resume_refuses_another_configuration(tmp_path):
    train(tmp_path / "run", 30)
    with pytest.raises(UsageError, match=r"training.steps = 30 \(now 40\)"):
        train(tmp_path / "run", 40, resume=True)


def test_resume_without_a_run_says_so(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run to resume"):
        train(tmp_path / "run", 30, resume=True)
