"""Shares in MolProbity's regions: every bin centre of the files, the seam, known conformations, missing files."""

import math
import warnings

import numpy as np
import pytest
import torch

from manifold_gen.data.locations import fetch
from manifold_gen.errors import DataError, UsageError
from manifold_gen.metrics import RESIDUE_CLASSES, ramachandran_shares
from manifold_gen.metrics.ramachandran import reference_grid

ALLOWED = {"general": 0.0005, "cis-proline": 0.002}


def rows_of(name):
    """φ, ψ in degrees and the value of each line; ``None``, said plainly, where the file cannot be had."""
    try:
        path = fetch(RESIDUE_CLASSES[name].file)
    except DataError as error:
        if "could not be downloaded" not in str(error):
            raise
        warnings.warn(f"LEFT OUT: the checks of the regions of {name!r}: {error}", stacklevel=2)
        return None
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return np.array(lines, dtype=float)


def radians(*pairs):
    return torch.from_numpy(np.array(pairs, dtype=float)) * (math.pi / 180)


@pytest.mark.parametrize("name", RESIDUE_CLASSES)
def test_bin_centres_and_their_corners_have_the_value_of_their_line(name):
    rows = rows_of(name)
    if rows is not None:
        for offset in (0.0, -0.999, 0.999):
            favoured, allowed = ramachandran_shares(radians(*(rows[:, :2] + offset)), name)
            assert favoured.value == pytest.approx(np.mean(rows[:, 2] >= 0.02))
            assert allowed.value == pytest.approx(np.mean(rows[:, 2] >= ALLOWED.get(name, 0.001)))
        assert int((reference_grid(name) > 0).sum()) == int((rows[:, 2] > 0).sum())


def test_half_a_turn_is_one_place_and_a_whole_turn_none():
    if rows_of("general") is not None:
        beta = radians((180.0, 165.0), (-180.0, 165.0), (540.0, 165.0), (-150.0, 180.0), (-150.0, -180.0))
        grid = reference_grid("general")
        assert min(grid[0, 172], grid[-1, 172], grid[15, 0], grid[15, -1]) >= 0.0005  # both sides of the seam
        assert ramachandran_shares(beta)[1].value == 1
        assert ramachandran_shares(beta * (1 - 1e-6))[1].value == 1
        empty = radians((180.0, -90.0), (-180.0, -90.0))
        assert ramachandran_shares(empty)[1].value == 0


def test_known_conformations_are_where_they_belong():
    if rows_of("general") is not None and rows_of("glycine") is not None:
        helix, strand, outlier, left = (-63.0, -43.0), (-120.0, 130.0), (60.0, -90.0), (90.0, 0.0)
        favoured, allowed = ramachandran_shares(radians(helix, strand))
        assert favoured.value == allowed.value == 1
        assert 0 < favoured.se < 0.5
        assert [e.value for e in ramachandran_shares(radians(outlier))] == [0, 0]
        assert ramachandran_shares(radians(left))[0].value == 0
        assert ramachandran_shares(radians(left), "glycine")[0].value == 1
        assert ramachandran_shares(radians(strand[::-1]))[1].value == 0  # φ comes first


def test_bad_angles_and_classes_are_refused():
    with pytest.raises(UsageError, match=r"shape \(2, 7\); expected \(N, 2\)"):
        ramachandran_shares(torch.zeros(2, 7))
    with pytest.raises(DataError, match="not finite"):
        ramachandran_shares(torch.full((3, 2), math.nan))
    with pytest.raises(UsageError, match="no residue class is called 'alanine'; known are general, glycine"):
        ramachandran_shares(torch.zeros(3, 2), "alanine")


def test_an_altered_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MANIFOLD_GEN_DATA", str(tmp_path))
    path = tmp_path / RESIDUE_CLASSES["general"].file.place
    path.parent.mkdir(parents=True)
    path.write_text("-179.0 -179.0 1.0\n")
    with pytest.raises(DataError, match="it is another version or was altered"):
        ramachandran_shares(torch.zeros(3, 2))


def test_a_missing_file_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MANIFOLD_GEN_DATA", str(tmp_path))
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(DataError, match=r"could not be downloaded.*connect to the network, or put the file.*DATA"):
        ramachandran_shares(torch.zeros(3, 2))
