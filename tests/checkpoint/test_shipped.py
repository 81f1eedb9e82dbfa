"""Models that come with the package: found by name, verified, and ready to draw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manifold_gen.checkpoint import load, read_description, shipped
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.errors import CheckpointError, DataError
from manifold_gen.seeds import generator


@pytest.mark.parametrize("name", shipped.SHIPPED)
def test_a_bundled_model_draws_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, fmt = load(name), MoleculeFormat.from_dict(read_description(name)["data"]["format"])
    drawn = fmt.decode(model.sample(6, generator=generator(0)))
    assert len(drawn) == 6
    assert set(drawn.numbers.tolist()) <= set(fmt.elements)
    assert bool(drawn.positions.isfinite().all())


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qm9-endpoint-flow").mkdir()
    with pytest.raises(CheckpointError):
        load("qm9-endpoint-flow")


def test_an_altered_file_is_refused(monkeypatch):
    known = shipped.SHIPPED["qm9-endpoint-flow"]
    monkeypatch.setitem(shipped.SHIPPED, "qm9-endpoint-flow", replace(known, weights="1" * 64))
    with pytest.raises(DataError, match="was altered"):
        load("qm9-endpoint-flow")


def test_a_name_that_is_neither_says_which_there_are():
    with pytest.raises(CheckpointError, match="qm9-endpoint-flow"):
        load("qm9-flow")
