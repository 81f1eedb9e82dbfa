"""Metropolis sampling of pair energies: many chains at once.

A move proposes a normal step, of one particle in every chain or of all particles in every chain, and each chain accepts
by itself with probability min(1, exp(−ΔE / T)). Every move leaves exp(−E / T) invariant, so any sequence of moves that
does not look at the state does too. The sequence is the same for all chains; their steps are independent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.energies.base import PairEnergy


class Chains:
    """C independent Markov chains of a pair energy.

    Pair energies are kept in a table, so a move of one particle costs n − 1 pairs. Coordinates are stored with the
    chains last, where the arithmetic is fastest, and recentred at every sweep: the energy does not know the mean.

    Args:
        energy: of the particles.
        x: ``(C, n, p)``, where the chains start; it is copied. Its type is that of the arithmetic.
        generator: draws everything; results repeat bit for bit with the same seed, version and machine.

    Attributes:
        proposed, accepted: moves so far, summed over chains.

    Example:
        >>> from manifold_gen import seeds
        >>> from manifold_gen.energies import LennardJones
        >>> generator = seeds.generator(0)
        >>> chains = Chains(LennardJones(2), torch.randn(1000, 2, 3, generator=generator), generator)
        >>> for _ in range(100):
        ...     chains.sweep(0.3)
        >>> tuple(chains.positions().shape), 0.1 < chains.acceptance < 0.9
        ((1000, 2, 3), True)
    """

    def __init__(self, energy: PairEnergy, x: Tensor, generator: torch.Generator) -> None:
        self.energy, self.generator = energy, generator
        self._x = x.permute(2, 1, 0).contiguous().clone()
        self._table = self._pairs(self._x)
        self.proposed, self.accepted = 0, 0

    def positions(self) -> Tensor:
        """The states now, ``(C, n, p)``, each with zero mean."""
        x = self._x.permute(2, 1, 0).contiguous()
        return x - x.mean(1, keepdim=True)

    @property
    def acceptance(self) -> float:
        """Share of the proposals that were accepted."""
        return self.accepted / max(1, self.proposed)

    def sweep(self, scale: float, temperature: float = 1.0) -> None:
        """One move of each particle in turn, with normal steps of standard deviation ``scale``."""
        self._x -= self._x.mean(1, keepdim=True)
        p, n, count = self._x.shape
        steps, limits = self._noise((n, p, count)) * scale, self._limits((n, count), temperature)
        for i in range(n):
            self._try_one(i, steps[i], limits[i])

    def move_one(self, i: int, scale: float, temperature: float = 1.0) -> None:
        """A step of particle ``i`` in every chain."""
        self._try_one(i, self._noise(self._x[:, i].shape) * scale, self._limits(self._x.shape[2:], temperature))

    def move_all(self, scale: float, temperature: float = 1.0) -> None:
        """A step of all particles together in every chain."""
        there = self._x + scale * self._noise(self._x.shape)
        new = self._pairs(there)
        rise = 0.5 * (new.sum((0, 1)) - self._table.sum((0, 1)))
        taken = self._accept(rise, self._limits(rise.shape, temperature))
        torch.where(taken, there, self._x, out=self._x)
        torch.where(taken, new, self._table, out=self._table)

    def _try_one(self, i: int, step: Tensor, limit: Tensor) -> None:
        here, old = self._x[:, i], self._table[i]
        there = here + step
        new = self._pair(self._x - there.unsqueeze(1))
        new[i] = 0
        taken = self._accept(new.sum(0) - old.sum(0), limit)
        here.copy_(torch.where(taken, there, here))
        torch.where(taken, new, old, out=new)
        self._table[i] = new
        self._table[:, i] = new

    def _accept(self, rise: Tensor, limit: Tensor) -> Tensor:
        """Metropolis' rule; a rise that is not a number, ∞ − ∞, is rejected."""
        taken = rise < limit
        self.proposed += taken.numel()
        self.accepted += int(taken.sum())
        return taken

    def _limits(self, shape: tuple[int, ...], temperature: float) -> Tensor:
        """−T log u, u uniform on (0, 1]: a rise below it is accepted, with probability exp(−rise / T)."""
        u = torch.rand(shape, generator=self.generator, dtype=self._x.dtype, device=self._x.device)
        return (1 - u).log_().mul_(-temperature)

    def _pair(self, difference: Tensor) -> Tensor:
        """Energy ``(*s, C)`` of pairs that ``(p, *s, C)`` apart, with their share of the trap.

        That share is k |xᵢ − xⱼ|² / 2n, for Σᵢ |xᵢ − x̄|² = Σ_{i<j} |xᵢ − xⱼ|² / n: no mean has to be kept.
        """
        squared = difference.square_().sum(0)
        energy = self.energy.pair(squared)
        return energy.add_(squared, alpha=self.energy.trap / (2 * self.energy.n)) if self.energy.trap else energy

    def _pairs(self, x: Tensor) -> Tensor:
        """``(n, n, C)`` pair energies, symmetric, 0 on the diagonal."""
        table = self._pair(x.unsqueeze(2) - x.unsqueeze(1))
        table.diagonal().zero_()
        return table

    def _noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=self._x.dtype, device=self._x.device)
