"""Stability by valence alone: a necessary condition that broken geometries meet too, so never a mark of quality."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.chemistry.bonds import stable_atoms
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import UsageError
from manifold_gen.metrics.base import Estimate, share_estimate
from manifold_gen.metrics.molecules.graphs import of_each_size


@dataclass(frozen=True)
class Stability:
    """Shares of stable atoms among all atoms, and of molecules all of whose atoms are stable among all molecules."""

    atom: Estimate
    molecule: Estimate


def stability(molecules: Molecules) -> Stability:
    """Whether the bonds that distances give add up to H 1, C 4, N 3, O 2, F 1, exactly.

    Nothing here asks whether a molecule is in one piece, or whether its bonds have the right length within a margin of
    5 to 10 pm: samples that pass have been found to give up tens of kcal/mol when relaxed, where true molecules give up
    one. Atoms of one molecule stand or fall together, so the error of their share counts molecules.

    Raises:
        UsageError: no molecules.
        DataError: an element other than H, C, N, O and F.

    Source: Hoogeboom et al., *Equivariant diffusion for molecule generation in 3D* (2022).

    >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    >>> found = stability(Molecules.join([(water, torch.tensor([8, 1, 1])), (water[:2], torch.tensor([8, 1]))]))
    >>> found.atom.value, found.molecule.value
    (0.8, 0.5)
    """
    if len(molecules) == 0:
        raise UsageError("stability of no molecules: expected at least one")
    stable = torch.zeros(len(molecules), dtype=torch.float64)
    for rows, _, numbers, orders in of_each_size(molecules):
        stable[rows] = stable_atoms(numbers, orders).to(torch.float64).sum(1)
    sizes = molecules.sizes.to(torch.float64)
    return Stability(_ratio(stable, sizes), share_estimate(stable == sizes))


def _ratio(stable: Tensor, sizes: Tensor) -> Estimate:
    """Σ stable / Σ sizes with its linearised error, at least that of as many independent atoms (not 0 at share 1)."""
    count, atoms = len(sizes), sizes.sum()
    share = stable.sum() / atoms
    centre = (stable.sum() + 2) / (atoms + 4)
    variance = centre * (1 - centre) / (atoms + 4)
    if count > 1:
        variance = torch.maximum(variance, (stable - share * sizes).square().sum() / atoms**2 * count / (count - 1))
    return Estimate(float(share), float(variance.sqrt()))
