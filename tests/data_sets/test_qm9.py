"""QM9: the molecules, their split and properties against published counts and the tables themselves; the cache."""

import csv
import importlib.util
import json
import shutil
import sys
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from manifold_gen.data import qm9
from manifold_gen.data.qm9 import heavy_atoms, load_qm9, qm9_molecules
from manifold_gen.errors import MissingExtraError, UsageError

# configs/datasets_config.py of github ehoogeboom/e3_diffusion_for_molecules: atoms of each element, molecules of each
# size, and molecules of each number of heavy atoms, of the molecules to train on.
PUBLISHED = {
    "": (
        {1: 923537, 6: 635559, 7: 101476, 8: 140202, 9: 2323},
        {
            **{3: 1, 4: 4, 5: 5, 6: 9, 7: 16, 8: 49, 9: 124, 10: 362, 11: 807, 12: 1689, 13: 3060, 14: 5136, 15: 7796},
            **{16: 10644, 17: 13025, 18: 13364, 19: 13832, 20: 9482, 21: 9970, 22: 3393, 23: 4848, 24: 539, 25: 1506},
            **{26: 48, 27: 266, 29: 25},
        },
    ),
    "second": (
        {1: 461622, 6: 317604, 7: 50852, 8: 70033, 9: 1164},
        {
            **{3: 1, 4: 3, 5: 3, 6: 5, 7: 7, 8: 25, 9: 62, 10: 178, 11: 412, 12: 845, 13: 1541, 14: 2587, 15: 3865},
            **{16: 5344, 17: 6461, 18: 6695, 19: 6944, 20: 4794, 21: 4962, 22: 1701, 23: 2380, 24: 267, 25: 754},
            **{26: 17, 27: 132, 29: 15},
        },
    ),
}
PUBLISHED_HEAVY = {1: 2, 2: 5, 3: 7, 4: 25, 5: 91, 6: 475, 7: 2404, 8: 13625, 9: 83366}


def counts(values):
    found, times = torch.unique(values, return_counts=True)
    return dict(zip(found.tolist(), times.tolist(), strict=True))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A cache that the package filled."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MANIFOLD_GEN_DATA", raising=False)
        patch.setenv("MANIFOLD_GEN_CACHE", str(folder))
        load_qm9()
    return folder / qm9.PLACE


@pytest.fixture
def cache(archive, monkeypatch):
    monkeypatch.delenv("MANIFOLD_GEN_DATA", raising=False)
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(archive.parent.parent))


@pytest.fixture
def altered(archive, tmp_path, monkeypatch):
    """A copy of the cached file, to be spoilt."""
    monkeypatch.delenv("MANIFOLD_GEN_DATA", raising=False)
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(tmp_path))
    path = tmp_path / qm9.PLACE
    path.parent.mkdir()
    shutil.copy(archive, path)
    return path


def test_split_has_the_published_sizes_and_no_molecule_twice(cache):
    parts = qm9_molecules()
    assert {name: len(part) for name, part in parts.items()} == {"train": 100_000, "val": 17_748, "test": 13_083}
    gdb = torch.cat([part.properties["gdb"] for part in parts.values()])
    assert len(gdb) == len(gdb.unique()) == 130_831
    assert (int(gdb.min()), int(gdb.max())) == (1, 133_885)


@pytest.mark.parametrize("half", ["", "second"])
def test_molecules_to_train_on_have_the_published_atoms_and_sizes(cache, half):
    train = qm9_molecules(half)["train"]
    elements, sizes = PUBLISHED[half]
    assert counts(train.numbers) == elements
    assert counts(train.sizes) == sizes


def test_heavy_atoms_are_as_published(cache):
    assert counts(heavy_atoms(qm9_molecules()["train"])) == PUBLISHED_HEAVY


def test_counts_notice_another_seed(cache, monkeypatch):
    right = np.random.RandomState
    monkeypatch.setattr(np.random, "RandomState", lambda seed: right(seed + 1))
    assert counts(qm9_molecules()["train"].numbers) != PUBLISHED[""][0]
    monkeypatch.setattr(np.random, "RandomState", lambda seed: right(seed + (seed == 42)))
    assert counts(qm9_molecules(half="second")["train"].numbers) != PUBLISHED["second"][0]


def test_halves_leave_the_other_parts_alone_and_make_up_the_rest(cache):
    whole, half = qm9_molecules(), qm9_molecules(half="second")
    for name in ("val", "test"):
        assert torch.equal(whole[name].properties["gdb"], half[name].properties["gdb"])
    assert len(half["train"]) == 50_000
    first, second = ({*qm9_molecules(half=name)["train"].properties["gdb"].tolist()} for name in ("first", "second"))
    assert len(first) == len(second) == 50_000
    assert first | second == set(whole["train"].properties["gdb"].tolist())
    with pytest.raises(UsageError, match="'third'; expected 'first' or 'second'"):
        qm9_molecules(half="third")


