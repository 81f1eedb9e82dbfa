"""Molecules as RDKit graphs, with the bonds that distances give and nothing repaired."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from manifold_gen.chemistry.bonds import bond_orders
from manifold_gen.errors import DataError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from rdkit.Chem import Mol


def to_rdkit(positions: Tensor, numbers: Tensor, orders: Tensor | None = None) -> Mol:
    """A molecule with these bonds and one conformer, not sanitised: no atom, bond or charge is added or changed.

    ``rdkit.Chem.SanitizeMol`` on the result says whether it is valid; it counts hydrogens that it thinks are missing as
    implicit ones, which ``atom.GetNumImplicitHs()`` tells.

    Args:
        positions: ``(n, 3)`` in ångström.
        numbers: ``(n,)`` atomic numbers.
        orders: ``(n, n)`` symmetric bond orders 0 to 3, from ``bond_orders`` where there are none.

    Raises:
        MissingExtraError: RDKit is not installed.
        UsageError: the shapes do not fit, or an order is not 0, 1, 2 or 3.
        DataError: a coordinate is not finite; without ``orders``, an element other than H, C, N, O and F.

    Example:
        >>> from rdkit import Chem
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> Chem.MolToSmiles(to_rdkit(water, torch.tensor([8, 1, 1])))
        '[H]O[H]'
    """
    chem = _rdkit()
    n = len(numbers)
    if tuple(positions.shape) != (n, 3) or (orders is not None and tuple(orders.shape) != (n, n)):
        raise UsageError(
            f"{n} atoms need positions ({n}, 3) and orders ({n}, {n}), got {tuple(positions.shape)} and "
            f"{None if orders is None else tuple(orders.shape)}"
        )
    # Arrays of the library that reads them: for small molecules a tensor's overhead would outweigh RDKit's own work.
    places = positions.detach().to("cpu", torch.float64).contiguous().numpy()
    if not np.isfinite(places).all():
        raise DataError(f"{np.count_nonzero(~np.isfinite(places))} coordinates of {3 * n} are not finite")
    if orders is None:
        orders = bond_orders(positions.unsqueeze(0), numbers.unsqueeze(0))[0]
    matrix = orders.cpu().numpy()
    kinds = (None, chem.BondType.SINGLE, chem.BondType.DOUBLE, chem.BondType.TRIPLE)
    first, second = matrix.nonzero()
    mol = chem.RWMol()
    for number in numbers.tolist():
        mol.AddAtom(chem.Atom(number))
    for i, j, order in zip(first.tolist(), second.tolist(), matrix[first, second].tolist(), strict=True):
        if order not in (1, 2, 3):
            raise UsageError(f"bond orders are 0, 1, 2 or 3; got {order}")
        if i < j:
            mol.AddBond(i, j, kinds[order])
    conformer = chem.Conformer(n)
    conformer.SetPositions(places)
    mol.AddConformer(conformer, assignId=True)
    return mol.GetMol()


def _rdkit() -> ModuleType:
    try:
        from rdkit import Chem
    except ImportError as error:
        raise MissingExtraError(
            "molecular graphs need RDKit; install it with: pip install 'manifold-gen[molecules]'"
        ) from error
    return Chem
