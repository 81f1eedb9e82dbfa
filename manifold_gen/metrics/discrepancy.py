"""Maximum mean discrepancy with the geodesic Gaussian kernel, and the value it has between two samples of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.metrics.base import Estimate, check_samples, jackknife_se, subsample
from manifold_gen.metrics.pairs import dist2_blocks

_ROUNDING = 64 * torch.finfo(torch.float64).eps


@torch.no_grad()
def mmd(
    manifold: Manifold, x: Tensor, y: Tensor, gamma: float = 1.0, *, maximum: int | None = None, seed: int = 0
) -> Estimate:
    r"""Maximum mean discrepancy between two samples, the biased V-statistic, all pairs and the diagonal in it:

    .. math:: \mathrm{MMD}^2 = \frac1{n^2}\sum_{ij} k(x_i, x_j) + \frac1{m^2}\sum_{ij} k(y_i, y_j)
              - \frac2{nm}\sum_{ij} k(x_i, y_j), \qquad k(x, y) = e^{-\gamma\, d(x, y)^2}

    and MMD = sign(MMD²) √|MMD²|. The kernel of the geodesic distance is not positive definite on spheres and tori, so
    MMD² can be negative (Feragen et al., CVPR 2015, 3032). Between equal distributions its mean is not 0 but about
    (1/n + 1/m) (1 − E k): print ``mmd_floor`` beside it.

    The error is the jackknife over the points of both samples, made from the sums of the kernel's rows. Where the
    distributions agree it is too large by about √2, as for every degenerate statistic.

    Args:
        manifold: whose geodesic distance d is taken.
        x, y: samples ``(n, *shape)`` and ``(m, *shape)``.
        gamma: inverse squared width of the kernel, per rad² or unit of length².
        maximum: use at most so many points of each, drawn without replacement; default: all.
        seed: of that draw.

    Raises:
        UsageError: wrong shapes, fewer than two points, or ``gamma`` not above 0.
        DataError: points that are not finite.

    Source: Gretton et al., JMLR 13, 2012, 723, equation 5.

    >>> from manifold_gen.manifolds import Torus
    >>> x = torch.linspace(-1, 1, 20).unsqueeze(1)
    >>> mmd(Torus(1), x, x).value
    0.0
    >>> far = mmd(Torus(1), torch.zeros(5, 1), torch.full((5, 1), 3.0))  # two point masses: √(2 − 2 exp(−9))
    >>> round(far.value, 5)
    1.41413
    """
    check_samples(manifold, 2, x=x, y=y)
    if not gamma > 0:
        raise UsageError(f"gamma must be above 0, got {gamma}")
    x, y = (subsample(s, maximum, seed).detach().to(torch.float64) for s in (x, y))
    of_x, of_y = _own_row_sums(manifold, x, gamma), _own_row_sums(manifold, y, gamma)
    x_with_y, y_with_x = _row_sums(manifold, x, y, gamma)
    total = (of_x.sum(), of_y.sum(), x_with_y.sum())
    n, m = len(x), len(y)
    value = _signed_root(*total, n, m)
    # Without point i its row and its column go, and k(xᵢ, xᵢ) = 1 was in both.
    without_x = _signed_root(total[0] - 2 * of_x + 1, total[1], total[2] - x_with_y, n - 1, m)
    without_y = _signed_root(total[0], total[1] - 2 * of_y + 1, total[2] - y_with_x, n, m - 1)
    return Estimate(float(value), jackknife_se(without_x, without_y))


def mmd_floor(
    manifold: Manifold,
    train: Tensor,
    test: Tensor,
    n: int | None = None,
    *,
    gamma: float = 1.0,
    maximum: int | None = None,
    seed: int = 0,
) -> Estimate:
    """``mmd`` between ``n`` training points (default: as many as test points) and the test points.

    What a perfect generator of ``n`` samples would show. The training points are drawn without replacement by ``seed``.

    Raises:
        UsageError: there are fewer training points than ``n``.
    """
    count = len(test) if n is None else n
    if len(train) < count:
        raise UsageError(f"the floor needs {count} training points, there are {len(train)}; choose a smaller n")
    return mmd(manifold, subsample(train, count, seed), test, gamma, maximum=maximum, seed=seed + 1)


def _row_sums(manifold: Manifold, x: Tensor, y: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Σⱼ k(xᵢ, yⱼ) for each i, and Σᵢ k(xᵢ, yⱼ) for each j."""
    of_x, of_y = x.new_zeros(len(x)), y.new_zeros(len(y))
    for rows, columns, squared in dist2_blocks(manifold, x, y):
        kernel = squared.mul_(-gamma).exp_()
        of_x[rows] += kernel.sum(1)
        of_y[columns] += kernel.sum(0)
    return of_x, of_y


def _own_row_sums(manifold: Manifold, x: Tensor, gamma: float) -> Tensor:
    """Σⱼ k(xᵢ, xⱼ) for each i, from the tiles on and above the diagonal."""
    sums = x.new_zeros(len(x))
    for rows, columns, squared in dist2_blocks(manifold, x, x, upper=True):
        kernel = squared.mul_(-gamma).exp_()
        sums[rows] += kernel.sum(1)
        if rows != columns:
            sums[columns] += kernel.sum(0)
    return sums


def _signed_root(xx: Tensor, yy: Tensor, xy: Tensor, n: int, m: int) -> Tensor:
    """sign(v) √|v| of v = xx/n² + yy/m² − 2 xy/(nm); what is below rounding counts as 0, or it would read 1e-8."""
    squared = xx / n**2 + yy / m**2 - 2 * xy / (n * m)
    squared = torch.where(squared.abs() <= _ROUNDING, 0.0, squared)
    return squared.sign() * squared.abs().sqrt()