@pytest.mark.parametrize(
    ("most", "everything", "train"), [(5, 175, 130), (6, 783, 605), (7, 3921, 3009), (8, 21800, 16634)]
)
def test_subsets_by_heavy_atoms(cache, most, everything, train):
    parts = qm9_molecules(max_heavy=most)
    assert sum(map(len, parts.values())) == everything
    assert len(parts["train"]) == train
    assert all(int(heavy_atoms(part).max()) == most for part in parts.values())


def test_molecules_are_those_of_the_tables(cache):
    """Rows 40,000 to 40,050 of the second table, read by another reader: elements, all distances, properties."""
    table = Path(importlib.util.find_spec("qm9pack").submodule_search_locations[0], "data", "qm9_part2.csv")
    everything = load_qm9()
    row_of = {number: row for row, number in enumerate(everything.properties["gdb"].tolist())}
    letters = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}
    with table.open(newline="", encoding="utf-8") as file:
        for row in islice(csv.DictReader(file), 40_000, 40_050):
            molecule = everything[[row_of[int(row["Index"])]]]
            assert [letters[z] for z in molecule.numbers.tolist()] == json.loads(row["Elements"].replace("'", '"'))
            expected = torch.tensor(json.loads(row["XYZ_Ang"]), dtype=torch.float64)
            error = torch.cdist(molecule.positions.double(), molecule.positions.double()) - torch.cdist(
                expected, expected
            )
            assert float(error.abs().max()) < 5e-6
            found = {name: float(values[0]) for name, values in molecule.properties.items()}
            assert found["alpha"] == pytest.approx(float(row["Polarizability_bohr3"]), rel=1e-6)
            assert found["gap"] == pytest.approx(float(row["HOMO_LUMO_gap_au"]) * 27.2114, rel=1e-6)
            assert found["mu"] == pytest.approx(float(row["Dipole_debye"]), rel=1e-6)
            assert found["cv"] == pytest.approx(float(row["Heatcapacity_Cv_cal_mol_K"]), rel=1e-6)


def test_every_molecule_is_centred(cache):
    everything = load_qm9()
    owner = torch.arange(len(everything)).repeat_interleave(everything.sizes)
    total = torch.zeros(len(everything), 3).index_add_(0, owner, everything.positions)
    assert float(total.abs().max()) < 1e-4
    assert float(everything.positions.std()) == pytest.approx(1.398, abs=1e-3)
    assert everything.positions.dtype == torch.float32


def test_cache_is_enough(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "qm9pack", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_qm9()) == 130_831


def test_cache_may_lie_in_the_users_data_folder(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("MANIFOLD_GEN_DATA", str(archive.parent.parent))
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(tmp_path / "none"))
    assert len(load_qm9()) == 130_831
    assert not (tmp_path / "none").exists()


def test_without_the_package_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MANIFOLD_GEN_DATA", raising=False)
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "qm9pack", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'manifold-gen\[molecules\]'"):
        qm9_molecules()


def truncate(path):
    path.write_bytes(path.read_bytes()[:1_000_000])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[5_000_000] ^= 1
    path.write_bytes(content)


def change(path, **changes):
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path, **{name: values for name, values in {**arrays, **changes}.items() if values is not None})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncate, "damaged"),
        (empty, "damaged"),
        (flip, "damaged"),
        (lambda path: change(path, format=np.int64(0)), "another format"),
        (lambda path: change(path, format=None), "another format"),
        (lambda path: change(path, mu=None), "'mu' is not the expected one"),
        (lambda path: change(path, n=np.ones(130_831, dtype=np.uint8)), "do not add up"),
    ],
)
def test_cache_that_cannot_be_used_is_noticed(altered, monkeypatch, spoil, reason):
    spoil(altered)
    monkeypatch.setitem(sys.modules, "qm9pack", None)
    with pytest.warns(UserWarning, match=reason) as caught, pytest.raises(MissingExtraError):
        load_qm9()
    assert [warning.category for warning in caught] == [UserWarning]


def test_damaged_cache_is_made_anew(altered, archive):
    truncate(altered)
    with pytest.warns(UserWarning, match="read anew from qm9pack"):
        rebuilt = load_qm9()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_qm9()
    assert torch.equal(rebuilt.positions, again.positions)
    assert [path.name for path in altered.parent.iterdir()] == ["molecules.npz"]
    with np.load(altered) as new, np.load(archive) as old:
        assert all(np.array_equal(new[name], old[name]) for name in old.files)
