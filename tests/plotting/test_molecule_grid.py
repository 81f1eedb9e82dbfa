"""The picture of some molecules: what it says, what it draws, what it refuses."""

from __future__ import annotations

import re

import pytest
import torch
from molecule_cases import ALL, METHANE, VERDICTS, WATER

from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import DataError, RunFolderError, UsageError
from manifold_gen.plotting.molecules import molecule_grid, molecule_picture, strict_faults
from manifold_gen.seeds import generator


def test_every_fault_is_named():
    assert strict_faults(ALL) == VERDICTS


def test_png_of_every_kind_of_molecule(tmp_path):
    from PIL import Image

    path = molecule_grid(ALL, tmp_path / "new" / "all.png", columns=3)
    image = Image.open(path).convert("L")
    assert image.size == (3 * 400, 2 * 400)
    panels = [image.crop((400 * c, 400 * r, 400 * c + 400, 400 * r + 280)) for r in (0, 1) for c in (0, 1, 2)]
    inked = [panel.getextrema()[0] < 128 for panel in panels]
    assert inked == [True, True, True, True, True, False]  # nothing can be drawn of a molecule that is nowhere


def highlighted(molecules, tmp_path):
    """How many atoms of an SVG have a red ground."""
    text = molecule_grid(molecules, tmp_path / "x.svg").read_text()
    return len(re.findall(r"<ellipse[^>]*fill:#F49E8C", text))


@pytest.mark.parametrize("spread", [0.2, 0.5, 0.8])
def test_clouds_that_have_no_flat_drawing_are_drawn(spread):
    # bound each to each, some of them have two atoms in one place of a drawing: RDKit draws no bond of no length
    for seed in range(60):
        n = 14 + seed % 8
        positions = spread * torch.randn(n, 3, generator=generator(seed))
        numbers = torch.tensor([6, 7, 8])[torch.randint(3, (n,), generator=generator(seed, 1))]
        assert molecule_picture(Molecules.join([(positions, numbers)]), ".svg").endswith(b"</svg>\n")


def test_a_cloud_in_one_place_is_drawn():
    drawn = molecule_picture(Molecules.join([(torch.zeros(6, 3), torch.full((6,), 6))]), ".svg")
    assert drawn.endswith(b"</svg>\n")
    assert b"nan" not in drawn


def test_atoms_of_wrong_valence_are_on_red(tmp_path):
    assert highlighted(ALL[[0, 1, 3]], tmp_path) == 0
    assert highlighted(ALL[[2]], tmp_path) == 1
    assert highlighted(ALL[[4]], tmp_path) == 1


def test_only_the_first_are_drawn_and_no_column_is_empty(tmp_path):
    many = Molecules.join([WATER] * 7)
    text = molecule_grid(many, tmp_path / "x.svg", columns=5, most=3).read_text()
    assert "width='1200px' height='400px'" in text


def test_a_picture_depends_on_the_molecules_alone(tmp_path):
    first, again = (molecule_grid(ALL, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    other = molecule_grid(Molecules.join([METHANE] * 6), tmp_path / "c.png").read_bytes()
    assert first == again != other


def test_refusals(tmp_path):
    with pytest.raises(UsageError, match=r"\.png, \.svg"):
        molecule_grid(ALL, tmp_path / "x.pdf")
    with pytest.raises(UsageError, match="columns is 0"):
        molecule_grid(ALL, tmp_path / "x.png", columns=0)
    with pytest.raises(DataError, match="no molecules"):
        molecule_grid(ALL[:0], tmp_path / "x.png")
    sulphur = Molecules.join([(WATER[0], torch.tensor([16, 1, 1]))])
    with pytest.raises(DataError, match="hold S"):
        molecule_grid(sulphur, tmp_path / "x.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="another place"):
        molecule_grid(ALL, tmp_path / "file" / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
