"""Pictures of molecules: what was drawn, with the fault of each one that is none."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen.chemistry.bonds import bond_orders, stable_atoms
from manifold_gen.chemistry.elements import sum_formula
from manifold_gen.chemistry.graphs import to_rdkit
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import DataError, RunFolderError, UsageError

if TYPE_CHECKING:
    from rdkit.Chem import Mol
    from rdkit.Chem.Draw import rdMolDraw2D

    from manifold_gen.metrics.molecules.graphs import Graphs

PICTURES = (".png", ".svg")
_WIDTH, _HEIGHT, _CAPTION = 400, 400, 116  # pixels: five panels fill a journal's page of 7.2 inches at 280 dpi
_LETTERS, _LINE, _CHARACTERS = 26, 34, 29  # pixels (6.7 points on that page), pixels between lines, in a line
_TOUCHING = 1e-3  # nearer, two atoms are drawn in one place; a bond of a drawing has length 1.5
_WRONG = (0.96, 0.62, 0.55)  # behind an atom whose bonds do not add up


def molecule_grid(molecules: Molecules, path: str | Path, columns: int = 5, most: int = 20) -> Path:
    """A picture of the first ``most`` molecules: structural formulae of the bonds that the distances give.

    Nothing is repaired. A molecule that passes the strict check is drawn without its hydrogens, under its formula; of
    any other all atoms are drawn, those whose bonds do not add up on red, and what fails stands below.

    Args:
        molecules: of H, C, N, O and F, for which bonds are known.
        path: ``.png`` or ``.svg``.
        columns: panels side by side.
        most: how many molecules are drawn.

    Raises:
        UsageError: another ending, or fewer than one column or molecule asked for.
        DataError: there are no molecules, or an element without known bonds.
        MissingExtraError: RDKit is not installed.
        RunFolderError: the picture cannot be written.

    Example:
        >>> import tempfile
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> both = Molecules.join([(water, torch.tensor([8, 1, 1])), (water[:2], torch.tensor([8, 1]))])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     molecule_grid(both, folder + "/two.svg").name
        'two.svg'
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURES:
        raise UsageError(f"{path} ends in {path.suffix!r}; pictures of molecules are written to {', '.join(PICTURES)}")
    content = molecule_picture(molecules, path.suffix.lower(), columns, most)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise RunFolderError(f"cannot write the picture {path}: {error}; choose another place") from error
    return path


def molecule_picture(molecules: Molecules, ending: str, columns: int = 5, most: int = 20) -> bytes:
    """What ``molecule_grid`` writes to a file that ends in ``ending``.

    Raises:
        UsageError: fewer than one column or molecule asked for.
        DataError: there are no molecules, or an element without known bonds.
        MissingExtraError: RDKit is not installed.
    """
    if columns < 1 or most < 1:
        raise UsageError(f"columns is {columns} and most is {most}; expected at least 1 of each")
    if not len(molecules):
        raise DataError("there are no molecules to draw; give at least one")
    shown = molecules[:most]
    canvas = _canvas(ending, len(shown), columns)
    for place, ((positions, numbers), fault) in enumerate(zip(shown, strict_faults(shown), strict=True)):
        picture, wrong = _depiction(positions, numbers, whole=bool(fault))
        row, column = divmod(place, columns)
        canvas.SetOffset(column * _WIDTH, row * _HEIGHT)
        canvas.DrawMolecule(picture, highlightAtoms=wrong, highlightBonds=[])
        _caption(canvas, row, column, [sum_formula(numbers.tolist()), *_lines(fault)])
    canvas.FinishDrawing()
    text = canvas.GetDrawingText()
    return text.encode() if isinstance(text, str) else text


def strict_faults(molecules: Molecules) -> list[str]:
    """Why each molecule fails the strict check, in words; empty where it passes.

    Raises:
        DataError: an element other than H, C, N, O and F.
        MissingExtraError: RDKit is not installed.

    >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    >>> strict_faults(Molecules.join([(water, torch.tensor([8, 1, 1])), (water[:2], torch.tensor([8, 1]))]))
    ['', 'wrong valence, 1 H missing']
    """
    from manifold_gen.metrics.molecules.graphs import read_graphs

    graphs = read_graphs(molecules)
    finite = [bool(torch.isfinite(positions).all()) for positions, _ in molecules]
    return [_fault(graphs, row) if good else "coordinates not finite" for row, good in enumerate(finite)]


