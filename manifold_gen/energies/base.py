"""Energies of particles: the Boltzmann law at temperature 1 that a sampler is held against."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from manifold_gen.errors import UsageError


@dataclass(frozen=True)
class Known:
    """A constant of a system, and how well it is known.

    Attributes:
        value: in nats (units of the temperature).
        error: one standard error.
        source: how it was found.
    """

    value: float
    error: float
    source: str

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Constants:
    """log Z, ⟨E⟩ and the entropy of one system, in nats; the volume is that of the zero-mean subspace."""

    log_partition: Known
    mean_energy: Known
    entropy_floor: Known


class PairEnergy(ABC):
    r"""An energy of n like particles in p dimensions: pairs, and a harmonic trap around their mean.

    .. math:: E(x) = \sum_{i<j} v(|x_i - x_j|^2) + \frac{k}{2} \sum_i |x_i - \bar x|^2

    The law is exp(−E) / Z at temperature 1, with respect to the Lebesgue volume of the clouds of zero mean, a space of
    dimension (n − 1) p. E does not change under translations, rotations, reflections and permutations.

    Attributes:
        name: in tables.
        n, p: particles, and dimension of the space they live in.
        trap: k.
        constants: what is known of the system; ``None`` where nothing is.

    Raises:
        UsageError: fewer than two particles or less than one dimension.
    """

    name: str
    trap: float = 0.0
    constants: Constants | None = None

    def __init__(self, n: int, p: int) -> None:
        if n < 2 or p < 1:
            raise UsageError(f"an energy of pairs needs at least 2 particles and 1 dimension, got n = {n} and p = {p}")
        self.n, self.p = n, p

    @abstractmethod
    def pair(self, squared: Tensor) -> Tensor:
        """v at squared distances of any shape."""

    def energy(self, x: Tensor) -> Tensor:
        """Energy of clouds ``(*batch, n, p)``, ``(*batch,)``; they need not have zero mean.

        Raises:
            UsageError: another shape.
        """
        self._check(x)
        energy = self.pair(squared_distances(x)).sum(-1)
        if self.trap:
            centred = x - x.mean(-2, keepdim=True)
            energy = energy + self.trap / 2 * centred.square().sum((-2, -1))
        return energy

    def log_density(self, x: Tensor) -> Tensor:
        """−E, the log-density without its normaliser, ``(*batch,)``."""
        return -self.energy(x)

    @property
    def dim(self) -> int:
        """Dimension of the zero-mean subspace, (n − 1) p."""
        return (self.n - 1) * self.p

    @property
    def log_partition(self) -> Known | None:
        """log Z, where it is known."""
        return None if self.constants is None else self.constants.log_partition

    @property
    def mean_energy(self) -> Known | None:
        """⟨E⟩, where it is known."""
        return None if self.constants is None else self.constants.mean_energy

    @property
    def entropy_floor(self) -> Known | None:
        """⟨E⟩ + log Z: the entropy of the law in nats, below which no mean negative log-likelihood can lie."""
        return None if self.constants is None else self.constants.entropy_floor

    @property
    def published_offset(self) -> float:
        """(n − 1) p / 2 · ln 2π, which published likelihoods of these systems leave out.

        Their prior on the zero-mean subspace has no normaliser, so a published value is the true one less this.

        >>> from manifold_gen.energies import DoubleWell
        >>> round(DoubleWell().published_offset, 2)
        5.51
        """
        return self.dim / 2 * math.log(2 * math.pi)

    def _check(self, x: Tensor) -> None:
        if x.dim() < 2 or tuple(x.shape[-2:]) != (self.n, self.p):
            raise UsageError(f"{self.name} takes clouds (*batch, {self.n}, {self.p}), got shape {tuple(x.shape)}")


def squared_distances(x: Tensor) -> Tensor:
    """|xᵢ − xⱼ|² of the pairs i < j of clouds ``(*batch, n, p)``, ``(*batch, n (n − 1) / 2)``.

    >>> squared_distances(torch.tensor([[0.0], [1.0], [3.0]])).tolist()
    [1.0, 9.0, 4.0]
    """
    i, j = torch.triu_indices(x.shape[-2], x.shape[-2], 1, device=x.device)
    return (x.index_select(-2, i) - x.index_select(-2, j)).square().sum(-1)
