"""Whether molecules consist of the atoms that were asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.chemistry.elements import SYMBOLS
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.molecules import MoleculeFormat, property_values
from manifold_gen.metrics.base import Estimate, share_estimate


def composition_match(molecules: Molecules, fmt: MoleculeFormat, context: Tensor) -> Estimate | None:
    """Share of the molecules with the numbers of atoms asked for, of every element that the context names.

    Args:
        molecules: as drawn.
        fmt: of the model: what its context holds.
        context: ``(M, c)`` standardised, a row a molecule.

    Returns:
        The share, ``None`` where the context holds no number of atoms.

    >>> from manifold_gen.data.molecules import Property
    >>> water = Molecules.join([(torch.zeros(3, 3), torch.tensor([8, 1, 1]))] * 2)
    >>> fmt = MoleculeFormat((1, 8), 1.0, (Property("H", 1.5, 0.5),))
    >>> composition_match(water, fmt, torch.tensor([[1.0], [-1.0]])).value
    0.5
    """
    asked = [(j, p.name) for j, p in enumerate(fmt.properties) if p.name in SYMBOLS]
    if not asked:
        return None
    wanted = fmt.own_values(context.double().cpu()).round()
    met = torch.ones(len(molecules), dtype=torch.bool)
    for j, name in asked:
        met &= property_values(molecules, name) == wanted[:, j]
    return share_estimate(met)
