"""Bad points: each kind gets one message that says what was given, what was expected and what to do."""

import math
import warnings

import numpy as np
import pytest
import torch

from manifold_gen.data import check_points
from manifold_gen.data.validation import check_splittable, warn_if_degrees, warn_if_repeated
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import SO3, Euclidean, PoincareBall, Product, Sphere, Torus

GENERATOR = torch.Generator().manual_seed(0)
SPHERE = Sphere(2).random_uniform(8, generator=GENERATOR, dtype=torch.float64)
ROTATIONS = SO3().random_uniform(8, generator=GENERATOR, dtype=torch.float64)


def changed(points, row, value):
    points = points.clone()
    points[row] = torch.as_tensor(value, dtype=points.dtype)
    return points


BAD = [
    ("NaN", changed(SPHERE, 3, math.nan), Sphere(2), r"1 of 8 rows have NaN, infinite or missing values \(row 3\)"),
    ("infinity", changed(SPHERE, [1, 2], math.inf), Sphere(2), r"2 of 8 rows have NaN, infinite .*\(row 1, row 2\)"),
    (
        "off the sphere",
        changed(SPHERE, 5, [0, 0, 1.25]),
        Sphere(2),
        r"off sphere:2 \(largest deviation 0.2.*project=True",
    ),
    ("zero vector", changed(SPHERE, 4, 0.0), Sphere(2), r"zero vector .*no nearest point on sphere:2 \(row 4\)"),
    ("reflection", changed(ROTATIONS, 6, torch.diag(torch.tensor([1.0, 1, -1]))), SO3(), r"reflection.*\(row 6\).*\+1"),
    ("not orthogonal", changed(ROTATIONS, 2, 1.5 * torch.eye(3)), SO3(), r"off so3 \(largest deviation.*row 2"),
    ("outside the ball", torch.tensor([[0.1, 0.2], [3.0, 4.0]]), PoincareBall(2), "off poincare:2"),
    (
        "second factor",
        torch.cat([ROTATIONS.flatten(1), changed(SPHERE, 7, 2.0)], -1),
        Product(SO3(), Sphere(2)),
        r"off sphere:2.*\(row 7\)",
    ),
    (
        "nine columns",
        ROTATIONS.flatten(1),
        SO3(),
        r"shape \(8, 9\), expected \(N, 3, 3\); reshape with x.reshape\(-1, 3, 3\)",
    ),
    ("wrong width", torch.zeros(8, 4), Sphere(2), r"shape \(8, 4\), expected \(N, 3\); check the columns"),
    ("no batch axis", SPHERE[0], Sphere(2), r"shape \(3,\), expected \(N, 3\)"),
    ("empty", torch.zeros(0, 3), Sphere(2), "0 points were given"),
    ("half", SPHERE.half(), Sphere(2), r"float16, which keeps 2 to 3 digits; convert them with x.float\(\)"),
    ("bfloat", SPHERE.bfloat16(), Sphere(2), "bfloat16"),
    ("booleans", torch.ones(3, 2, dtype=torch.bool), Torus(2), "dtype torch.bool"),
    ("complex", torch.ones(3, 2, dtype=torch.complex64), Torus(2), "dtype torch.complex64"),
    ("text", np.array([["a", "b"]]), Torus(2), r"text or objects"),
    ("objects", np.array([[None, 1.0]], dtype=object), Torus(2), r"dtype object"),
]


@pytest.mark.parametrize(("points", "manifold", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_points(points, manifold, message):
    with pytest.raises(DataError, match=message) as error:
        check_points(points, manifold)
    assert error.value.exit_code == 66
    assert "\n" not in str(error.value)


def test_many_bad_rows_are_counted_and_five_named():
    with pytest.raises(DataError, match=r"100 of 100 rows .*\(row 0, row 1, row 2, row 3, row 4, …\)"):
        check_points(torch.full((100, 2), math.nan), Torus(2))


@pytest.mark.parametrize(("precision", "small", "large"), [(torch.float32, 5e-4, 5e-3), (torch.float64, 5e-7, 5e-6)])
def test_small_deviations_are_mended_and_large_ones_projected_on_request(precision, small, large):
    x = SPHERE.to(precision)
    assert float((check_points(x * (1 + small), Sphere(2)) - x).abs().max()) < 1e-6
    with pytest.raises(DataError, match="largest deviation"):
        check_points(x * (1 + large), Sphere(2))
    assert float((check_points(x * (1 + large), Sphere(2), project=True) - x).abs().max()) < 1e-6


def test_projection_does_not_mend_reflections_or_zero_vectors():
    with pytest.raises(DataError, match="reflection"):
        check_points(-ROTATIONS, SO3(), project=True)
    with pytest.raises(DataError, match="zero vector"):
        check_points(changed(SPHERE, 0, 0.0), Sphere(2), project=True)


def test_dropping_keeps_the_good_rows_and_says_so():
    x = changed(changed(SPHERE, 0, math.nan), 3, 7.0)
    with pytest.warns(UserWarning, match="dropped") as record:
        kept = check_points(x, Sphere(2), on_bad_row="drop")
    texts = [str(w.message) for w in record]
    assert any("row 0" in text and text.endswith("dropped") for text in texts)
    assert any("row 3" in text for text in texts)
    assert torch.allclose(kept, SPHERE[[1, 2, 4, 5, 6, 7]])


def test_dropping_everything_is_an_error():
    with pytest.raises(DataError, match="no row is left"):
        check_points(torch.full((3, 2), math.nan), Torus(2), on_bad_row="drop")


def test_unknown_policy():
    with pytest.raises(UsageError, match="expected 'error' or 'drop'"):
        check_points(SPHERE, Sphere(2), on_bad_row="skip")


@pytest.mark.parametrize("x", [[[0, 1], [2, 3]], np.array([[0, 1], [2, 3]]), torch.tensor([[0, 1], [2, 3]])])
def test_integers_become_the_default_type(x):
    points = check_points(x, Euclidean(2))
    assert points.dtype == torch.get_default_dtype()
    assert points.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_good_points_pass_unchanged(precision):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for points, manifold in [(SPHERE, Sphere(2)), (ROTATIONS, SO3()), (SPHERE, Euclidean(3)), (SPHERE, Torus(3))]:
            checked = check_points(points.to(precision), manifold)
            assert checked.dtype == precision
            assert torch.allclose(checked, points.to(precision), atol=1e-6)


def test_single_point_can_be_checked_but_not_split():
    assert len(check_points(SPHERE[:1], Sphere(2))) == 1
    for count in (1, 2):
        with pytest.raises(DataError, match=rf"{count} row.* cannot be split"):
            check_splittable(count)
    check_splittable(3)


def test_degrees_given_as_radians_warn():
    with pytest.warns(UserWarning, match=r"angles up to 120 in radians look like degrees.*units='degrees'"):
        warn_if_degrees(torch.tensor([[120.0, -60.0]]))
    with pytest.warns(UserWarning, match="look like degrees"):
        check_points([[120.0, -60.0]], Torus(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_degrees(torch.tensor([[6.0, -6.28]]))


def test_repeated_points_warn():
    with pytest.warns(UserWarning, match="all 8 points are equal"):
        warn_if_repeated(SPHERE[:1].expand(8, 3))
    with pytest.warns(UserWarning, match="8 of 16 points repeat another point"):
        warn_if_repeated(torch.cat([SPHERE, SPHERE]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_repeated(SPHERE)
