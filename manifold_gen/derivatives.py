r"""Derivatives along one direction without forward-mode differentiation.

``torch.func.jvp`` pays a fixed price for every operation that joins a moving and a resting operand, which is most of a
geometric formula and many times the operation itself at the sizes of a training batch. The same derivative is that of
the pullback with respect to its cotangent, since :math:`c \mapsto J^\top c` is linear: two reverse passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def derivative_along(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], tangents: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """``function(*inputs)`` and its derivative where the inputs move along ``tangents``, both differentiable.

    Example:
        >>> y, dy = derivative_along(torch.sin, [torch.zeros(1)], [torch.full((1,), 3.0)])
        >>> dy.detach()
        tensor([3.])
    """
    with torch.enable_grad():
        points = [x if x.requires_grad else x.detach().requires_grad_() for x in inputs]
        y = function(*points)
        cotangent = torch.zeros_like(y, requires_grad=True)
        pulled = torch.autograd.grad(y, points, cotangent, create_graph=True)
        (along,) = torch.autograd.grad(pulled, cotangent, list(tangents), create_graph=True)
    return y, along
