"""A user's own files, in and out."""

import resource
import warnings

import numpy as np
import pytest
import torch

from manifold_gen.data import PointFormat, load_file, make_format, read_points, read_split, write_points
from manifold_gen.errors import DataError, RunFolderError, UsageError
from manifold_gen.manifolds import from_spec


def whole(data):
    return torch.cat([data.train.x, data.val.x, data.test.x])


def draw(spec, count=60):
    return from_spec(spec).random_uniform(count, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def torsions(tmp_path):
    angles = torch.rad2deg(draw("torus:2")).numpy()
    path = tmp_path / "mine.csv"
    lines = [f"{i},{a:.6f},{b:.6f},{'HE'[i % 2]},{i / 10}" for i, (a, b) in enumerate(angles)]
    path.write_text("# my angles\nid,phi,psi,ss,b\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path, np.radians(angles)


def test_chosen_columns_in_degrees(torsions):
    path, angles = torsions
    data = load_file(path, "torus", units="degrees", columns=["phi", "psi"])
    assert data.manifold.spec == "torus:2"
    assert data.name == "mine"
    assert [len(part) for part in (data.train, data.val, data.test)] == [48, 6, 6]
    found = whole(data)[whole(data)[:, 0].argsort()].double().numpy()
    assert np.abs(found - angles[angles[:, 0].argsort()]).max() < 1e-6
    assert data.info["format"]["columns"] == ["phi", "psi"]
    assert len(data.info["sha256"]) == 64


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".npy", ".npz"])
@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("torus:2", {"units": "degrees", "columns": ["phi", "psi"]}),
        ("sphere:2", {"representation": "latlon"}),
        ("so3", {"representation": "quaternion"}),
        ("so3", {}),
    ],
)
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_written_points_read_back(tmp_path, suffix, spec, options, precision, tolerance):
    fmt, points = make_format(spec, **options), draw(spec).to(precision)
    path = tmp_path / f"x{suffix}"
    write_points(path, points, fmt)
    back = read_points(path, PointFormat.from_dict(fmt.to_dict()), dtype=precision)
    assert float((back - points).abs().max()) < tolerance
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_single_precision_angles_survive_text_bit_for_bit(tmp_path):
    points = draw("torus:2", 20_000).float()
    fmt = make_format("torus:2", units="degrees")
    write_points(tmp_path / "x.csv", points, fmt)
    assert torch.equal(read_points(tmp_path / "x.csv", fmt), points)


def test_samples_come_out_in_the_columns_and_units_of_the_input(torsions, tmp_path):
    data = load_file(torsions[0], "torus", units="degrees", columns=["psi", "phi"])
    fmt = PointFormat.from_dict(data.info["format"])
    write_points(tmp_path / "x.csv", torch.deg2rad(torch.tensor([[10.0, -20.0]])).double(), fmt)
    header, row = (tmp_path / "x.csv").read_text().splitlines()
    assert header == "psi,phi"
    assert [float(cell) for cell in row.split(",")] == pytest.approx([10, -20], abs=1e-5)


def test_columns_are_found_by_name_among_others(torsions):
    path, angles = torsions
    points = read_points(path, make_format("torus:2", columns=["psi", "phi"], units="degrees"), dtype=torch.float64)
    assert np.abs(points.numpy() - angles[:, ::-1]).max() < 1e-8


def test_columns_without_header_are_taken_in_order(tmp_path):
    (tmp_path / "x.csv").write_text("10,20\n30,40\n")
    points = read_points(tmp_path / "x.csv", make_format("torus:2", columns=["phi", "psi"], units="degrees"))
    assert torch.allclose(points, torch.deg2rad(torch.tensor([[10.0, 20], [30, 40]])))
    (tmp_path / "y.csv").write_text("a,b\n10,20\n30,40\n")
    with pytest.raises(DataError, match=r"has columns a, b; expected phi, psi"):
        read_points(tmp_path / "y.csv", make_format("torus:2", columns=["phi", "psi"]))


