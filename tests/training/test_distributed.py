"""Several processes do what one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_toy
import torch

from manifold_gen.checkpoint.folder import STATE, RunFolder
from manifold_gen.chemistry import Molecules, write_molecules
from manifold_gen.errors import UsageError
from manifold_gen.training.distributed import World, choose_device

SCRIPT = Path(__file__).with_name("run_toy.py")
ROOT = Path(__file__).parents[2]


def launch(*arguments, script=(SCRIPT,)):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += map(str, [*script, *arguments])
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_two_processes_agree_with_one(tmp_path):
    run_toy.train(tmp_path / "1", 30, 32, flow=True)
    done = launch(tmp_path / "2", 30, 32, "flow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr, done.stderr
    one, two = (torch.load(tmp_path / name / STATE, weights_only=True) for name in "12")
    for part in ("model", "average"):
        for name, value in one[part].items():
            torch.testing.assert_close(two[part][name], value, rtol=1e-9, atol=1e-11)
    assert two["best"]["step"] == one["best"]["step"]
    records = [RunFolder(tmp_path / name).read_metrics() for name in "12"]
    assert [r["step"] for r in records[0]] == [r["step"] for r in records[1]]
    for first, second in zip(*records, strict=True):
        assert second["loss"] == pytest.approx(first["loss"], rel=1e-9)


def test_two_processes_fit_clouds_whose_batches_are_odd(tmp_path):
    water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    carbon = torch.tensor([[0.0, 0.0, 0.6], [0.0, 0.0, -0.6]])
    kinds = [(water, torch.tensor([8, 1, 1]))] * 25 + [(carbon, torch.tensor([6, 8]))] * 2
    write_molecules(tmp_path / "some.xyz", Molecules.join(kinds))
    fit = ["-m", "manifold_gen", "fit", "--data", tmp_path / "some.xyz", "--steps", "12", "--batch-size", "8"]
    small = ["model.width=8", "model.pair_width=8", "model.depth=1", "--device", "cpu", "--out", tmp_path / "run"]
    done = launch(*fit, *small, script=())
    assert done.returncode == 0, done.stdout + done.stderr
    assert RunFolder(tmp_path / "run").read_metrics()[-1]["step"] == 12


def test_rows_tile_the_batch():
    rows = [World(rank, 3).rows(12) for rank in range(3)]
    assert [list(range(12))[r] for r in rows] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(UsageError, match="multiple of 3"):
        World(0, 3).rows(13)


def test_device_names():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="expected auto"):
        choose_device("gpu please")
