"""Columns and units: what is inferred, and that encoding and decoding are inverse."""

import json
import math

import numpy as np
import pytest
import torch

from manifold_gen.data.formats import ContextFormat, PointFormat, make_format
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import from_spec

FORMATS = [
    ("torus:3", {"units": "degrees"}),
    ("torus:3", {"units": "radians"}),
    ("sphere:2", {}),
    ("sphere:2", {"representation": "latlon"}),
    ("sphere:2", {"representation": "lonlat", "units": "radians"}),
    ("sphere:3", {}),
    ("so3", {}),
    ("so3", {"representation": "quaternion"}),
    ("so3", {"representation": "axis-angle", "units": "degrees"}),
    ("sphere:2 x torus:1", {"representation": "latlon,angles"}),
    ("so3 x sphere:2", {"representation": "quaternion,ambient"}),
]


def points_on(spec):
    return from_spec(spec).random_uniform(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("spec", "options"), FORMATS)
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_decode_inverts_encode(spec, options, precision, tolerance):
    fmt, manifold = make_format(spec, **options), from_spec(spec)
    points = points_on(spec).to(precision)
    values = fmt.encode(points)
    assert values.shape == (200, len(fmt.columns))
    assert values.dtype == np.float64
    back = fmt.decode(values, dtype=precision)
    assert back.dtype == precision
    assert float(manifold.dist(back.double(), points.double()).max()) < tolerance * 10


@pytest.mark.parametrize("spec", ["euclidean:2", "lorentz:2", "poincare:3"])
def test_flat_and_hyperbolic_points_are_their_coordinates(spec):
    manifold = from_spec(spec)
    origin = manifold.origin(5, dtype=torch.float64)
    fmt = make_format(spec)
    assert np.array_equal(fmt.encode(origin), origin.numpy())
    assert torch.equal(fmt.decode(fmt.encode(origin), dtype=torch.float64), origin)


@pytest.mark.parametrize(("spec", "options"), FORMATS)
def test_formats_survive_json(spec, options):
    fmt = make_format(spec, **options, context=ContextFormat(["kind"], [["a", "b"]]))
    assert PointFormat.from_dict(json.loads(json.dumps(fmt.to_dict()))) == fmt
    plain = make_format(spec, **options)
    assert PointFormat.from_dict(plain.to_dict()) == plain


@pytest.mark.parametrize(
    ("manifold", "columns", "spec", "representations", "units"),
    [
        ("torus", ["phi", "psi"], "torus:2", ["angles"], "radians"),
        ("torus:2", ["phi", "psi"], "torus:2", ["angles"], "radians"),
        ("sphere", ["x", "y", "z"], "sphere:2", ["ambient"], "radians"),
        ("sphere", ["Lat", "Long"], "sphere:2", ["latlon"], "degrees"),
        ("sphere:2", ["longitude", "latitude"], "sphere:2", ["lonlat"], "degrees"),
        ("sphere", list("abcd"), "sphere:3", ["ambient"], "radians"),
        ("sphere:1", ["x", "y"], "sphere:1", ["ambient"], "radians"),
        ("so3", list("wxyz"), "so3", ["quaternion"], "radians"),
        ("so3", [f"r{i}" for i in range(9)], "so3", ["ambient"], "radians"),
        ("euclidean", ["x", "y"], "euclidean:2", ["ambient"], "radians"),
        ("sphere:2 x euclidean:1", ["lat", "lon", "depth"], "sphere:2 x euclidean:1", ["latlon", "ambient"], "degrees"),
        ("sphere:2 x euclidean:1", ["x", "y", "z", "d"], "sphere:2 x euclidean:1", ["ambient", "ambient"], "radians"),
        ("poincare", ["x", "y"], "poincare:2", ["ambient"], "radians"),
        ("lorentz", ["t", "x", "y"], "lorentz:2", ["ambient"], "radians"),
    ],
)
def test_inference(manifold, columns, spec, representations, units):
    fmt = make_format(manifold, columns=columns)
    assert (fmt.manifold, fmt.representations, fmt.columns, fmt.units) == (spec, representations, columns, units)


