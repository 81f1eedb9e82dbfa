"""What RDKit makes of the bonds of each molecule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen.chemistry.bonds import bond_orders, check_elements, stable_atoms
from manifold_gen.chemistry.graphs import to_rdkit
from manifold_gen.chemistry.molecules import Molecules

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@dataclass(frozen=True)
class Graphs:
    """One entry for each of M molecules, in their order.

    Attributes:
        stable: ``(M,)`` whether the bond orders of every atom add up to its allowed valence.
        smiles: of the fragment with the most atoms, all hydrogens written out; None where RDKit's sanitisation fails.
        fragments: ``(M,)`` connected parts.
        implicit_hydrogens: ``(M,)`` hydrogens that sanitisation added in thought; 0 where it failed.
        rings: sizes of the smallest rings; empty for molecules at no finite place.
    """

    stable: Tensor
    smiles: tuple[str | None, ...]
    fragments: Tensor
    implicit_hydrogens: Tensor
    rings: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def valid(self) -> Tensor:
        """``(M,)`` whether sanitisation succeeds."""
        return torch.tensor([smiles is not None for smiles in self.smiles], dtype=torch.bool)

    @property
    def strict(self) -> Tensor:
        """``(M,)`` strict success: stable, valid, in one fragment, and with no hydrogen added."""
        return self.stable & self.valid & (self.fragments == 1) & (self.implicit_hydrogens == 0)


def of_each_size(molecules: Molecules) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Rows, positions, numbers and bond orders of the molecules of every size, at most a few million pairs at once.

    Raises:
        DataError: an element other than H, C, N, O and F.
    """
    check_elements(molecules.numbers)
    for n in molecules.sizes.unique().tolist():
        rows, positions, numbers = molecules.of_size(n)
        step = max(1, 2**21 // max(n * n, 1))
        for part in range(0, len(rows), step):
            x, z = positions[part : part + step], numbers[part : part + step]
            yield rows[part : part + step], x, z, bond_orders(x, z)


def read_graphs(molecules: Molecules) -> Graphs:
    """Bonds of the distance tables, and RDKit's opinion of them, molecule by molecule.

    A molecule with a coordinate that is not finite is neither stable nor valid.

    Raises:
        DataError: an element other than H, C, N, O and F, for which the tables have no bonds.
        MissingExtraError: RDKit is not installed.

    Example:
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> both = Molecules.join([(water, torch.tensor([8, 1, 1])), (water[:2], torch.tensor([8, 1]))])
        >>> graphs = read_graphs(both)
        >>> graphs.smiles, graphs.implicit_hydrogens.tolist(), graphs.strict.tolist()
        (('[H]O[H]', '[H]O'), [0, 1], [True, False])
    """
    stable = torch.zeros(len(molecules), dtype=torch.bool)
    records: list[_Record] = [_NOWHERE] * len(molecules)
    for rows, x, z, orders in of_each_size(molecules):
        finite = torch.isfinite(x).flatten(1).all(1)
        stable[rows] = stable_atoms(z, orders).all(1) & finite
        for k in finite.nonzero().squeeze(-1).tolist():
            records[rows[k]] = _read(to_rdkit(x[k], z[k], orders[k]))
    return Graphs(
        stable,
        tuple(record.smiles for record in records),
        torch.tensor([record.fragments for record in records], dtype=torch.int64),
        torch.tensor([record.implicit_hydrogens for record in records], dtype=torch.int64),
        tuple(record.rings for record in records),
    )


def sanitise(mol: Mol) -> bool:
    """Sanitise a molecule in place, without a word on the console: whether it succeeds."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.SanitizeMol(mol, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE


@dataclass(frozen=True)
class _Record:
    smiles: str | None
    fragments: int
    implicit_hydrogens: int
    rings: tuple[int, ...]


_NOWHERE = _Record(None, 0, 0, ())


def _read(mol: Mol) -> _Record:
    from rdkit import Chem

    fragments = len(Chem.GetMolFrags(mol))
    if not sanitise(mol):
        Chem.FastFindRings(mol)
        return _Record(None, fragments, 0, tuple(len(ring) for ring in Chem.GetSSSR(mol)))
    rings = tuple(len(ring) for ring in mol.GetRingInfo().AtomRings())
    added = mol.GetNumAtoms(onlyExplicit=False) - mol.GetNumAtoms()
    kept = mol if fragments == 1 else max(Chem.GetMolFrags(mol, asMols=True), key=lambda part: part.GetNumAtoms())
    return _Record(Chem.MolToSmiles(kept), fragments, added, rings)
