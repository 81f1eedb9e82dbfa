"""Conversions between the usual ways to write a rotation; differentiable, right near angle 0 and near π."""

from __future__ import annotations

import torch
from torch import Tensor


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
    """Rotation matrix exp(hat(w)) of a rotation vector (axis times angle, radians): ``(*batch, 3)``."""
    square = (w * w).sum(-1, keepdim=True) / 4
    small = square < 1
    safe = torch.where(small, 1.0, square)
    half = torch.sqrt(safe)
    series = _horner(torch.where(small, square, 0.0), _SINC)
    sinc = torch.where(small, series, torch.sin(half) / half)
    cos = torch.where(small, _horner(torch.where(small, square, 0.0), _COS), torch.cos(half))
    v = 0.5 * sinc * w
    return _rotation(2 * cos * v, v)


def axis_angle_from_matrix(matrix: Tensor) -> Tensor:
    """Rotation vector of length at most π of a rotation matrix: ``(*batch, 3, 3)`` to ``(*batch, 3)``."""
    return axis_angle_from_quaternion(quaternion_from_matrix(matrix))


def axis_angle_from_quaternion(q: Tensor) -> Tensor:
    """Rotation vector 2 atan2(|v|, w) v/|v| of a unit quaternion with w ≥ 0: ``(*batch, 4)`` to ``(*batch, 3)``."""
    w, v = q[..., :1], q[..., 1:]
    square = (v * v).sum(-1, keepdim=True)
    small = square < 1e-2 * w * w
    length = torch.sqrt(torch.where(small, 1.0, square))
    cos = torch.where(small, w, 1.0)
    series = _horner(torch.where(small, square, 0.0) / (cos * cos), _ATAN) / cos
    return 2 * v * torch.where(small, series, torch.atan2(length, w) / length)


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
    return torch.stack(
        [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1
    )


def _horner(x: Tensor, coefficients: list[float]) -> Tensor:
    value = torch.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = value * x + c
    return value


def _alternating(offset: int, count: int = 11) -> list[float]:
    """Coefficients (−1)^k / (2k + offset)! of sin(√s)/√s (offset 1) and cos(√s) (offset 0)."""
    terms = [1.0]
    for k in range(1, count):
        terms.append(-terms[-1] / ((2 * k + offset) * (2 * k + offset - 1)))
    return terms


_SINC = _alternating(1)
_COS = _alternating(0)
_ATAN = [(-1.0) ** k / (2 * k + 1) for k in range(9)]
