"""Conversions between the usual ways to write a rotation; differentiable, right near angle 0 and near π."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.numerics import angle_over_sine, cos_sqrt, safe_sqrt, sinc_sqrt, wrap_angle


def hat(w: Tensor) -> Tensor:
    """The skew matrix of a vector: ``hat(w) @ v = w × v``, ``(*batch, 3)`` to ``(*batch, 3, 3)``."""
    x, y, z = w.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def vee(m: Tensor) -> Tensor:
    """The vector of the skew part of a matrix, ``(*batch, 3, 3)`` to ``(*batch, 3)``; inverse of ``hat``."""
    return 0.5 * _axial(m)


def matrix_from_quaternion(q: Tensor) -> Tensor:
    """Rotation matrix of a quaternion ``(w, x, y, z)``, normalised first: ``(*batch, 4)`` to ``(*batch, 3, 3)``."""
    q = q / torch.linalg.vector_norm(q, dim=-1, keepdim=True)
    w, v = q[..., :1], q[..., 1:]
    return _rotation(2 * w * v, v)


def quaternion_from_matrix(matrix: Tensor) -> Tensor:
    """Unit quaternion ``(w, x, y, z)`` with w ≥ 0 of a rotation matrix: ``(*batch, 3, 3)`` to ``(*batch, 4)``."""
    eye = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    return quaternion_from_displacement(matrix - eye)


def quaternion_from_displacement(e: Tensor) -> Tensor:
    """Unit quaternion with w ≥ 0 of the rotation I + e; accurate relative to its angle however small that is.

    The symmetric 4×4 matrix 4 q qᵀ is linear in e; the row with the largest diagonal entry, normalised, is ±q.
    """
    diagonal = e.diagonal(dim1=-2, dim2=-1)
    trace = diagonal.sum(-1, keepdim=True)
    skew, pairs = _axial(e), e + e.mT
    top = torch.cat([4 + trace, skew], -1)
    inner = torch.diag_embed(-trace.expand_as(diagonal)) + pairs
    outer = torch.cat([top.unsqueeze(-2), torch.cat([skew.unsqueeze(-1), inner], -1)], -2)
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1, keepdim=True)
    row = torch.take_along_dim(outer, largest.unsqueeze(-1), -2).squeeze(-2)
    row = torch.where(row[..., :1] < 0, -row, row)
    return row / torch.linalg.vector_norm(row, dim=-1, keepdim=True)


def matrix_from_axis_angle(w: Tensor) -> Tensor:
    """Rotation matrix exp(hat(w)) of a rotation vector, axis times angle in radians: ``(*batch, 3)``.

    Value and derivatives keep full precision at every angle, zero included.

    Example:
        >>> import math
        >>> matrix_from_axis_angle(torch.tensor([0.0, 0.0, math.pi / 2])).round() + 0.0
        tensor([[ 0., -1.,  0.],
                [ 1.,  0.,  0.],
                [ 0.,  0.,  1.]])
    """
    quarter = (w * w).sum(-1, keepdim=True) / 4
    v = 0.5 * sinc_sqrt(quarter) * w
    return _rotation(2 * cos_sqrt(quarter) * v, v)


def axis_angle_from_matrix(matrix: Tensor) -> Tensor:
    """Rotation vector of length at most π of a rotation matrix: ``(*batch, 3, 3)`` to ``(*batch, 3)``."""
    return axis_angle_from_quaternion(quaternion_from_matrix(matrix))


def axis_angle_from_quaternion(q: Tensor) -> Tensor:
    """Rotation vector 2 atan2(|v|, w) v/|v| of a unit quaternion with w ≥ 0: ``(*batch, 4)`` to ``(*batch, 3)``."""
    w, v = q[..., :1], q[..., 1:]
    return 2 * v * angle_over_sine((v * v).sum(-1, keepdim=True), w)


def matrix_from_euler(angles: Tensor, convention: str = "ZYX") -> Tensor:
    """Rotation matrix of three Euler angles in radians, ``(*batch, 3)`` to ``(*batch, 3, 3)``.

    Capital letters turn about the moving axes, R = R_Z(a) R_Y(b) R_X(c) for ``"ZYX"``; small ones about the fixed axes,
    in the order in which they are written. Neighbouring letters must differ.

    Raises:
        UsageError: for a convention that is not three letters of XYZ or xyz.
    """
    axes, moving = _axes(convention)
    first, second, third = (_about(axis, angles[..., i]) for i, axis in enumerate(axes))
    return first @ second @ third if moving else third @ second @ first


def euler_from_matrix(matrix: Tensor, convention: str = "ZYX") -> Tensor:
    """Euler angles in radians of rotation matrices, ``(*batch, 3, 3)`` to ``(*batch, 3)``; see ``matrix_from_euler``.

    The middle angle lies in [0, π] where first and last letter agree, else in [−π/2, π/2]. In gimbal lock, where only a
    sum of the outer angles is defined, the last angle is 0. Method: Bernardes and Viollet, PLOS ONE 17(11), 2022.

    Example:
        >>> euler_from_matrix(matrix_from_euler(torch.tensor([0.1, -0.2, 0.3]), "XYZ"), "XYZ")
        tensor([ 0.1000, -0.2000,  0.3000])
    """
    axes, moving = _axes(convention)
    i, j, k = axes[::-1] if moving else axes
    proper = i == k
    k = 3 - i - j if proper else k
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    q = quaternion_from_matrix(matrix)
    a, b, c, d = q[..., 0], q[..., 1 + i], q[..., 1 + j], sign * q[..., 1 + k]
    if not proper:
        a, b, c, d = a - c, b + d, c + a, d - b
    low, high = safe_sqrt(c * c + d * d), safe_sqrt(a * a + b * b)
    tiny = 4 * torch.finfo(q.dtype).eps
    locked_low, locked_high = low < tiny, high < tiny
    total = torch.atan2(torch.where(locked_high, 0.0, b), torch.where(locked_high, 1.0, a))
    apart = torch.atan2(torch.where(locked_low, 0.0, d), torch.where(locked_low, 1.0, c))
    last = 1.0 if moving else -1.0
    total, apart = torch.where(locked_high, last * apart, total), torch.where(locked_low, last * total, apart)
    middle = 2 * torch.atan2(low, high) - (0.0 if proper else math.pi / 2)
    one, three = total - apart, (total + apart) * (1.0 if proper else sign)
    angles = torch.stack([three, middle, one] if moving else [one, middle, three], -1)
    return wrap_angle(angles)


def matrix_from_6d(rows: Tensor) -> Tensor:
    """Rotation matrix from six numbers, its first two rows before orthonormalisation: ``(*batch, 6)``.

    Gram and Schmidt make the rows orthonormal (Zhou et al., CVPR 2019; rows as in pytorch3d).
    """
    a, b = rows.unflatten(-1, (2, 3)).unbind(-2)
    first = a / torch.linalg.vector_norm(a, dim=-1, keepdim=True)
    rest = b - (first * b).sum(-1, keepdim=True) * first
    second = rest / torch.linalg.vector_norm(rest, dim=-1, keepdim=True)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -2)


def sixd_from_matrix(matrix: Tensor) -> Tensor:
    """The first two rows of a rotation matrix as six numbers: ``(*batch, 3, 3)`` to ``(*batch, 6)``."""
    return matrix[..., :2, :].flatten(-2)


def _axes(convention: str) -> tuple[tuple[int, int, int], bool]:
    letters = convention.upper()
    one_case = convention in (letters, convention.lower())
    if len(letters) != 3 or set(letters) - set("XYZ") or not one_case or letters[1] in (letters[0], letters[2]):
        raise UsageError(
            f"Euler convention {convention!r}: expected three letters such as 'ZYX' (moving) or 'zyx' (fixed)"
        )
    first, second, third = ("XYZ".index(letter) for letter in letters)
    return (first, second, third), convention == letters


def _about(axis: int, angle: Tensor) -> Tensor:
    """Rotation by ``angle`` about one coordinate axis."""
    cosine, sine, one, zero = torch.cos(angle), torch.sin(angle), torch.ones_like(angle), torch.zeros_like(angle)
    plane = torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], -1).unflatten(-1, (3, 3))
    return plane.roll((axis, axis), (-2, -1))


def _rotation(linear: Tensor, v: Tensor) -> Tensor:
    """I + hat(linear) + 2 hat(v)²."""
    square = v * v
    total = square.sum(-1, keepdim=True)
    x, y, z = v.unbind(-1)
    a, b, c = linear.unbind(-1)
    xx, yy, zz = (1 - 2 * (total - square)).unbind(-1)
    xy, yz, zx = 2 * x * y, 2 * y * z, 2 * z * x
    return torch.stack([xx, xy - c, zx + b, xy + c, yy, yz - a, zx - b, yz + a, zz], -1).unflatten(-1, (3, 3))


def _axial(m: Tensor) -> Tensor:
    return torch.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1)