def _fault(graphs: Graphs, row: int) -> str:
    fragments, missing = int(graphs.fragments[row]), int(graphs.implicit_hydrogens[row])
    told = {
        "wrong valence": not graphs.stable[row],
        "not valid": not graphs.valid[row],
        f"{fragments} fragments": fragments != 1,
        f"{missing} H missing": missing > 0,
    }
    return ", ".join(words for words, holds in told.items() if holds)


def _canvas(ending: str, count: int, columns: int) -> rdMolDraw2D.MolDraw2D:
    from rdkit.Chem.Draw import rdMolDraw2D

    columns = min(columns, count)
    kind = rdMolDraw2D.MolDraw2DSVG if ending == ".svg" else rdMolDraw2D.MolDraw2DCairo
    canvas = kind(columns * _WIDTH, -(-count // columns) * _HEIGHT, _WIDTH, _HEIGHT - _CAPTION)
    options = canvas.drawOptions()
    options.prepareMolsBeforeDrawing = False  # it would repair
    options.fixedBondLength, options.bondLineWidth = 50, 3
    options.minFontSize, options.maxFontSize = 20, _LETTERS
    options.padding = 0.04
    options.setHighlightColour(_WRONG)
    return canvas


def _caption(canvas: rdMolDraw2D.MolDraw2D, row: int, column: int, lines: Sequence[str]) -> None:
    """Lines of text in the middle below a panel; digits of the first are those of a formula."""
    from rdkit.Geometry import Point2D

    canvas.SetOffset(0, 0)
    canvas.SetFontSize(_LETTERS)
    canvas.SetColour((0.1, 0.1, 0.1))
    middle, top = (column + 0.5) * _WIDTH, (row + 1) * _HEIGHT - _CAPTION
    for number, line in enumerate(lines):
        text = line if number else re.sub(r"(\d+)", r"<sub>\1</sub>", line)
        canvas.DrawString(text, Point2D(middle, top + 20 + number * _LINE), 0, True)


def _lines(fault: str) -> list[str]:
    """The fault in lines that break between its parts alone."""
    bound = ", ".join(part.replace(" ", "\u00a0") for part in fault.split(", "))
    return [line.replace("\u00a0", " ") for line in textwrap.wrap(bound, _CHARACTERS)]


def _depiction(positions: Tensor, numbers: Tensor, *, whole: bool) -> tuple[Mol, list[int]]:
    """A flat drawing and its atoms of wrong valence; without hydrogens that bind to a heavy atom unless ``whole``."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDepictor

    if not bool(torch.isfinite(positions).all()):
        return Chem.Mol(), []
    orders = bond_orders(positions.unsqueeze(0), numbers.unsqueeze(0))[0]
    mol = to_rdkit(positions, numbers, orders)
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(True)  # a hydrogen that is not there is not drawn
    with rdBase.BlockLogs():
        if not whole:
            Chem.SanitizeMol(mol)
            mol = Chem.RemoveHs(mol)
            Chem.Kekulize(mol, clearAromaticFlags=True)
        mol.UpdatePropertyCache(strict=False)
        Chem.FastFindRings(mol)
        rdDepictor.Compute2DCoords(mol)
    if whole:
        _keep_apart(mol, positions)
    wrong = (~stable_atoms(numbers, orders)).nonzero().squeeze(-1).tolist() if whole else []
    return mol, wrong


def _keep_apart(mol: Mol, positions: Tensor) -> None:
    """Lay the cloud flat as it is, where the drawing puts two atoms in one place: bonds of no length cannot be drawn.

    Clouds that are far from any molecule are bound each to each, and have no drawing that is flat.
    """
    flat = torch.as_tensor(mol.GetConformer().GetPositions())
    if len(flat) < 2 or float(torch.pdist(flat).min()) > _TOUCHING:
        return
    centred = positions.double() - positions.double().mean(0)
    plane = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    own = centred @ plane.mT
    size = float(torch.pdist(own).median())
    # far enough from each other for a bond to have a direction, should two lie behind one another
    own = own / max(size, 1e-6) + _TOUCHING * torch.arange(len(own)).unsqueeze(-1)
    for atom, (x, y) in enumerate(own.tolist()):
        mol.GetConformer().SetAtomPosition(atom, (x, y, 0.0))
