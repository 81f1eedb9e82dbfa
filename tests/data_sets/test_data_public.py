"""Sets with files of their own: on the real files where they can be had, said plainly where they cannot."""

import warnings

import numpy as np
import pytest
import torch

from manifold_gen.data import earth, list_datasets, load_dataset, locations
from manifold_gen.data.tables import read_table
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.torus import Torus

WITH_FILES = [source for source in list_datasets() if source.places and not source.name.startswith("protein")]
EARTH = ["volcano", "earthquake", "flood", "fire"]
FLOOD = """# a source
lat,long
10.5,20.25
10.5,20.25
-33.25,151.5
10.75,20.25
"""


def can_be_had(name):
    """Whether the set loads here; where its file is missing and cannot be downloaded, say what is left out."""
    try:
        load_dataset(name)
    except DataError as error:
        if "could not be downloaded" not in str(error):
            raise
        warnings.warn(f"LEFT OUT: the checks of the data set {name!r}: {error}", stacklevel=2)
        return False
    return True


@pytest.mark.parametrize("source", WITH_FILES, ids=lambda source: source.name)
def test_loads_as_listed(source):
    if can_be_had(source.name):
        data = load_dataset(source.name, dtype=torch.float64)
        x = torch.cat([data.train.x, data.val.x, data.test.x])
        assert data.manifold.spec == source.manifold
        assert len(x) == source.rows
        assert float((data.manifold.projx(x) - x).abs().max()) < 1e-12
        assert abs(len(data.test) / len(x) - 0.1) < 0.07
        assert data.info["sha256"]


@pytest.mark.parametrize("name", EARTH)
def test_distinct_split_shares_no_place_and_repeats_no_point(name):
    if can_be_had(name):
        data = load_dataset(name, dtype=torch.float64)
        table = read_table(locations.find(next(s for s in list_datasets() if s.name == name).places[0]))
        widths = [earth.rounding_width(table, column) for column in table.columns]
        cells = [np.rint(_degrees(part.x) / widths).astype(int) for part in (data.train, data.val, data.test)]
        sets = [set(map(tuple, cell.tolist())) for cell in cells]
        assert not sets[0] & sets[1]
        assert not sets[0] & sets[2]
        assert not sets[1] & sets[2]
        x = torch.cat([data.train.x, data.val.x, data.test.x])
        assert len(torch.unique(x, dim=0)) == len(x)


def test_published_split_of_volcano_shares_places():
    # The reason for the other split: most test rows repeat a training place.
    if can_be_had("volcano"):
        data = load_dataset("volcano", split="published", dtype=torch.float64)
        train = set(map(tuple, _degrees(data.train.x).round(6).tolist()))
        repeated = [tuple(row) in train for row in _degrees(data.test.x).round(6).tolist()]
        assert np.mean(repeated) > 0.5


def test_earth_points_are_where_they_should_be():
    # The first row of the file lies in Queensland.
    if can_be_had("fire"):
        degrees = np.concatenate([_degrees(part.x) for part in _parts("fire")])
        assert np.any(np.all(np.abs(degrees - [-25.088, 152.358]) < 1e-9, axis=1))


def test_rna_is_in_degrees_of_seven_torsions():
    if can_be_had("rna"):
        data = load_dataset("rna", dtype=torch.float64)
        delta = torch.cat([data.train.x, data.val.x, data.test.x])[:, 3]
        # Sugar pucker keeps δ near 81° (C3'-endo) and 147° (C2'-endo).
        assert float(((torch.rad2deg(delta) > 60) & (torch.rad2deg(delta) < 180)).double().mean()) > 0.95


def _parts(name):
    data = load_dataset(name, split="published", dtype=torch.float64)
    return data.train, data.val, data.test


def _degrees(x):
    return earth.earth_format().encode(x)


def places(tmp_path, text=FLOOD, **options):
    path = tmp_path / "flood.csv"
    path.write_text(text * options.pop("times", 1), encoding="utf-8")
    options = {"split_seed": 0, "dtype": torch.float64, "split": "distinct", **options}
    return earth.places_dataset("flood", path, {}, **options)


