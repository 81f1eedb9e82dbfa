"""A number with its standard error, and the ways to find one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.base import Manifold


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error.

    >>> str(Estimate(0.25, 0.0125)), str(Estimate(0.25, math.nan))
    ('0.25 ± 0.013', '0.25')

    Attributes:
        value: the estimate.
        se: its standard error; NaN where the sample is too small for one.
    """

    value: float
    se: float

    def to_dict(self) -> dict[str, float | None]:
        """``{"value": …, "se": …}``, with ``None`` for an error that is not known: JSON has no word for NaN."""
        return {"value": self.value, "se": None if math.isnan(self.se) else self.se}

    def __str__(self) -> str:
        return f"{self.value:.4g}" if math.isnan(self.se) else f"{self.value:.4g} ± {self.se:.2g}"


def mean_estimate(values: Tensor) -> Estimate:
    """Mean of independent values ``(N,)`` and s / √N.

    >>> mean_estimate(torch.tensor([1.0, 2.0, 3.0, 4.0])).value
    2.5
    """
    values = values.to(torch.float64)
    if len(values) < 2:
        return Estimate(float(values.mean()), math.nan)
    return Estimate(float(values.mean()), float(values.std() / math.sqrt(len(values))))


def share_estimate(hits: Tensor) -> Estimate:
    """Share of true entries ``(N,)`` with the Agresti–Coull error, which is not 0 at a share of 0 or 1.

    >>> share_estimate(torch.tensor([True, True, True, False]))
    Estimate(value=0.75, se=0.1711632992203644)
    """
    count, true = hits.numel(), int(hits.sum())
    centre = (true + 2) / (count + 4)
    return Estimate(true / count, math.sqrt(centre * (1 - centre) / (count + 4)))


def jackknife_se(*left_out: Tensor) -> float:
    r"""Standard error from the values of a statistic with one point left out, one tensor ``(nₛ,)`` a sample s.

    .. math:: \mathrm{se}^2 = \sum_s \frac{n_s - 1}{n_s} \sum_i (\theta_{s,-i} - \bar\theta_s)^2

    Source: Efron and Stein, Ann. Stat. 9, 1981, 586; its expectation is not below the true variance to first order.

    >>> x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    >>> abs(jackknife_se((x.sum() - x) / 2) - float(x.std()) / 3**0.5) < 1e-12  # of a mean: s / √n
    True
    """
    return math.sqrt(sum(float(values.var(correction=0)) * (len(values) - 1) for values in left_out))


def bootstrap_se(statistic: Callable[[Tensor], float], count: int, *, repeats: int = 50, seed: int = 0) -> float:
    """Standard deviation of ``statistic(rows)`` over resamples ``rows`` of ``count`` indices drawn with replacement."""
    values = [
        statistic(torch.randint(count, (count,), generator=seeds.generator(seed, repeat))) for repeat in range(repeats)
    ]
    return float(torch.tensor(values, dtype=torch.float64).std())


def subsample(x: Tensor, most: int | None, seed: int) -> Tensor:
    """``most`` rows of ``x`` drawn without replacement; ``x`` itself where it has no more."""
    if most is None or len(x) <= most:
        return x
    return x[torch.randperm(len(x), generator=seeds.generator(seed))[:most].to(x.device)]


def check_samples(manifold: Manifold, least: int, **samples: Tensor) -> None:
    """Refuse samples of another shape, with too few points, or with coordinates that are not finite.

    Raises:
        UsageError: the shape of a sample is not ``(N, *manifold.shape)``, or N is below ``least``.
        DataError: a coordinate is not finite.
    """
    for name, x in samples.items():
        if x.dim() != 1 + len(manifold.shape) or tuple(x.shape[1:]) != tuple(manifold.shape):
            raise UsageError(f"{name} has shape {tuple(x.shape)}; expected (N, {', '.join(map(str, manifold.shape))})")
        if len(x) < least:
            raise UsageError(f"{name} holds {len(x)} points, needed at least {least}; draw more")
        finite = torch.isfinite(x).flatten(1).all(1)
        if not bool(finite.all()):
            raise DataError(
                f"{int((~finite).sum())} of the {len(x)} points of {name} are not finite, the first is row "
                f"{int((~finite).nonzero()[0])}; a metric of the others would hide them, remove them knowingly"
            )
