"""Noise and clouds joined so that the paths between them are short."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.assignment import assignment


def paired(z: Tensor, x: Tensor, position_dim: int) -> Tensor:
    """``z`` with its points reordered and its positions turned so that they lie near those of ``x``.

    Order by the Hungarian algorithm, orientation by Kabsch's, order once more: the sum of squared distances never
    grows. The law of ``z`` alone does not change, for it has no preferred order or orientation.

    Args:
        z, x: clouds ``(b, n, p + k)``, centred.
        position_dim: p.

    Example:
        >>> x = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
        >>> paired(torch.tensor([[[0.0, -2.0], [0.0, 2.0]]]), x, 2).abs().round()
        tensor([[[2., 0.],
                 [2., 0.]]])
    """
    if len(z) == 0:
        return z
    with torch.autocast(z.device.type, enabled=False):  # positions stay as precise as they are
        z = _reordered(z, x, position_dim)
        turned = z[..., :position_dim] @ kabsch(z[..., :position_dim], x[..., :position_dim])
        return _reordered(torch.cat([turned, z[..., position_dim:]], -1), x, position_dim)


def kabsch(z: Tensor, x: Tensor) -> Tensor:
    """Orthogonal matrices R ``(b, p, p)``, reflections included, for which |zR − x| is smallest; both centred."""
    left, _, right = torch.linalg.svd(z.mT @ x)
    return left @ right


def _reordered(z: Tensor, x: Tensor, position_dim: int) -> Tensor:
    index = assignment(x[..., :position_dim] @ z[..., :position_dim].mT).unsqueeze(-1)
    return z.gather(1, index.expand_as(z))
