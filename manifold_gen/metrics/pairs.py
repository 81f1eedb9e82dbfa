"""Geodesic distances between all points of two samples, in blocks that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold

BLOCK = 256


def dist2_blocks(
    manifold: Manifold, x: Tensor, y: Tensor, *, upper: bool = False, block: int = BLOCK
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances d²(xᵢ, yⱼ) tile by tile: the rows, the columns and ``(rows, columns)`` values.

    With ``upper``, of a sample with itself, the tiles below the diagonal are left out: they are those above, turned.
    """
    for i in range(0, len(x), block):
        rows = slice(i, min(i + block, len(x)))
        for j in range(i if upper else 0, len(y), block):
            columns = slice(j, min(j + block, len(y)))
            yield rows, columns, manifold.dist2_matrix(x[rows], y[columns])


def dist2_matrix(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """All squared distances ``(len(x), len(y))`` in double precision.

    >>> from manifold_gen.manifolds import Torus
    >>> dist2_matrix(Torus(1), torch.tensor([[0.0]]), torch.tensor([[1.0], [2.0]]))
    tensor([[1., 4.]], dtype=torch.float64)
    """
    x, y = x.detach().to(torch.float64), y.detach().to(torch.float64)
    out = x.new_empty(len(x), len(y))
    for rows, columns, squared in dist2_blocks(manifold, x, y):
        out[rows, columns] = squared
    return out