@pytest.mark.parametrize(
    ("manifold", "options", "message"),
    [
        (
            "so3",
            {"columns": ["a", "b", "c"]},
            r"3 columns \(a, b, c\) fit no representation of so3.*9: ambient; 4: quaternion",
        ),
        ("torus:3", {"columns": ["a", "b"]}, "fit no representation of torus:3"),
        ("sphere:2 x sphere:2", {"columns": list("abcde")}, "fit more than one representation"),
        ("sphere:2", {"columns": ["a", "b"], "units": "grad"}, "expected 'degrees' or 'radians'"),
        ("sphere:2", {"representation": "quaternion"}, "no representation 'quaternion'; it can be written as ambient"),
        ("so3 x torus:1", {"representation": "quaternion"}, "names 1 of 2 factors"),
        ("so3", {"columns": list("abc"), "representation": "quaternion"}, "takes 4 columns; given 3"),
        ("tours:2", {}, "torus"),
    ],
)
def test_what_does_not_fit(manifold, options, message):
    with pytest.raises(UsageError, match=message):
        make_format(manifold, **options)


def test_earth_conventions():
    fmt = make_format("sphere:2", representation="latlon")
    points = fmt.decode(np.array([[90.0, 0.0], [0.0, 0.0], [0.0, 90.0], [-45.0, 180.0]]), dtype=torch.float64)
    r = math.sqrt(0.5)
    assert torch.allclose(points, torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 0], [-r, 0, -r]], dtype=torch.float64))
    swapped = make_format("sphere:2", representation="lonlat").decode(np.array([[90.0, 0.0]]), dtype=torch.float64)
    assert torch.allclose(swapped, torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))


def test_quaternions_are_scalar_first():
    fmt = make_format("so3", representation="quaternion")
    half = math.sqrt(0.5)
    matrix = fmt.decode(np.array([[half, 0, 0, half]]), dtype=torch.float64)[0]
    assert torch.allclose(matrix @ torch.tensor([1.0, 0, 0]).double(), torch.tensor([0.0, 1, 0]).double(), atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "options", "values", "message"),
    [
        ("sphere:2", {"representation": "latlon"}, [[91.5, 0.0]], r"latitude beyond 90° \(largest 91.5°\)"),
        ("sphere:2", {"representation": "lonlat"}, [[0.0, -120.0]], r"largest 120°.*not exchanged"),
        ("so3", {"representation": "quaternion"}, [[0.0, 0, 0, 0]], "quaternion of norm 0"),
        (
            "so3",
            {"representation": "quaternion"},
            [[2.0, 0, 0, 0]],
            r"norm is not 1 \(largest deviation 1.*project=True",
        ),
        ("torus:2", {}, [[0.0, 1.0, 2.0]], r"shape \(1, 3\), expected \(N, 2\): angle1, angle2"),
    ],
)
def test_bad_values(spec, options, values, message):
    with pytest.raises(DataError, match=message):
        make_format(spec, **options).decode(np.array(values))


def test_quaternions_are_normalised_on_request():
    fmt = make_format("so3", representation="quaternion")
    assert torch.allclose(fmt.decode(np.array([[2.0, 0, 0, 0]]), project=True), torch.eye(3)[None])


def test_degrees_given_as_radians_warn():
    with pytest.warns(UserWarning, match="look like degrees"):
        make_format("torus:2").decode(np.array([[-60.0, -40.0]]))


def test_columns_of_products_have_different_names():
    assert make_format("sphere:2 x sphere:2").columns == ["x_1", "y_1", "z_1", "x_2", "y_2", "z_2"]
    assert make_format("so3 x torus:2").columns[-3:] == ["r33", "angle1", "angle2"]
