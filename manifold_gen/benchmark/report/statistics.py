"""Means over seeds, differences paired by seed, and which rows of a column are best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from manifold_gen.benchmark.report.results import Pair

ERRORS = 2.0  # standard errors within which two values are not told apart


@dataclass(frozen=True)
class Summary:
    """Values over seeds.

    Attributes:
        sd: sample standard deviation over seeds, ``None`` for one seed.
        se: standard error of the mean: from the deviation over seeds, for one seed the value's own.
    """

    mean: float
    sd: float | None
    se: float
    count: int


def summarise(pairs: Mapping[int, Pair]) -> Summary | None:
    """Mean and deviation over seeds.

    Example:
        >>> summarise({0: (1.0, 0.1), 1: (3.0, 0.1)})
        Summary(mean=2.0, sd=1.4142135623730951, se=1.0, count=2)
        >>> summarise({0: (1.0, 0.1)})
        Summary(mean=1.0, sd=None, se=0.1, count=1)
    """
    values = [value for value, _ in pairs.values()]
    if not values:
        return None
    if len(values) == 1:
        return Summary(values[0], None, next(iter(pairs.values()))[1], 1)
    sd = statistics.stdev(values)
    return Summary(statistics.fmean(values), sd, sd / math.sqrt(len(values)), len(values))


def difference(a: Mapping[int, Pair], b: Mapping[int, Pair]) -> Summary | None:
    """a − b over the seeds that both have; at equal seeds they met the same split.

    Example:
        >>> difference({0: (1.0, 0.3), 1: (5.0, 0.3)}, {0: (0.0, 0.4), 1: (4.0, 0.4)})
        Summary(mean=1.0, sd=0.0, se=0.0, count=2)
    """
    return summarise({s: (a[s][0] - b[s][0], math.hypot(a[s][1], b[s][1])) for s in sorted(a.keys() & b.keys())})


def best_rows(
    columns: Sequence[Mapping[int, Pair] | None], loss: Callable[[float], float]
) -> tuple[int | None, set[int]]:
    """The row of least mean loss, and those whose paired difference from it is within ``ERRORS`` standard errors.

    Rows without a value, and with fewer seeds than the fullest, are left out: the spread over splits is larger than
    that between methods.

    Args:
        columns: a row's values by seed; ``None`` keeps a row out.
        loss: of a value, lower is better.

    Example:
        >>> best_rows([{0: (1.0, 0.1)}, {0: (1.1, 0.1)}, {0: (2.0, 0.1)}, None], lambda value: value)
        (0, {1})
    """
    most = max((len(pairs) for pairs in columns if pairs), default=0)
    lost = {
        row: {seed: (loss(value), se) for seed, (value, se) in pairs.items()}
        for row, pairs in enumerate(columns)
        if pairs and len(pairs) == most
    }
    if not lost:
        return None, set()
    best = min(lost, key=lambda row: summarise(lost[row]).mean)
    near = set()
    for row, pairs in lost.items():
        found = difference(pairs, lost[best])
        if row != best and found is not None and found.mean <= ERRORS * found.se:
            near.add(row)
    return best, near
