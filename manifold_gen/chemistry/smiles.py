"""SMILES files, one molecule a line: three-dimensional coordinates in, canonical strings out. Needs RDKit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from manifold_gen.chemistry.graphs import to_rdkit
from manifold_gen.chemistry.records import Record
from manifold_gen.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

#: Seed of the conformations.
SEED = 20240


def split_smiles(text: str) -> Iterator[str]:
    """The lines that are neither blank nor comments (``#``)."""
    yield from (line for line in text.splitlines() if line.strip() and not line.startswith("#"))


def parse_smiles(line: str) -> Record:
    """The molecule of a line ``SMILES`` or ``SMILES name``, all hydrogens added, at a conformation by ETKDG version 3.

    The conformation depends on the SMILES alone. Distance geometry with torsion preferences: Wang, Witek, Landrum and
    Riniker, *Journal of Chemical Information and Modeling* 2020.

    Raises:
        DataError: what is wrong with it.
        MissingExtraError: RDKit is not installed.
    """
    check_rdkit()
    from rdkit import Chem, rdBase

    smiles = line.split()[0]
    # What RDKit has to say goes into our message, not beside it.
    with rdBase.BlockLogs():
        mol = _sanitised(smiles)
        if len(Chem.GetMolFrags(mol)) > 1:
            raise DataError(f"{smiles!r} is more than one molecule; give each its own line")
        full = Chem.AddHs(mol)
        if not _embedded(full):
            raise DataError(f"ETKDG finds no conformation of {smiles!r}")
    numbers = [atom.GetAtomicNum() for atom in full.GetAtoms()]
    return Record(full.GetConformer().GetPositions(), numbers, Chem.GetFormalCharge(full))


def format_smiles(positions: Tensor, numbers: Tensor, orders: Tensor) -> str:
    """The canonical SMILES, hydrogens left out where the valence tells them.

    Raises:
        DataError: it has none, because the bonds are not those of a molecule.
        MissingExtraError: RDKit is not installed.
    """
    check_rdkit()
    from rdkit import Chem, rdBase

    mol = to_rdkit(positions, numbers, orders)
    # Atoms that lack a bond must not be completed in silence: what is written would be another molecule.
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(True)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(mol)
        except ValueError as error:
            raise DataError(str(error).strip()) from error
        return Chem.MolToSmiles(Chem.RemoveHs(mol))


def check_rdkit() -> None:
    """Raise ``MissingExtraError`` where RDKit is not installed."""
    try:
        import rdkit.Chem  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "SMILES need RDKit, which is not installed; install it with: pip install 'manifold-gen[molecules]', or use "
            ".sdf or .xyz files, which need no library"
        ) from error


def _sanitised(smiles: str) -> Mol:
    from rdkit import Chem

    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        raise DataError(f"{smiles!r} is not a SMILES")
    try:
        Chem.SanitizeMol(mol)
    except ValueError as error:
        raise DataError(f"{smiles!r}: {str(error).strip()}") from error
    return mol


def _embedded(mol: Mol) -> bool:
    """Give the molecule a conformation; from random coordinates where those of the distance bounds lead nowhere."""
    from rdkit.Chem import rdDistGeom

    settings = rdDistGeom.ETKDGv3()
    settings.randomSeed = SEED
    if rdDistGeom.EmbedMolecule(mol, settings) == 0:
        return True
    settings.useRandomCoords = True
    return rdDistGeom.EmbedMolecule(mol, settings) == 0
