"""The special orthogonal Procrustes projection: the rotation nearest to a 3×3 matrix.

R(a) = argmax over SO(3) of ⟨R, a⟩ is unique unless s₂ + s₃ = 0, where s₁ ≥ s₂ ≥ |s₃| are the singular values and s₃
has the sign of det a. The greatest ⟨R, a⟩ is λ = s₁ + s₂ + s₃, the largest root of the quartic

    (λ² − |a|²)² − 8 λ det a − 4 |cof a|² = 0,

and with κ = (λ² − |a|²) / 2 and ζ = κ λ − det a the rotation is ((κ + |a|²) a + λ cof a − a aᵀ a) / ζ (Markley,
"Attitude determination using vector observations: a fast optimal matrix algorithm", J. Astronaut. Sci. 41, 1993). The
quartic is solved by trigonometry and one step of Laguerre; one Newton step on the group then removes the amplified
rounding. What is still not stationary and best, a few of a million matrices, is decomposed, and so are small batches.
Autograd through a singular value decomposition would divide by s₁ − s₂, which is zero at every rotation; the derivative
here divides by s₂ + s₃ alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_FEW = 9 * 128  # numbers in a batch so small that a hundred tensor operations cost more than its decompositions


def nearest_rotation(a: Tensor) -> Tensor:
    """The rotation nearest to ``a`` in the Frobenius norm: determinant +1 also where ``a`` is nearer to a reflection.

    Differentiable to every order, in forward and reverse mode and under ``torch.func``, with finite derivatives at
    every rotation. Where several rotations are equally near (a reflection, a matrix of rank one), one of them comes
    back and the derivative is not defined.

    Args:
        a: matrices ``(*batch, 3, 3)``.

    Example:
        >>> r = nearest_rotation(torch.tensor([[0.0, -2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.1]]))
        >>> r.round(decimals=4) + 0.0
        tensor([[ 0., -1.,  0.],
                [ 1.,  0.,  0.],
                [ 0.,  0.,  1.]])
    """
    return _NearestRotation.apply(a)


class _NearestRotation(torch.autograd.Function):
    """The projection; its derivative is written in differentiable operations, so higher orders follow."""

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and a.is_cpu and 0 < a.numel() <= _FEW and bool(torch.isfinite(a).all()):
            return _decomposed(a)
        rotation, suspect = _closed_form(a)
        if torch.compiler.is_compiling() or not bool(suspect.any()):
            return rotation
        rotation[suspect] = _decomposed(a[suspect])
        return rotation

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _derivative(*ctx.saved_tensors, grad)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return _derivative(*ctx.saved_tensors, tangent)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None], a: Tensor) -> tuple[Tensor, int]:
        return _NearestRotation.apply(a.movedim(in_dims[0], 0)), 0


def _derivative(a: Tensor, rotation: Tensor, v: Tensor) -> Tensor:
    """The derivative of the projection at ``a`` along ``v``; it is self-adjoint, so it serves both modes.

    It is φ × R (column by column) with (tr S·I − S) φ = Σ_c r_c × v_c, where S = a Rᵀ is symmetric.
    """
    s = a @ rotation.mT
    eye = torch.eye(3, dtype=a.dtype, device=a.device)
    m = s.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] * eye - s
    adjugate = torch.linalg.cross(m.roll(-1, -2), m.roll(-2, -2), dim=-1)
    det = (m[..., 0, :] * adjugate[..., 0, :]).sum(-1, keepdim=True)
    moment = torch.linalg.cross(rotation, v, dim=-2).sum(-1)
    angle = (adjugate * moment.unsqueeze(-2)).sum(-1) / det
    return torch.linalg.cross(angle.unsqueeze(-1).expand_as(rotation), rotation, dim=-2)


def _closed_form(a: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest rotations, and where they failed to be stationary or best (near-ties of several rotations)."""
    scale = a.abs().amax((-2, -1))
    a = a / torch.where(scale > 0, scale, 1.0)[..., None, None]
    a, cube = torch.stack([a, a @ (a.mT @ a)]).movedim((-2, -1), (1, 2)).contiguous()  # batch last: long inner loops
    twice = torch.cat([a, a])
    cofactor = torch.linalg.cross(twice[1:4], twice[2:5], dim=1)
    det = (a[0] * cofactor[0]).sum(0)
    square = a.square().sum((0, 1))
    top = _largest_root(det, cofactor.square().sum((0, 1)), square)
    kappa = 0.5 * (top * top - square)
    rotation = _orthonormalised((kappa + square) * a + top * cofactor - cube)
    tiny = torch.finfo(a.dtype).tiny ** 0.5
    moment = torch.linalg.cross(rotation, a, dim=0).sum(1)
    turn = (a * (a * moment.unsqueeze(1)).sum(0)).sum(1) + kappa * moment
    turn = turn / (kappa * top - det).clamp_min(tiny)
    turn = turn / turn.abs().amax(0).clamp_min(1.0)
    rotation = _orthonormalised(rotation + torch.linalg.cross(turn.unsqueeze(1).expand_as(a), rotation, dim=0))
    product = rotation * a
    residual = torch.linalg.cross(rotation, a, dim=0).sum(1).abs().amax(0)
    good = (residual < 32 * torch.finfo(a.dtype).eps) & (product.sum((0, 1)) > 0.9 * top)
    return rotation.movedim((0, 1), (-2, -1)).contiguous(), torch.isfinite(scale) & ~good


def _largest_root(det: Tensor, minors: Tensor, square: Tensor) -> Tensor:
    """Largest root of (λ² − square)² − 8 det λ − 4 minors: the sum of the singular values, the last one signed."""
    spread = (square * square - 3 * minors).clamp_min(0).sqrt() / 3
    cosine = (square * (2 * square * square - 9 * minors) + 27 * det * det) / 54
    tiny = torch.finfo(det.dtype).tiny
    angle = torch.acos((cosine / (spread**3).clamp_min(tiny)).clamp(-1, 1)) / 3
    third = 2 * math.pi / 3
    angles = torch.stack([angle, angle - third, angle + third])
    values = (square / 3 + 2 * spread * torch.cos(angles)).clamp_min(0).sqrt()
    root = values.sum(0) - 2 * torch.where(det < 0, values[2], 0.0)
    half = root * root - square
    value = half * half - 8 * det * root - 4 * minors
    slope = 4 * (half * root - 2 * det)
    bend = 12 * root * root - 4 * square
    discriminant = (9 * slope * slope - 12 * value * bend).clamp_min(0).sqrt()
    return root - 4 * value / (slope + discriminant).clamp_min(tiny)


def _orthonormalised(b: Tensor) -> Tensor:
    """The rotation that Gram and Schmidt make of the first two rows of ``(3, 3, *batch)``."""
    first = b[0] / b[0].square().sum(0).sqrt()
    third = torch.linalg.cross(first, b[1], dim=0)
    third = third / third.square().sum(0).sqrt()
    return torch.stack([first, torch.linalg.cross(third, first, dim=0), third])


def _decomposed(a: Tensor) -> Tensor:
    """The same by singular values: slower, but right for every finite matrix."""
    u, _, vh = torch.linalg.svd(a)
    product = u @ vh
    sign = (torch.linalg.cross(product[..., 0, :], product[..., 1, :]) * product[..., 2, :]).sum(-1).round()
    return torch.cat([u[..., :2], u[..., 2:] * sign[..., None, None]], -1) @ vh
