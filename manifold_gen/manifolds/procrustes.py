"""The special orthogonal Procrustes projection: the rotation nearest to a 3×3 matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def nearest_rotation(a: Tensor) -> Tensor:
    """argmax over R in SO(3) of tr(Rᵀ a), the rotation nearest to ``a`` in the Frobenius norm, ``(*batch, 3, 3)``."""
    return _NearestRotation.apply(a)


class _NearestRotation(torch.autograd.Function):
    """The projection with its own derivative, finite wherever the nearest rotation is unique."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        u, _, vh = torch.linalg.svd(a)
        sign = torch.linalg.det(u @ vh)
        return torch.cat([u[..., :2], u[..., 2:] * sign[..., None, None]], -1) @ vh

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


def _derivative(a: Tensor, rotation: Tensor, v: Tensor) -> Tensor:
    """The derivative of the projection at ``a`` along ``v``; it is self-adjoint, so it is its own transpose.

    R = φ × R with (tr S·I − S) φ = Σ_c r_c × v_c, where S = a Rᵀ is symmetric and r_c, v_c are columns.
    """
    s = a @ rotation.mT
    eye = torch.eye(3, dtype=a.dtype, device=a.device)
    m = s.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] * eye - s
    adjugate = torch.linalg.cross(m.roll(-1, -2), m.roll(-2, -2), dim=-1)
    det = (m[..., 0, :] * adjugate[..., 0, :]).sum(-1, keepdim=True)
    moment = torch.linalg.cross(rotation, v, dim=-2).sum(-1)
    angle = (adjugate * moment.unsqueeze(-2)).sum(-1) / det
    return torch.linalg.cross(angle.unsqueeze(-1).expand_as(rotation), rotation, dim=-2)
