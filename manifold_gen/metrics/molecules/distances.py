r"""Distances of distributions on the line and over categories, of values that come in groups.

The bonds of one molecule are not independent draws, so errors count molecules. With φ the influence of one value on
the distance and :math:`D_c = \sum_{i \in c} (\varphi(x_i) - \bar\varphi)` its sum over group c, the variance that one
sample adds is :math:`\frac{C}{C - 1} \sum_c D_c^2 / N^2`, over C groups and N values. That is the limiting variance
where the distributions differ; where they agree, a distance of two samples is positive nevertheless, and its floor, the
distance of two true samples, says by how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.metrics.base import Estimate


@dataclass(frozen=True)
class Grouped:
    """Values ``(N,)`` and the group of each, integers ``(N,)``: bond lengths and their molecules."""

    values: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def where(self, keep: Tensor) -> Grouped:
        """The values at ``keep``."""
        return Grouped(self.values[keep], self.groups[keep])


def alone(values: Tensor) -> Grouped:
    """Values that are groups of one."""
    return Grouped(values, torch.arange(len(values)))


def transport_distance(x: Grouped, y: Grouped) -> Estimate:
    r"""Wasserstein-1 distance of two samples on the line, exact for samples of any two sizes, in the values' unit.

    .. math:: W_1 = \int |F(t) - G(t)|\, dt

    NaN where a sample is empty: there is nothing to carry.

    Source: Vallender, Theory Probab. Appl. 18 (1974), 784.

    >>> x = torch.tensor([0.0, 1.0, 2.0])
    >>> transport_distance(alone(x), alone(x + 0.25)).value
    0.25
    """
    if min(len(x), len(y)) == 0:
        return Estimate(math.nan, math.nan)
    first, second = x.values.to(torch.float64).contiguous(), y.values.to(torch.float64).contiguous()
    grid = torch.cat([first, second]).sort().values
    excess = _below(first, grid) - _below(second, grid)
    widths = grid.diff(append=grid[-1:])
    # The influence of a value at t is the integral of sign(F − G) from t on, with a sign for each sample.
    before = torch.cumsum(excess.sign() * widths, 0) - excess.sign() * widths
    parts = [
        _variance(before[torch.searchsorted(grid, values)], sample.groups)
        for values, sample in ((first, x), (second, y))
    ]
    return Estimate(float((excess.abs() * widths).sum()), math.sqrt(sum(parts)))


def total_variation(x: Grouped, y: Grouped) -> Estimate:
    r"""Half the summed difference of the shares of every category, :math:`\tfrac12 \sum_k |p_k - q_k|`, from 0 to 1.

    Categories are integers. NaN where a sample is empty.

    >>> total_variation(alone(torch.tensor([5, 5, 6, 6])), alone(torch.tensor([6, 6, 6, 7]))).value
    0.5
    """
    if min(len(x), len(y)) == 0:
        return Estimate(math.nan, math.nan)
    _, categories = torch.cat([x.values, y.values]).to(torch.int64).unique(return_inverse=True)
    parts = categories.split([len(x), len(y)])
    count = int(categories.max()) + 1
    shares = [torch.bincount(part, minlength=count) / torch.tensor(len(part), dtype=torch.float64) for part in parts]
    excess = shares[0] - shares[1]
    variance = sum(_variance(excess.sign()[part] / 2, s.groups) for part, s in zip(parts, (x, y), strict=True))
    return Estimate(float(excess.abs().sum() / 2), math.sqrt(variance))


def _below(values: Tensor, grid: Tensor) -> Tensor:
    """The empirical distribution function on the grid."""
    return torch.searchsorted(values.sort().values, grid, right=True) / torch.tensor(len(values), dtype=torch.float64)


def _variance(influence: Tensor, groups: Tensor) -> float:
    _, owner = groups.unique(return_inverse=True)
    count = int(owner.max()) + 1
    if count < 2:
        return math.nan
    sums = torch.zeros(count, dtype=torch.float64).index_add_(0, owner, influence - influence.mean())
    return float(sums.square().sum()) * count / (count - 1) / len(influence) ** 2
