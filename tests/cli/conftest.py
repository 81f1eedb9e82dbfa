"""One small run that all tests of the command line share."""

from __future__ import annotations

import fcntl
from pathlib import Path

import numpy as np
import pytest
from calling import OF_FILE, SMALL, call_process


@pytest.fixture(scope="session")
def workplace(tmp_path_factory, worker_id):
    """A folder that the worker processes of one test session share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "command_line"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def angles(workplace):
    """A file of 300 pairs of angles in degrees around two centres, with names of its own for the columns."""
    path = workplace / "angles.csv"
    with locked(workplace):
        if not path.exists():
            rng = np.random.default_rng(7)
            centres = np.array([[-65.0, -40.0], [-120.0, 135.0]])[rng.integers(0, 2, 300)]
            values = (centres + 20 * rng.standard_normal((300, 2)) + 180) % 360 - 180
            np.savetxt(path, values, fmt="%.4f", delimiter=",", header="phi,psi", comments="")
    return path


@pytest.fixture(scope="session")
def run(workplace, angles):
    """A small run on ``angles``, fitted once for all workers; ``run/fit.json`` is what ``fit`` printed."""
    folder, printed = workplace / "run", workplace / "fit.json"
    with locked(workplace):
        if not printed.exists():
            done = call_process(
                "fit", "--data", angles, *OF_FILE, "--steps", "1.2e2",
                *SMALL, "--out", folder, "--json",
            )  # fmt: skip
            assert done.code == 0, done.err
            printed.write_text(done.out)
    return folder


class locked:
    """One worker at a time."""

    def __init__(self, folder: Path):
        self.path = folder / ".fixture.lock"

    def __enter__(self):
        self.file = self.path.open("w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *error):
        self.file.close()
