"""What nearest neighbours say: whether all of the data is reached, and whether two samples can be told apart."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.metrics.base import Estimate, check_samples, subsample
from manifold_gen.metrics.pairs import dist2_matrix

GROUPS = 20


def coverage(
    manifold: Manifold, samples: Tensor, reference: Tensor, neighbours: int = 5, *, maximum: int = 2000, seed: int = 0
) -> Estimate:
    r"""Share of reference points with a sample nearer than their k-th nearest other reference point.

    Between equal distributions all orders of the other n − 1 reference points and the m samples by distance are
    equally likely, so its expectation is known whatever the distribution and the manifold (``expected_coverage``).
    Samples far off are not seen by it; a missing mode is.

    Args:
        manifold: whose geodesic distance is taken.
        samples, reference: ``(m, *shape)`` generated points and ``(n, *shape)`` of the data.
        neighbours: k.
        maximum: use at most so many points of each, drawn without replacement.
        seed: of that draw and of the groups of the jackknife.

    Raises:
        UsageError: wrong shapes, or not more than ``neighbours`` reference points.
        DataError: points that are not finite.

    Source: Naeem et al., ICML 2020, equation 10.

    >>> from manifold_gen.manifolds import Torus
    >>> x = torch.linspace(-3, 3, 60).unsqueeze(1)
    >>> coverage(Torus(1), x, x).value, coverage(Torus(1), x[:30], x).value < 0.7
    (1.0, True)
    """
    return _from_balls(manifold, samples, reference, neighbours, maximum, seed, _covered)


def density(
    manifold: Manifold, samples: Tensor, reference: Tensor, neighbours: int = 5, *, maximum: int = 2000, seed: int = 0
) -> Estimate:
    r"""Mean over samples of the number of reference balls that hold them, divided by k.

    A ball reaches to the k-th nearest other reference point. The expectation between equal distributions is 1; samples
    off the data lower it, samples crowded in few modes raise it. Arguments and source as in ``coverage``.

    >>> from manifold_gen.manifolds import Torus
    >>> x = torch.linspace(-0.5, 0.5, 60).unsqueeze(1)
    >>> density(Torus(1), x + 3.0, x).value
    0.0
    """
    return _from_balls(manifold, samples, reference, neighbours, maximum, seed, _density)


def expected_coverage(samples: int, reference: int, neighbours: int = 5) -> float:
    r"""Expectation of ``coverage`` between equal continuous distributions: 1 − Π_{j<k} (n−1−j) / (n+m−1−j).

    >>> round(expected_coverage(1000, 1000), 3)
    0.969
    """
    n, m = reference, samples
    return 1 - math.prod((n - 1 - j) / (n + m - 1 - j) for j in range(neighbours))


@torch.no_grad()
def nearest_neighbour_accuracy(
    manifold: Manifold, x: Tensor, y: Tensor, *, maximum: int = 2000, seed: int = 0
) -> Estimate:
    r"""Share of points whose nearest other point is of their own sample: the leave-one-out 1-NN two-sample test.

    Both samples are cut to n = min(len(x), len(y), maximum) points, drawn without replacement. Between equal
    distributions the expectation is (n − 1) / (2n − 1); samples apart give 1, copies of each other 0. Equally near
    points of both samples count one half.

    Raises:
        UsageError: wrong shapes, or fewer than ``GROUPS`` points in a sample.
        DataError: points that are not finite.

    Source: Lopez-Paz and Oquab, ICLR 2017, section 3; Xu et al., arXiv 1806.07755.

    >>> from manifold_gen.manifolds import Torus
    >>> x = torch.linspace(0, 1, 40).unsqueeze(1)
    >>> nearest_neighbour_accuracy(Torus(1), x, x + 1.5).value
    1.0
    """
    check_samples(manifold, GROUPS, x=x, y=y)
    n = min(len(x), len(y), maximum)
    both = torch.cat([subsample(x, n, seed), subsample(y, n, seed + 1)])
    squared = dist2_matrix(manifold, both, both).fill_diagonal_(math.inf)

    def accuracy(kept: Tensor) -> float:
        own, other = [], []
        for mine, theirs in ((slice(n), slice(n, None)), (slice(n, None), slice(n))):
            own.append(_without(squared[mine, mine], kept[mine]).amin(1)[kept[mine]])
            other.append(_without(squared[mine, theirs], kept[theirs]).amin(1)[kept[mine]])
        near, far = torch.cat(own), torch.cat(other)
        return float((near < far).double().mean() + 0.5 * (near == far).double().mean())

    return _group_jackknife(accuracy, n, n, seed)


@torch.no_grad()
def _from_balls(
    manifold: Manifold,
    samples: Tensor,
    reference: Tensor,
    neighbours: int,
    maximum: int,
    seed: int,
    statistic: Callable[[Tensor, int], float],
) -> Estimate:
    if neighbours < 1:
        raise UsageError(f"neighbours must be at least 1, got {neighbours}")
    least = max(GROUPS, 2 * neighbours)
    check_samples(manifold, least, samples=samples, reference=reference)
    samples, reference = subsample(samples, maximum, seed), subsample(reference, maximum, seed + 1)
    between = dist2_matrix(manifold, reference, samples)
    among = dist2_matrix(manifold, reference, reference).fill_diagonal_(math.inf)
    n = len(reference)

    def value(kept: Tensor) -> float:
        balls = _without(among, kept[:n]).topk(neighbours, largest=False).values[:, -1:]
        return statistic((between < balls)[kept[:n]][:, kept[n:]], neighbours)

    return _group_jackknife(value, n, len(samples), seed)


def _covered(inside: Tensor, neighbours: int) -> float:
    return float(inside.any(1).double().mean())


def _density(inside: Tensor, neighbours: int) -> float:
    return float(inside.sum(0).double().mean()) / neighbours


def _without(squared: Tensor, kept: Tensor) -> Tensor:
    """The distances with infinity in the columns that are left out."""
    return squared if bool(kept.all()) else squared.masked_fill(~kept, math.inf)


def _group_jackknife(statistic: Callable[[Tensor], float], n: int, m: int, seed: int) -> Estimate:
    """The statistic of all points, with the jackknife that leaves out a twentieth of one sample at a time.

    Single points would not do: the statistic jumps where a nearest neighbour goes.
    """
    total = torch.ones(n + m, dtype=torch.bool)
    variance = 0.0
    for start, size, counter in ((0, n, 0), (n, m, 1)):
        order = start + torch.randperm(size, generator=seeds.generator(seed, counter))
        values = []
        for group in order.tensor_split(GROUPS):
            kept = total.clone()
            kept[group] = False
            values.append(statistic(kept))
        variance += float(torch.tensor(values, dtype=torch.float64).var(correction=0)) * (GROUPS - 1)
    return Estimate(statistic(total), math.sqrt(variance))