def test_places_without_the_files(tmp_path):
    rows = "".join(f"{-40 + i // 2}.5,{2 * (i // 2)}.25\n" for i in range(60))
    data = places(tmp_path, "lat,long\n" + rows)
    x = torch.cat([data.train.x, data.val.x, data.test.x])
    degrees = _degrees(x)
    assert len(torch.unique(x, dim=0)) == 60
    printed = np.rint(degrees / [0.1, 0.01]) * [0.1, 0.01]
    assert len(np.unique(printed.round(6), axis=0)) == 30
    assert np.abs(degrees - printed).max() <= 0.05
    assert np.abs(degrees - printed)[:, 0].max() > 0.04
    assert (len(data.val), len(data.test)) == (6, 6)


def test_jitter_is_seeded_apart_from_the_split(tmp_path):
    rows = "lat,long\n" + "".join(f"{i}.5,{2 * i}.25\n" for i in range(40))
    one, two = (places(tmp_path, rows, split_seed=seed) for seed in (0, 1))
    ordered = [np.sort(torch.cat([d.train.x, d.val.x, d.test.x])[:, 2].numpy()) for d in (one, two)]
    assert np.array_equal(*ordered)
    assert not torch.equal(one.test.x, two.test.x)


def test_rounding_width_ignores_dropped_zeros(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("lat,lon\n12,1.25\n12.125,1.50\n12.250,2.75\n12.375,7\n", encoding="utf-8")
    table = read_table(path)
    assert [earth.rounding_width(table, column) for column in table.columns] == pytest.approx([1e-3, 1e-2])


def test_poles_stay_on_the_sphere():
    moved = earth.jittered(np.full((1000, 2), [90.0, 0.0]), np.array([1.0, 1.0]), 0)
    assert moved[:, 0].max() <= 90.0
    assert moved[:, 0].min() < 89.6


def test_unknown_split_is_refused(tmp_path):
    with pytest.raises(UsageError, match="'random'; expected 'distinct'"):
        places(tmp_path, split="random")


PROTEIN = (
    "1abc A 1\t-60.5\t-45.25\tGeneral\n1abc A 2\t80.0\t10.0\tGlycine\n1abc A 3\t-70\t150\tProline\n"
    "1abc A 4\t-75\t145\tPre-Pro\n"
)


def protein_file(tmp_path, times=5):
    path = tmp_path / "protein" / "protein.tsv"
    path.parent.mkdir()
    path.write_text(PROTEIN * times, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "degrees"),
    [("general", [-60.5, -45.25]), ("glycine", [80, 10]), ("proline", [-70, 150]), ("prepro", [-75, 145])],
)
def test_protein_file_that_a_user_brings(tmp_path, kind, degrees):
    path = protein_file(tmp_path)
    with pytest.warns(UserWarning, match="has 5 rows of class"):
        data = load_dataset(f"protein_{kind}", dtype=torch.float64, path=path)
    x = torch.cat([data.train.x, data.val.x, data.test.x])
    assert data.manifold.spec == Torus(2).spec
    assert torch.allclose(x, torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)).expand(5, 2))
    assert data.info["format"]["units"] == "degrees"


def test_protein_file_in_the_data_folder(tmp_path, monkeypatch):
    protein_file(tmp_path)
    monkeypatch.setenv("MANIFOLD_GEN_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="published file has 7634"):
        assert len(load_dataset("protein_proline").train) == 3


def test_protein_file_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("MANIFOLD_GEN_DATA", str(tmp_path))
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"not at .*protein.tsv.*MANIFOLD_GEN_DATA"):
        load_dataset("protein_general")
    with pytest.raises(DataError, match=r"nowhere.tsv"):
        load_dataset("protein_general", path=tmp_path / "nowhere.tsv")


def test_protein_class_missing(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("a\t1\t2\tGeneral\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no row of class 'gly'.*General"):
        load_dataset("protein_glycine", path=path)