def test_continuous_context(torsions, tmp_path):
    data = load_file(torsions[0], "torus", units="degrees", columns=["phi", "psi"], context=["b"])
    assert data.train.context.shape == (48, 1)
    assert data.train.context.dtype == torch.float32
    fmt = PointFormat.from_dict(data.info["format"])
    write_points(tmp_path / "x.csv", data.test.x, fmt, data.test.context)
    back = read_split(tmp_path / "x.csv", fmt)
    assert torch.allclose(back.context, data.test.context)
    assert torch.equal(back.x, data.test.x)


def test_categorical_context(torsions, tmp_path):
    data = load_file(torsions[0], "torus", units="degrees", columns=["phi", "psi"], context=["ss"])
    assert data.train.context.dtype == torch.int64
    assert data.info["format"]["context_labels"] == [["E", "H"]]
    fmt = PointFormat.from_dict(data.info["format"])
    for suffix in (".csv", ".npz"):
        write_points(tmp_path / f"x{suffix}", data.test.x, fmt, data.test.context)
        assert torch.equal(read_split(tmp_path / f"x{suffix}", fmt).context, data.test.context)
    (tmp_path / "y.csv").write_text("phi,psi,ss\n1,2,H\n1,2,G\n")
    with pytest.raises(DataError, match=r"line 3, column ss: unknown label 'G'; known are E, H"):
        read_split(tmp_path / "y.csv", fmt)


def test_context_of_two_kinds(torsions):
    options = {"units": "degrees", "columns": ["phi", "psi"], "context": ["ss", "b"]}
    with pytest.raises(UsageError, match="context columns ss hold labels and the others numbers"):
        load_file(torsions[0], "torus", **options)
    data = load_file(torsions[0], "torus", **options, categorical=True)
    assert data.train.context.shape == (48, 2)
    assert data.train.context.dtype == torch.int64


def test_context_belongs_to_its_point(torsions):
    data = load_file(torsions[0], "torus", units="degrees", columns=["phi", "psi"], context=["b"], dtype=torch.float64)
    rows = (torch.cat([data.train.context, data.val.context, data.test.context])[:, 0] * 10).round().long()
    assert float((whole(data) - torch.from_numpy(torsions[1])[rows]).abs().max()) < 1e-7


def test_column_used_twice(torsions):
    with pytest.raises(UsageError, match="chosen twice: psi"):
        load_file(torsions[0], "torus", columns=["phi", "psi"], context=["psi"])


def test_context_that_is_missing(tmp_path):
    fmt = make_format("torus:1")
    with pytest.raises(UsageError, match="no context"):
        write_points(tmp_path / "x.csv", torch.zeros(2, 1), fmt, torch.zeros(2, 1))


def bad_file(tmp_path, rows):
    path = tmp_path / "bad.csv"
    good = "".join(f"{i},{-i}\n" for i in range(20))
    path.write_text("lat,lon\n" + good + rows, encoding="utf-8")
    return path


def test_bad_rows_are_named_by_line(tmp_path):
    path = bad_file(tmp_path, "nan,3\n95,3\n")
    with pytest.raises(DataError, match=r"1 of 22 rows have NaN.*\(line 22\).*on_bad_row='drop', --on-bad-row drop"):
        load_file(path, "sphere")
    path = bad_file(tmp_path, "1,3\n95,3\n")
    with pytest.raises(DataError, match=r"1 of 22 rows have a latitude beyond 90° .*\(line 23\)"):
        load_file(path, "sphere")


def test_bad_rows_are_dropped_on_request(tmp_path):
    with pytest.warns(UserWarning, match="dropped") as record:
        data = load_file(bad_file(tmp_path, "nan,3\n95,3\n,\n"), "sphere", on_bad_row="drop", dtype=torch.float64)
    assert len(whole(data)) == 20
    assert len([w for w in record if "dropped" in str(w.message)]) == 2


