"""Particles with a known energy from the command line."""

from __future__ import annotations

import json

import pytest
from calling import OF_FILE, SMALL, call, check_failure


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small flow on some states of DW4."""
    folder = tmp_path_factory.mktemp("particles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANIFOLD_GEN_CACHE", str(folder / "cache"))
        told = ["data.chains=80", "data.snapshots=2", "model.width=16", "model.depth=1", "--steps", "20"]
        done = call("fit", "--data", "dw4", *told, "--batch-size", "32", "--out", folder / "dw4")
        assert done.code == 0, done.err
        yield folder / "dw4"


def test_evaluate_holds_particles_against_their_energy(run):
    done = call("evaluate", run, "-n", "40")
    assert done.code == 0, done.err
    for words in ("DW4", "KL(law ‖ model)", "energy W2", "share of 40 samples × 3 seeds", "7.12", "published"):
        assert words in done.out
    assert "40 samples a seed, fewer than 10000" in done.out
    record = json.loads(call("evaluate", run, "-n", "40", "--split", "val", "--json").out)
    assert record["split"] == "val"
    assert record["effective"]["count"] == 40
    assert record["likelihood"]["likelihood"]["count"] == 20


def test_a_fit_scores_few_of_them(run):
    found = json.loads((run / "diagnostics.json").read_text())
    assert found["splits"]["train"]["count"] == 80  # all there are, below the 128 that are scored


def test_points_without_an_energy_have_no_number_of_samples(angles_run):
    check_failure(call("evaluate", angles_run, "-n", "10"), 2, "-n means nothing")


@pytest.fixture
def angles_run(angles, tmp_path):
    """A run on angles."""
    done = call("fit", "--data", angles, *OF_FILE, "--steps", "2", *SMALL, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    return tmp_path / "run"
