"""Energies with a Boltzmann law that is known well: DW4, LJ13 and LJ55, and Metropolis chains that sample them."""

from manifold_gen.energies.base import Constants, Known, PairEnergy, squared_distances
from manifold_gen.energies.double_well import DoubleWell
from manifold_gen.energies.lennard_jones import LennardJones
from manifold_gen.energies.mcmc import Chains
from manifold_gen.energies.recipes import RECIPES, Recipe

__all__ = [
    "RECIPES",
    "Chains",
    "Constants",
    "DoubleWell",
    "Known",
    "LennardJones",
    "PairEnergy",
    "Recipe",
    "squared_distances",
]
