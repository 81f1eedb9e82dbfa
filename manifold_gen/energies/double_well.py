"""Particles with a double well in every distance."""

from __future__ import annotations

from torch import Tensor

from manifold_gen.energies.base import Constants, Known, PairEnergy
from manifold_gen.numerics import safe_sqrt

_MCMC = "mean over 20,000 Metropolis chains of 22,000 steps"
_AIS = "annealed importance sampling"

_DW4 = Constants(
    log_partition=Known(29.665, 0.005, _AIS),
    mean_energy=Known(-22.54, 0.01, _MCMC),
    entropy_floor=Known(7.12, 0.012, "mean energy + log Z"),
)


class DoubleWell(PairEnergy):
    r"""DW: the energy has two minima in every distance d, at 4 ± 1.49.

    .. math:: E(x) = \sum_{i<j} 0.9 (d_{ij} - 4)^4 - 4 (d_{ij} - 4)^2

    DW4 has four particles in the plane. Published DW4 data (Klein et al. 2023) are not in equilibrium: a distance is
    above 4.5 with probability 0.470 in them, 0.497 in the law. Where two particles coincide the energy has a kink; its
    gradient there is taken as 0.

    Args:
        n: particles.
        p: dimension of their space.

    Source: Köhler, Klein and Noé, ICML 2020; the constants are those of the program bgflow (a = 0.9, b = −4, offset 4).

    Example:
        >>> import torch
        >>> square = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
        >>> round(float(DoubleWell().energy(square)), 3)  # four distances of 4 and two of 5.657
        -8.397
    """

    def __init__(self, n: int = 4, p: int = 2) -> None:
        super().__init__(n, p)
        self.name = f"DW{n}"
        self.constants = _DW4 if (n, p) == (4, 2) else None

    def pair(self, squared: Tensor) -> Tensor:
        """0.9 (d − 4)⁴ − 4 (d − 4)²."""
        s = (safe_sqrt(squared) - 4.0).square()
        return s * (0.9 * s - 4.0)
