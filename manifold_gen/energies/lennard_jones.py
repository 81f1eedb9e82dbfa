"""Lennard-Jones clusters in a harmonic trap."""

from __future__ import annotations

import math

from torch import Tensor

from manifold_gen.energies.base import Constants, Known, PairEnergy
from manifold_gen.errors import UsageError

_AIS = "annealed importance sampling"
_MCMC = "mean over Metropolis chains annealed from a normal law"
_SUM = "mean energy + log Z"

# (n, factor): with the factor that the data have, and for LJ13 with the other one
_CONSTANTS = {
    (13, 2.0): Constants(Known(59.85, 0.02, _AIS), Known(-42.95, 0.1, _MCMC), Known(16.9, 0.1, _SUM)),
    (55, 2.0): Constants(Known(384.0, 0.1, _AIS), Known(-325.2, 0.2, _MCMC), Known(58.8, 0.2, _SUM)),
    (13, 1.0): Constants(Known(39.26, 0.01, _AIS), Known(0.6, 0.1, _MCMC), Known(39.9, 0.1, _SUM)),
}


class LennardJones(PairEnergy):
    r"""LJ: a cluster of n particles in three dimensions, held together by pairs and by a trap.

    .. math:: E(x) = f \sum_{i<j} (r_{ij}^{-12} - 2 r_{ij}^{-6}) + \frac12 \sum_i |x_i - \bar x|^2

    **Mind the factor f.** The LJ13 and LJ55 data that are in use (Klein et al. 2023) obey f = 2: the sum was taken over
    ordered pairs. Programs corrected since then, and the older data of Satorras et al. 2021, have f = 1. With f = 1 at
    temperature 1 the cluster evaporates: the mean energy of LJ13 is +0.6 instead of −43. An effective sample size or an
    energy distance against the wrong factor says nothing.

    Coincident particles have infinite energy and no gradient.

    Args:
        n: particles.
        factor: f, 2 for the data in use.

    Raises:
        UsageError: a factor that is not positive and finite.

    Source: Köhler, Klein and Noé, ICML 2020, with ε = r_m = 1 and oscillator 1; f = 2 from the mean energy of the data.

    Example:
        >>> import torch
        >>> pair = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
        >>> float(LennardJones(2).energy(pair)), float(LennardJones(2, factor=1).energy(pair))
        (-1.75, -0.75)
    """

    trap = 1.0

    def __init__(self, n: int, factor: float = 2.0) -> None:
        super().__init__(n, 3)
        if not (math.isfinite(factor) and factor > 0):
            raise UsageError(f"the factor of the Lennard-Jones term must be positive and finite, got {factor}")
        self.factor = float(factor)
        self.name = f"LJ{n}" if self.factor == 2.0 else f"LJ{n} (factor {factor:g})"
        self.constants = _CONSTANTS.get((n, self.factor))

    def pair(self, squared: Tensor) -> Tensor:
        """f (r⁻¹² − 2 r⁻⁶)."""
        inverse = squared.reciprocal()
        s = inverse * inverse * inverse
        return self.factor * s * (s - 2.0)