def test_a_bad_context_drops_its_point(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("phi,t\n" + "".join(f"0.{i},{'nan' if i == 4 else i}\n" for i in range(1, 9)))
    with pytest.warns(UserWarning, match=r"line 5"):
        data = load_file(path, "torus", context=["t"], on_bad_row="drop")
    context = torch.cat([data.train.context, data.val.context, data.test.context])[:, 0]
    assert torch.allclose(whole(data)[:, 0], context / 10)
    assert len(context) == 7


def test_single_row_and_repeated_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("0.1,0.2\n")
    with pytest.raises(DataError, match="1 row cannot be split"):
        load_file(path, "torus")
    path.write_text("0.1,0.2\n" * 20)
    with pytest.warns(UserWarning, match="all 20 points are equal"):
        load_file(path, "torus")


def test_degrees_read_as_radians_warn(torsions):
    with pytest.warns(UserWarning, match="look like degrees"):
        load_file(torsions[0], "torus", columns=["phi", "psi"])


def test_unit_vectors_of_few_digits(tmp_path):
    points = draw("sphere:2").numpy()
    np.savetxt(tmp_path / "v.csv", points, delimiter=",", fmt="%.4f", header="x,y,z")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_file(tmp_path / "v.csv", "sphere")
    assert float((whole(data).norm(dim=-1) - 1).abs().max()) < 1e-6
    with pytest.raises(DataError, match=r"off sphere:2 .*project=True"):
        load_file(tmp_path / "v.csv", "sphere", dtype=torch.float64)
    load_file(tmp_path / "v.csv", "sphere", dtype=torch.float64, project=True)


def test_matrices_from_an_array(tmp_path):
    matrices = draw("so3")
    np.save(tmp_path / "r.npy", matrices.numpy())
    data = load_file(tmp_path / "r.npy", "so3", dtype=torch.float64)
    assert whole(data).shape == (60, 3, 3)
    np.save(tmp_path / "r.npy", -matrices.numpy())
    with pytest.raises(DataError, match=r"60 of 60 rows have a matrix of negative determinant.*\(row 0"):
        load_file(tmp_path / "r.npy", "so3")


def test_an_array_of_another_shape_is_not_flattened_in_silence(tmp_path):
    np.save(tmp_path / "poses.npy", draw("so3").numpy())
    with pytest.raises(UsageError, match=r"shape \(3, 3\), which are no points of torus:9.*\(N, 9\)"):
        load_file(tmp_path / "poses.npy", "torus")


@pytest.mark.parametrize(("scale", "warned"), [([1.0, 8.0], False), ([1.0, 500.0], True), ([1.0, 0.0], True)])
def test_flat_columns_far_from_unit_scale_warn(tmp_path, scale, warned):
    values = torch.randn(60, 2, generator=torch.Generator().manual_seed(1)).numpy() * scale
    np.save(tmp_path / "depth.npy", values)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_file(tmp_path / "depth.npy", "euclidean")
    assert any("scale the columns" in str(w.message) for w in caught) == warned


def test_product_of_latitude_longitude_and_depth(tmp_path):
    path = tmp_path / "quakes.csv"
    path.write_text("lon,lat,depth\n" + "".join(f"{10 * i},{5 * i},{i}.5\n" for i in range(12)))
    data = load_file(path, "sphere:2 x euclidean:1", dtype=torch.float64)
    x = whole(data)
    i = x[:, 3] - 0.5
    assert torch.allclose(x[:, 2], torch.sin(torch.deg2rad(5 * i)))
    assert torch.allclose(torch.atan2(x[:, 1], x[:, 0]), torch.deg2rad(10 * i))


def test_split_is_by_seed(torsions):
    options = {"units": "degrees", "columns": ["phi", "psi"]}
    a, b, c = (load_file(torsions[0], "torus", split_seed=seed, **options) for seed in (0, 0, 1))
    assert torch.equal(a.test.x, b.test.x)
    assert not torch.equal(a.test.x, c.test.x)


def test_unwritable_places(tmp_path):
    fmt, points = make_format("torus:1"), torch.zeros(2, 1)
    with pytest.raises(UsageError, match="ends in"):
        write_points(tmp_path / "x.xlsx", points, fmt)
    with pytest.raises(RunFolderError, match="could not be written") as error:
        write_points(tmp_path / "no" / "such" / "x.csv", points, fmt)
    assert error.value.exit_code == 74


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, suffix):
    fmt = make_format("torus:1")
    path = tmp_path / f"x{suffix}"
    write_points(path, torch.zeros(2, 1), fmt)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # files end at 4096 bytes, like a disk that is full
    try:
        with pytest.raises(RunFolderError, match="could not be written") as error:
            write_points(path, torch.ones(100_000, 1), fmt)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.exit_code == 74
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
