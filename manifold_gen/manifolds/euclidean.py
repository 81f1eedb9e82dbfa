"""Euclidean space."""

from __future__ import annotations

from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.flat import Flat
from manifold_gen.manifolds.heat.interface import as_times
from manifold_gen.manifolds.heat.wrapped import normal_log_density


class Euclidean(Flat):
    """Rⁿ with its usual metric: curvature 0, infinite volume, exp_x(u) = x + u.

    >>> import torch
    >>> space = Euclidean(3)
    >>> space.dist(space.origin(), torch.tensor([3.0, 0.0, 4.0]))
    tensor(5.)

    Args:
        n: dimension, at least 1.

    Raises:
        UsageError: ``n`` is below 1.
    """

    name = "euclidean"
    reversible = True

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"Euclidean needs a dimension of at least 1, got {n}")
        self.shape = (n,)
        self.dim = n
        self.spec = f"euclidean:{n}"

    def projx(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """x + u."""
        return x + u

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """y − x."""
        return y - x

    def heat_kernel(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """log N(y; x, t)."""
        return normal_log_density(y - x, as_times(t, x).unsqueeze(-1)).sum(-1)

    def heat_kernel_score(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """(x − y) / t."""
        return (x - y) / as_times(t, x).unsqueeze(-1)
