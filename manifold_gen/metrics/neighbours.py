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

PARTS, CUTS = 10, 5


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
        seed: of that draw and of the parts that give the error.

    Raises:
        UsageError: wrong shapes, or fewer than 2 · ``PARTS`` · ``neighbours`` points in a sample.
        DataError: points that are not finite.

    Source: Naeem et al., ICML 2020, equation 10.

    >>> from manifold_gen.manifolds import Torus
    >>> x = torch.linspace(-3, 3, 100).unsqueeze(1)
    >>> coverage(Torus(1), x, x).value, coverage(Torus(1), x[:50].repeat(2, 1), x).value < 0.7
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
    >>> x = torch.linspace(-0.5, 0.5, 100).unsqueeze(1)
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
        UsageError: wrong shapes, or fewer than 2 · ``PARTS`` points in a sample.
        DataError: points that are not finite.

    Source: Lopez-Paz and Oquab, ICLR 2017, section 3; Xu et al., arXiv 1806.07755.

    >>> from manifold_gen.manifolds import Torus
    >>> x = torch.linspace(0, 1, 40).unsqueeze(1)
    >>> nearest_neighbour_accuracy(Torus(1), x, x + 1.5).value
    1.0
    """
    check_samples(manifold, 2 * PARTS, x=x, y=y)
    n = min(len(x), len(y), maximum)
    x, y = subsample(x, n, seed), subsample(y, n, seed + 1)
    of_x, of_y = (dist2_matrix(manifold, s, s).fill_diagonal_(math.inf) for s in (x, y))
    between = dist2_matrix(manifold, x, y)

    def accuracy(i: Tensor, j: Tensor) -> float:
        across = between[i][:, j]
        own = torch.cat([of_x[i][:, i].amin(1), of_y[j][:, j].amin(1)])
        other = torch.cat([across.amin(1), across.amin(0)])
        return float((own < other).double().mean() + 0.5 * (own == other).double().mean())

    return _by_parts(accuracy, n, n, seed)


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
    check_samples(manifold, 2 * PARTS * neighbours, samples=samples, reference=reference)
    samples, reference = subsample(samples, maximum, seed), subsample(reference, maximum, seed + 1)
    between = dist2_matrix(manifold, reference, samples)
    among = dist2_matrix(manifold, reference, reference).fill_diagonal_(math.inf)

    def value(i: Tensor, j: Tensor) -> float:
        balls = among[i][:, i].topk(neighbours, largest=False).values[:, -1:]
        return statistic(between[i][:, j] < balls, neighbours)

    return _by_parts(value, len(reference), len(samples), seed)


def _covered(inside: Tensor, neighbours: int) -> float:
    return float(inside.any(1).double().mean())


def _density(inside: Tensor, neighbours: int) -> float:
    return float(inside.sum(0).double().mean()) / neighbours


def _by_parts(statistic: Callable[[Tensor, Tensor], float], n: int, m: int, seed: int) -> Estimate:
    """The statistic of all rows, with the error from its spread over disjoint tenths of both samples.

    What counts neighbours sees the sample at the scale of its spacing alone, so N times its variance is nearly the same
    for a tenth as for the whole, whereas its mean need not be. The spread is averaged over several ways to cut. (The
    jackknife was found half as large again: to leave out a point changes the neighbours of others.)
    """
    variances = []
    for cut in range(CUTS):
        rows = torch.randperm(n, generator=seeds.generator(seed, 0, cut)).tensor_split(PARTS)
        columns = torch.randperm(m, generator=seeds.generator(seed, 1, cut)).tensor_split(PARTS)
        values = [statistic(i, j) for i, j in zip(rows, columns, strict=True)]
        variances.append(torch.tensor(values, dtype=torch.float64).var())
    error = math.sqrt(float(torch.stack(variances).mean()) / PARTS)
    return Estimate(statistic(torch.arange(n), torch.arange(m)), error)
