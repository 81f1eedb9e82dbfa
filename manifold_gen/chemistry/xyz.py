"""XYZ files: for each molecule its atom count, a comment line, and a line ``symbol x y z`` for each atom, in ångström.

``name=number`` in the comment line is a property; ``charge=…`` is the net charge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from manifold_gen.chemistry.elements import element_number, element_symbol
from manifold_gen.chemistry.records import Record
from manifold_gen.errors import DataError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_UNFIT = re.compile(r"[=\s]+")
_PROPERTY = re.compile(rf"(?:^|\s)([^\s=]+)=({_NUMBER})(?=\s|$)")


def split_xyz(text: str) -> Iterator[str]:
    """The frames: each begins with a line that holds one integer, so that a broken one does not spoil the next."""
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        # The comment, right after the count, may be an integer too.
        end = start + 2 if _is_count(lines[start]) else start + 1
        while end < len(lines) and not _is_count(lines[end]):
            end += 1
        yield "\n".join(lines[start:end])
        start = end


def parse_xyz(frame: str) -> Record:
    """One frame.

    Raises:
        DataError: what is wrong with it.

    >>> record = parse_xyz("2\\nenergy=-1.5\\nH 0 0 0\\nF 0 0 0.92")
    >>> record.numbers, record.properties
    ([1, 9], {'energy': -1.5})
    """
    first, comment, *rest = [*frame.split("\n"), ""]
    if not _is_count(first):
        raise DataError(f"it begins with {first.strip()[:40]!r}; expected the number of atoms")
    atoms, expected = [line.split() for line in rest if line.strip()], int(first)
    if len(atoms) != expected:
        raise DataError(f"its first line says {expected} atoms and {len(atoms)} lines of atoms follow")
    numbers = [element_number(cells[0]) for cells in atoms]
    positions = np.array([_coordinates(cells, i) for i, cells in enumerate(atoms, start=1)]).reshape(-1, 3)
    found = {name: float(value) for name, value in _PROPERTY.findall(comment)}
    properties = {name: value for name, value in found.items() if math.isfinite(value)}
    charge = round(properties.pop("charge", 0.0))
    return Record(positions, numbers, charge, properties)


def format_xyz(positions: Tensor, numbers: Tensor, properties: dict[str, float]) -> str:
    """One frame, its coordinates with six decimals and its properties in the comment.

    >>> print(format_xyz(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.92]]), torch.tensor([1, 9]), {"energy": -1.5}))
    2
    energy=-1.5
    H       0.000000     0.000000     0.000000
    F       0.000000     0.000000     0.920000
    <BLANKLINE>
    """
    comment = " ".join(f"{_UNFIT.sub('_', name)}={value:.9g}" for name, value in properties.items())
    rows = positions.detach().to("cpu", torch.float64).tolist()
    atoms = [
        f"{element_symbol(z):<2} {x:>13.6f}{y:>13.6f}{w:>13.6f}"
        for z, (x, y, w) in zip(numbers.tolist(), rows, strict=True)
    ]
    return "\n".join([str(len(atoms)), comment, *atoms, ""])


def _is_count(line: str) -> bool:
    cell = line.strip()
    return cell.isascii() and cell.isdigit() and len(cell) < 10


def _coordinates(cells: list[str], atom: int) -> list[float]:
    if len(cells) < 4:
        raise DataError(f"atom {atom} reads {' '.join(cells)[:40]!r}; expected: symbol x y z")
    try:
        return [float(cell) for cell in cells[1:4]]
    except ValueError as error:
        given = " ".join(cells[1:4])[:60]
        raise DataError(f"the coordinates of atom {atom} are {given!r}; expected three numbers") from error
