"""Rotation conversions against committed references, scipy and pytorch3d, and against each other."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from pytorch3d import transforms
from scipy.spatial.transform import Rotation
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds import SO3
from manifold_gen.manifolds.conversions import (
    axis_angle_from_matrix,
    euler_from_matrix,
    hat,
    matrix_from_6d,
    matrix_from_axis_angle,
    matrix_from_euler,
    matrix_from_quaternion,
    quaternion_from_matrix,
    sixd_from_matrix,
    vee,
)

GOLD = Path(__file__).parents[1] / "gold" / "rotations.json"
LETTERS = ["".join(c) for c in itertools.product("XYZ", repeat=3) if c[0] != c[1] != c[2]]
CONVENTIONS = [*LETTERS, *(c.lower() for c in LETTERS)]
ANGLES = [0.0, 1e-8, 1e-4, 1e-2, 1.0, 3.0, math.pi - 1e-4, math.pi - 1e-8, math.pi]


@pytest.fixture
def gold(dtype: torch.dtype) -> dict[str, Tensor]:
    rows = json.loads(GOLD.read_text())[str(dtype).removeprefix("torch.")]
    table = {key: torch.tensor([row[key] for row in rows], dtype=torch.float64) for key in rows[0] if key != "at"}
    return {key: value.unflatten(-1, (3, 3)) if value.shape[-1] == 9 else value for key, value in table.items()}


def ulps(deviation: Tensor, dtype: torch.dtype) -> float:
    return float(deviation.abs().amax()) / torch.finfo(dtype).eps


def rotations(count: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    return SO3().random_uniform(count, generator=generator, dtype=dtype)


def test_exponential_and_its_slope_match_the_gold_table(gold: dict[str, Tensor], dtype: torch.dtype) -> None:
    w, t = gold["w"].to(dtype), gold["t"].to(dtype)
    matrix, slope = torch.func.jvp(matrix_from_axis_angle, (w,), (t,))
    assert ulps(matrix - gold["exp"], dtype) < 4
    assert ulps(slope - gold["exp_slope"], dtype) < 4


def test_logarithm_and_its_slope_match_the_gold_table(gold: dict[str, Tensor], dtype: torch.dtype) -> None:
    matrix, t = gold["exp"].to(dtype), gold["t"].to(dtype)
    w, slope = torch.func.jvp(axis_angle_from_matrix, (matrix,), (matrix @ hat(t),))
    angle = gold["log"].norm(dim=-1)
    assert ulps((w - gold["log"]).norm(dim=-1) / angle, dtype) < 3
    assert ulps(slope - gold["log_slope"], dtype) < 5


def test_distance_from_the_identity_matches_the_gold_table(gold: dict[str, Tensor], dtype: torch.dtype) -> None:
    matrix, angle = gold["exp"].to(dtype), gold["log"].norm(dim=-1)
    eye = torch.eye(3, dtype=dtype).expand_as(matrix)
    assert ulps(SO3().dist(eye, matrix) / angle - 1, dtype) < 3


def test_reverse_mode_is_finite_at_every_angle(dtype: torch.dtype) -> None:
    axis = torch.tensor([0.6, 0.0, -0.8], dtype=dtype)
    w = (torch.tensor(ANGLES, dtype=dtype)[:, None] * axis).requires_grad_()
    matrix = matrix_from_axis_angle(w)
    back = axis_angle_from_matrix(matrix)
    (slope,) = torch.autograd.grad(back.square().sum(), w, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), w)
    assert bool(torch.isfinite(slope).all())
    assert bool(torch.isfinite(bend).all())
    assert ulps(matrix_from_axis_angle(back) - matrix, dtype) < 8


def test_round_trip_through_the_logarithm_has_unit_derivative_at_zero(dtype: torch.dtype) -> None:
    zero = torch.zeros(3, dtype=dtype)
    jacobian = torch.func.jacrev(lambda w: axis_angle_from_matrix(matrix_from_axis_angle(w)))(zero)
    assert torch.equal(jacobian, torch.eye(3, dtype=dtype))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_euler_angles_agree_with_scipy(convention: str, generator: torch.Generator) -> None:
    matrix = rotations(64, generator)
    angles = euler_from_matrix(matrix, convention)
    expected = torch.from_numpy(Rotation.from_matrix(matrix.numpy()).as_euler(convention))
    torch.testing.assert_close(angles, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(matrix_from_euler(angles, convention), matrix, rtol=0, atol=1e-14)


@pytest.mark.parametrize("convention", ["ZYX", "XYZ", "ZYZ", "xyz", "zxz"])
def test_euler_angles_survive_gimbal_lock(convention: str, generator: torch.Generator) -> None:
    proper = convention[0] == convention[2]
    angles = torch.randn(16, 3, generator=generator, dtype=torch.float64)
    for middle in (0.0, math.pi) if proper else (math.pi / 2, -math.pi / 2):
        angles[:, 1] = middle
        matrix = matrix_from_euler(angles, convention)
        found = euler_from_matrix(matrix.requires_grad_(), convention)
        torch.testing.assert_close(matrix_from_euler(found, convention), matrix, rtol=0, atol=1e-14)
        assert torch.equal(found[:, 2], torch.zeros(16, dtype=torch.float64))
        (slope,) = torch.autograd.grad(found.sum(), matrix)
        assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("convention", ["XXY", "XY", "XyZ", "ABC", ""])
def test_a_senseless_convention_is_refused(convention: str) -> None:
    with pytest.raises(UsageError, match="expected three letters"):
        matrix_from_euler(torch.zeros(3), convention)


def test_conversions_agree_with_pytorch3d(generator: torch.Generator) -> None:
    matrix = rotations(64, generator)
    theirs = transforms.standardize_quaternion(transforms.matrix_to_quaternion(matrix))
    close = {"rtol": 0, "atol": 1e-13}
    torch.testing.assert_close(quaternion_from_matrix(matrix), theirs, **close)
    torch.testing.assert_close(matrix_from_quaternion(theirs), transforms.quaternion_to_matrix(theirs), **close)
    torch.testing.assert_close(axis_angle_from_matrix(matrix), transforms.matrix_to_axis_angle(matrix), **close)
    torch.testing.assert_close(sixd_from_matrix(matrix), transforms.matrix_to_rotation_6d(matrix), **close)
    six = torch.randn(64, 6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(matrix_from_6d(six), transforms.rotation_6d_to_matrix(six), **close)
    angles = torch.rand(64, 3, generator=generator, dtype=torch.float64)
    for convention in ("XYZ", "ZYX", "ZXZ"):
        ours = matrix_from_euler(angles, convention)
        torch.testing.assert_close(ours, transforms.euler_angles_to_matrix(angles, convention), **close)


def test_vectors_agree_with_scipy_up_to_pi(generator: torch.Generator) -> None:
    w = torch.randn(64, 3, generator=generator, dtype=torch.float64)
    w = w / w.norm(dim=-1, keepdim=True) * torch.linspace(0, math.pi - 1e-9, 64, dtype=torch.float64)[:, None]
    expected = torch.from_numpy(Rotation.from_rotvec(w.numpy()).as_matrix())
    torch.testing.assert_close(matrix_from_axis_angle(w), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(axis_angle_from_matrix(expected), w, rtol=0, atol=1e-13)


def test_derivatives_agree_with_finite_differences(generator: torch.Generator) -> None:
    matrix = rotations(3, generator)
    tangent = (0.1 * torch.randn(3, 3, generator=generator, dtype=torch.float64)).requires_grad_()
    functions = [axis_angle_from_matrix, quaternion_from_matrix, euler_from_matrix, sixd_from_matrix]
    for function in functions:
        path = lambda t, f=function: f(matrix @ matrix_from_axis_angle(t))  # noqa: E731
        assert torch.autograd.gradcheck(path, tangent, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(path, tangent)
    for function, size in ((matrix_from_quaternion, 4), (matrix_from_6d, 6), (matrix_from_euler, 3)):
        point = torch.randn(3, size, generator=generator, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(function, point, check_forward_ad=True)


def test_vee_inverts_hat(generator: torch.Generator) -> None:
    w, v = torch.randn(2, 5, 3, generator=generator)
    assert torch.equal(vee(hat(w)), w)
    torch.testing.assert_close((hat(w) @ v.unsqueeze(-1)).squeeze(-1), torch.linalg.cross(w, v))
