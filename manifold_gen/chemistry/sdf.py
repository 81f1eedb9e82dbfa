"""SD files: molfiles, V2000 and V3000, each with named data, separated by ``$$$$``.

The format is that of *CTfile formats*, BIOVIA 2020. Only what a point cloud needs is read: elements, coordinates, net
charge and the data that are numbers. Reading and writing need no library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from manifold_gen.chemistry.elements import element_number, element_symbol
from manifold_gen.chemistry.records import Record
from manifold_gen.errors import DataError, UsageError

# Charge codes of the atom block; 4 is a neutral doublet radical.
_CHARGES = {0: 0, 1: 3, 2: 2, 3: 1, 4: 0, 5: -1, 6: -2, 7: -3}
_DATA = re.compile(r"^>[^\n]*<([^>\n]+)>[^\n]*\n([^\n]*)\n(?:\s*\n|\s*\Z|(?=>))", re.MULTILINE)
_MOST = 999
# How the lines of the property block begin.
_AFTER_BONDS = "MAVGS"


def split_sdf(text: str) -> Iterator[str]:
    """The records, without the lines that end them; what follows the last one counts if it is not blank."""
    blocks = re.split(r"^\$\$\$\$[^\n]*\n?", text, flags=re.MULTILINE)
    yield from (block for i, block in enumerate(blocks, start=1) if i < len(blocks) or block.strip())


def parse_sdf(block: str) -> Record:
    """One record.

    Raises:
        DataError: what is wrong with it.
    """
    lines = block.split("\n")
    if len(lines) < 4 or not block.strip():
        raise DataError("it ends before its fourth line, which gives the number of atoms")
    end = next((i for i, line in enumerate(lines) if line.startswith("M  END")), None)
    if end is None:
        raise DataError("it is cut off: there is no line 'M  END'")
    if lines[1][20:22].upper() == "2D":
        raise DataError("it is a drawing in two dimensions; give coordinates in three")
    read = _read_v3000 if "V3000" in lines[3] else _read_v2000
    positions, symbols, charge = read(lines[3:end])
    numbers = [element_number(symbol) for symbol in symbols]
    return Record(np.array(positions, dtype=np.float64).reshape(-1, 3), numbers, charge, _data("\n".join(lines[end:])))


def format_sdf(title: str, positions: Tensor, numbers: Tensor, orders: Tensor, properties: dict[str, float]) -> str:
    """One V2000 record, its coordinates with four decimals.

    Args:
        title: its first line.
        positions: ``(n, 3)``, ångström, below 10,000.
        numbers: ``(n,)`` atomic numbers.
        orders: ``(n, n)`` symmetric bond orders 0 to 3.
        properties: its data.

    Raises:
        UsageError: it has more than 999 atoms or bonds, which the format cannot count.
    """
    first, second = orders.triu(1).nonzero(as_tuple=True)
    if max(len(numbers), len(first)) > _MOST:
        raise UsageError(
            f"molecule {title} has {len(numbers)} atoms and {len(first)} bonds; SD files (V2000) hold up to {_MOST} of "
            "each: write .xyz instead"
        )
    rows = positions.detach().to("cpu", torch.float64).tolist()
    atoms = [
        f"{x:10.4f}{y:10.4f}{w:10.4f} {element_symbol(z):<3} 0  0  0  0  0  0  0  0  0  0  0  0"
        for z, (x, y, w) in zip(numbers.tolist(), rows, strict=True)
    ]
    chosen = zip(first.tolist(), second.tolist(), orders[first, second].tolist(), strict=True)
    bonds = [f"{i + 1:3d}{j + 1:3d}{order:3d}  0" for i, j, order in chosen]
    counts = f"{len(atoms):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000"
    data = [line for name, value in properties.items() for line in (f">  <{name}>", f"{value:.9g}", "")]
    header = [title, "  mnfldgen          3D", ""]
    return "\n".join([*header, counts, *atoms, *bonds, "M  END", *data, "$$$$", ""])


_Atoms = tuple[list[list[float]], list[str], int]


def _read_v2000(lines: Sequence[str]) -> _Atoms:
    """Coordinates, symbols and net charge of the lines from the counts on."""
    atoms, bonds = _count(lines[0][:3]), _count(lines[0][3:6])
    if len(lines) < 1 + atoms + bonds:
        raise DataError(f"its counts are {atoms} atoms and {bonds} bonds; only {len(lines) - 1} lines follow")
    positions, symbols, charge = [], [], 0
    for i, line in enumerate(lines[1 : 1 + atoms], start=1):
        positions.append(_coordinates([line[:10], line[10:20], line[20:30]], i))
        symbols.append(line[31:34].strip())
        charge += _CHARGES.get(_count(line[36:39] or "0"), 0)
    known = {str(atom) for atom in range(1, atoms + 1)}
    for i, line in enumerate(lines[1 + atoms : 1 + atoms + bonds], start=1):
        if not {line[:3].strip(), line[3:6].strip()} <= known:
            raise DataError(f"bond {i} reads {line.strip()[:40]!r}, whose atoms are not among the {atoms}")
    rest = lines[1 + atoms + bonds :]
    if rest and rest[0].strip() and rest[0][0] not in _AFTER_BONDS:
        raise DataError(f"its counts are {atoms} atoms and {bonds} bonds; then follows {rest[0].strip()[:40]!r}")
    given = [line for line in rest if line.startswith(("M  CHG", "M  RAD"))]
    if given:  # These lines take the place of all charges of the atom block.
        charge = sum(_count(cell) for line in given if line.startswith("M  CHG") for cell in line[9:].split()[1::2])
    return positions, symbols, charge


def _read_v3000(lines: Sequence[str]) -> _Atoms:
    """The same of a V3000 connection table, whose lines may go on after a hyphen."""
    text = "\n".join(line[7:] for line in lines if line.startswith("M  V30 "))
    rows = text.replace("-\n", "").split("\n")
    if "BEGIN ATOM" not in rows or "END ATOM" not in rows:
        raise DataError("its atom block is missing or does not end")
    atoms = [row.split() for row in rows[rows.index("BEGIN ATOM") + 1 : rows.index("END ATOM")]]
    counted = next((_count(row.split(" ")[1]) for row in rows if row.startswith("COUNTS ")), 0)
    if counted != len(atoms):
        raise DataError(f"its counts are {counted} atoms and {len(atoms)} lines of atoms follow")
    positions = [_coordinates(cells[2:5], i) for i, cells in enumerate(atoms, start=1)]
    charges = [_count(cell[4:]) for cells in atoms for cell in cells[6:] if cell.startswith("CHG=")]
    return positions, [cells[1] for cells in atoms], sum(charges)


def _count(cell: str) -> int:
    try:
        return int(cell)
    except ValueError as error:
        raise DataError(f"it has {cell.strip()[:20]!r} where a whole number is expected") from error


def _coordinates(cells: Sequence[str], atom: int) -> list[float]:
    try:
        x, y, z = map(float, cells)
    except ValueError as error:
        given = " ".join(cells)[:60]
        raise DataError(f"the coordinates of atom {atom} are {given!r}; expected three numbers") from error
    return [x, y, z]


def _data(text: str) -> dict[str, float]:
    """The data items that are one finite number."""
    values = {}
    for name, value in _DATA.findall(text):
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number):
            values[name] = number
    return values
