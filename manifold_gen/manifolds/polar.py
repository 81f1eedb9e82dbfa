"""The polar factor of a matrix of any shape: the nearest matrix with orthonormal columns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def polar(a: Tensor) -> Tensor:
    """The matrix R with RᵀR = I nearest to ``a``, ``(*batch, n, k)`` with n ≥ k.

    Differentiable to every order wherever ``a`` has full column rank, repeated singular values included.

    Example:
        >>> polar(torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
        tensor([[1., 0.],
                [0., 1.],
                [0., 0.]])
    """
    return _Polar.apply(a, False)


def special_polar(a: Tensor) -> Tensor:
    """The rotation nearest to a square matrix ``(*batch, n, n)``: the polar factor among those of determinant +1."""
    return _Polar.apply(a, True)


class _Polar(torch.autograd.Function):
    """Value by singular values, derivative by a Sylvester equation in the symmetric factor S = Rᵀa."""

    @staticmethod
    def forward(a: Tensor, special: bool) -> Tensor:
        u, _, vh = torch.linalg.svd(a, full_matrices=False)
        if special:
            sign = torch.linalg.det(u @ vh).round()
            u = torch.cat([u[..., :-1], u[..., -1:] * sign[..., None, None]], -1)
        return u @ vh

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _derivative(*ctx.saved_tensors, grad), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return _derivative(*ctx.saved_tensors, tangent)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, None], a: Tensor, special: bool) -> tuple[Tensor, int]:
        return _Polar.apply(a.movedim(in_dims[0], 0), special), 0


def _derivative(a: Tensor, r: Tensor, v: Tensor) -> Tensor:
    """R Ω + (I − RRᵀ) v S⁻¹ with Ω S + S Ω = Rᵀv − vᵀR; self-adjoint, so it serves both modes."""
    k = a.shape[-1]
    s = r.mT @ a
    along = r.mT @ v
    eye = torch.eye(k, dtype=a.dtype, device=a.device)
    sylvester = torch.einsum("ij,...kl->...ikjl", eye, s.mT) + torch.einsum("...ij,kl->...ikjl", s, eye)
    right = (along - along.mT).flatten(-2)
    turn = torch.linalg.solve(sylvester.flatten(-2).flatten(-3, -2), right).unflatten(-1, (k, k))
    return r @ turn + torch.linalg.solve(s, v - r @ along, left=False)
