"""How the reference samples of DW4, LJ13 and LJ55 are drawn: starts, annealing, moves, and how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.energies.base import PairEnergy
from manifold_gen.energies.double_well import DoubleWell
from manifold_gen.energies.lennard_jones import LennardJones
from manifold_gen.energies.mcmc import Chains
from manifold_gen.errors import UsageError

_JUMPS = (0.5, 2.0, 4.0)


def double_well_rounds(chains: Chains, count: int, temperature: float = 1.0) -> None:
    """``count`` times a small step of all particles and a step of one, of 0.5, 2 or 4, that can cross the barrier."""
    for k in range(count):
        chains.move_all(0.3, temperature)
        chains.move_one(k % chains.energy.n, _JUMPS[k // chains.energy.n % len(_JUMPS)], temperature)


def sweeps(scale: float) -> Callable[[Chains, int, float], None]:
    """Rounds that are sweeps with steps of ``scale``."""

    def run(chains: Chains, count: int, temperature: float = 1.0) -> None:
        for _ in range(count):
            chains.sweep(scale, temperature)

    return run


@dataclass(frozen=True)
class Recipe:
    """One reference sample.

    Attributes:
        energy: whose law is sampled, at temperature 1.
        rounds: ``rounds(chains, count, temperature)`` makes ``count`` rounds of moves.
        spread: standard deviation of the normal coordinates that chains start from.
        temperatures: at which ``anneal`` rounds are made first, each.
        settle: rounds at temperature 1 before the first state is kept.
        apart: rounds between kept states.
        chains, snapshots: how many chains, and states kept of each.
        together: chains moved at once, as many as the processor's cache holds.
    """

    energy: PairEnergy
    rounds: Callable[[Chains, int, float], None]
    spread: float
    temperatures: tuple[float, ...]
    anneal: int
    settle: int
    apart: int
    chains: int
    snapshots: int
    together: int

    def draw(self, chains: int | None = None, snapshots: int | None = None, *, seed: int = 0) -> Tensor:
        """States ``(chains, snapshots, n, p)`` of zero mean, float32, a function of the seed and the two numbers.

        Raises:
            UsageError: less than one chain or one state.

        Example:
            >>> tuple(RECIPES["dw4"].draw(5, 1).shape)
            (5, 1, 4, 2)
        """
        chains = self.chains if chains is None else chains
        snapshots = self.snapshots if snapshots is None else snapshots
        if chains < 1 or snapshots < 1:
            raise UsageError(f"needed at least 1 chain and 1 snapshot, got {chains} and {snapshots}")
        starts = range(0, chains, self.together)
        return torch.cat([self._part(min(self.together, chains - s), snapshots, seed, s) for s in starts])

    @torch.no_grad()
    def _part(self, count: int, snapshots: int, seed: int, first: int) -> Tensor:
        generator = seeds.generator(seed, first)
        x = self.spread * torch.randn(count, self.energy.n, self.energy.p, generator=generator)
        chains = Chains(self.energy, x, generator)
        for temperature in self.temperatures:
            self.rounds(chains, self.anneal, temperature)
        self.rounds(chains, self.settle, 1.0)
        kept = [chains.positions()]
        for _ in range(snapshots - 1):
            self.rounds(chains, self.apart, 1.0)
            kept.append(chains.positions())
        return torch.stack(kept, 1)


_COOLING = (50.0, 20.0, 8.0, 3.5, 2.0, 1.5, 1.2)

RECIPES = {
    "dw4": Recipe(
        DoubleWell(), double_well_rounds, 2.3, (), 0, settle=2500, apart=500, chains=20_000, snapshots=5, together=4000
    ),
    "lj13": Recipe(
        LennardJones(13), sweeps(0.15), 1.0, _COOLING, 50, 1000, 100, chains=10_000, snapshots=10, together=2500
    ),
    "lj55": Recipe(
        LennardJones(55), sweeps(0.12), 1.0, _COOLING, 50, 1300, 150, chains=1000, snapshots=10, together=500
    ),
}
