"""Wasserstein distances on the line: of energies and of interatomic distances, beside what chance gives."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.energies import PairEnergy, squared_distances
from manifold_gen.errors import DataError, UsageError
from manifold_gen.metrics.base import Estimate, subsample


def line_wasserstein(x: Tensor, y: Tensor, order: int = 2) -> float:
    r"""Wasserstein distance of order p between two samples of numbers, exact, whatever their sizes:

    .. math:: W_p^p = \int_0^1 |F^{-1}(u) - G^{-1}(u)|^p\,du

    Args:
        x, y: numbers ``(n,)`` and ``(m,)``; in O((n + m) log(n + m)) time.
        order: p, 1 or 2.

    Returns:
        The distance; ∞ where a number is infinite.

    Raises:
        UsageError: another order, or an empty sample.
        DataError: a number that is none.

    Example:
        >>> line_wasserstein(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0, 2.0, 3.0]))
        2.0
    """
    if order not in (1, 2) or x.dim() != 1 or y.dim() != 1 or not len(x) or not len(y):
        raise UsageError(
            f"needed two samples (n,) and (m,) of numbers and order 1 or 2, got shapes {tuple(x.shape)} and "
            f"{tuple(y.shape)} and order {order}"
        )
    x, y = x.to(torch.float64).sort().values, y.to(torch.float64).sort().values
    for name, values in (("x", x), ("y", y)):
        if bool(values.isnan().any()):
            raise DataError(f"{name} holds {int(values.isnan().sum())} values that are not numbers; see where from")
    if bool(x.isinf().any() | y.isinf().any()):
        return math.inf
    n, m = len(x), len(y)
    # Quantile functions are constant between the multiples of 1/n and of 1/m; in units of 1/nm those are integers.
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    width = torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype)).to(x) / (n * m)
    gap = (x[(ends.to(x.device) - 1) // m] - y[(ends.to(x.device) - 1) // n]).abs()
    return float((width * gap**order).sum() ** (1 / order))


@dataclass(frozen=True)
class Comparison:
    """A Wasserstein-2 distance between samples and reference, and the one between halves of the reference.

    Attributes:
        quantity: what is compared.
        distance: the distance, with its error by bootstrap over clouds.
        floor: mean and standard deviation over random halvings of the reference: what equal laws give at half its size.
        samples, reference: clouds on each side.
    """

    quantity: str
    distance: Estimate
    floor: Estimate
    samples: int
    reference: int

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def compare_energies(
    energy: PairEnergy,
    samples: Tensor,
    reference: Tensor,
    *,
    maximum: int = 5000,
    repeats: int = 50,
    seed: int = 0,
) -> Comparison:
    """Wasserstein-2 between the energies of samples ``(N, n, p)`` and of reference clouds ``(M, n, p)``, in kT.

    Energies are taken in double precision. Overlapping particles make the distance of a Lennard-Jones cluster huge or
    infinite: that is what it is.

    Args:
        energy: of the clouds.
        samples, reference: at least four clouds each.
        maximum: largest number of clouds on each side, drawn without replacement.
        repeats: of the bootstrap and of the halving.
        seed: of all draws.

    Raises:
        UsageError: too few clouds or repeats, wrong shapes.
        DataError: coordinates that are not finite.
    """
    values = [energy.energy(_clouds(x, name, maximum, seed)).unsqueeze(-1) for name, x in _named(samples, reference)]
    return _compare("energy", *values, repeats, seed)


def compare_distances(
    samples: Tensor, reference: Tensor, *, maximum: int = 1000, repeats: int = 20, seed: int = 0
) -> Comparison:
    """Wasserstein-2 between all interatomic distances of samples and of reference clouds; as ``compare_energies``."""
    values = [squared_distances(_clouds(x, name, maximum, seed)).sqrt() for name, x in _named(samples, reference)]
    return _compare("interatomic distance", *values, repeats, seed)


def _named(samples: Tensor, reference: Tensor) -> tuple[tuple[str, Tensor], tuple[str, Tensor]]:
    return ("samples", samples), ("reference", reference)


def _clouds(x: Tensor, name: str, maximum: int, seed: int) -> Tensor:
    if x.dim() != 3 or len(x) < 4 or maximum < 4:
        raise UsageError(f"{name} has shape {tuple(x.shape)}; expected (N, n, p), N ≥ 4, and maximum ≥ 4")
    bad = ~torch.isfinite(x).flatten(1).all(1)
    if bool(bad.any()):
        raise DataError(
            f"{int(bad.sum())} of the {len(x)} clouds of {name} have coordinates that are not finite, the first is row "
            f"{int(bad.nonzero()[0])}; a metric of the others would hide them, remove them knowingly"
        )
    return subsample(x, maximum, seed).to(torch.float64)


def _compare(quantity: str, x: Tensor, y: Tensor, repeats: int, seed: int) -> Comparison:
    """From values ``(N, k)`` and ``(M, k)``, k of each cloud: clouds are resampled, not values."""
    if repeats < 2:
        raise UsageError(f"needed at least 2 repeats, got {repeats}")
    resampled, halved = [], []
    for repeat in range(repeats):
        generator = seeds.generator(seed, 1, repeat)
        rows = [torch.randint(len(v), (len(v),), generator=generator).to(v.device) for v in (x, y)]
        resampled.append(line_wasserstein(x[rows[0]].flatten(), y[rows[1]].flatten()))
        first, second = torch.randperm(len(y), generator=generator).to(y.device).tensor_split(2)
        halved.append(line_wasserstein(y[first].flatten(), y[second].flatten()))
    value = line_wasserstein(x.flatten(), y.flatten())
    return Comparison(quantity, Estimate(value, _spread(resampled)), _mean(halved), len(x), len(y))


def _spread(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).std()) if all(map(math.isfinite, values)) else math.nan


def _mean(values: list[float]) -> Estimate:
    return Estimate(sum(values) / len(values), _spread(values))
