"""Numbers of a whole cloud that no rotation, reflection, translation or permutation of its points changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from manifold_gen.networks.egnn import EGNN

TYPICAL = 16.0  # the sum over the points enters divided by this, so that it is of the size of the mean


class InvariantNetwork(nn.Module):
    r"""(positions, features) ↦ numbers of the cloud: what an ``EGNN`` finds at the points, pooled.

    .. math:: y = W' \sigma\Big(W \sigma\Big[\tfrac1n \sum_i h_i,\ \tfrac1{16} \sum_i h_i\Big]\Big)

    The mean tells of what is the same in a large and a small cloud, the sum of what grows with it.

    Args:
        position_dim: p, dimension of the space of the positions.
        in_features: f, invariant numbers that a point has; may be 0.
        outputs: c, numbers that the cloud gets.
        width, pair_width, depth, distance_features: of the ``EGNN``.

    Example:
        >>> network = InvariantNetwork(3, 5, 2, width=16, pair_width=8, depth=2)
        >>> network(torch.randn(4, 7, 3), torch.ones(4, 7, 5)).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        position_dim: int,
        in_features: int,
        outputs: int,
        *,
        width: int = 64,
        pair_width: int = 32,
        depth: int = 4,
        distance_features: int = 16,
    ) -> None:
        super().__init__()
        self.points = EGNN(
            position_dim, in_features, width,
            width=width, pair_width=pair_width, depth=depth, distance_features=distance_features,
        )  # fmt: skip
        # where the last layer moves the points to is seen by nobody
        last = self.points.layers[-1]
        for parameter in (last.reach, *last.pull.parameters()):
            parameter.requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, outputs))

    def forward(self, positions: Tensor, features: Tensor) -> Tensor:
        """``(*batch, c)`` of positions ``(*batch, n, p)`` and features ``(*batch, n, f)``."""
        found = F.silu(self.points(positions, features)[1])
        return self.head(torch.cat([found.mean(-2), found.sum(-2) / TYPICAL], -1))
