"""Files of molecules, read and written: SDF, XYZ, SMILES."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from manifold_gen.chemistry.bonds import bond_orders
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.chemistry.records import Record, listed, load_records
from manifold_gen.chemistry.sdf import format_sdf, parse_sdf, split_sdf
from manifold_gen.chemistry.smiles import check_rdkit, format_smiles, parse_smiles, split_smiles
from manifold_gen.chemistry.xyz import format_xyz, parse_xyz, split_xyz
from manifold_gen.errors import DataError, RunFolderError, UsageError

_READERS: dict[str, tuple[Callable[[str], Iterator[str]], Callable[[str], Record]]] = {
    ".sdf": (split_sdf, parse_sdf),
    ".mol": (split_sdf, parse_sdf),
    ".xyz": (split_xyz, parse_xyz),
    ".smi": (split_smiles, parse_smiles),
    ".smiles": (split_smiles, parse_smiles),
}
_WRITTEN = (".sdf", ".xyz", ".smi")
# What ten columns with four decimals hold.
_FARTHEST = 9999.0


def read_molecules(path: str | Path, *, dtype: torch.dtype = torch.float32) -> Molecules:
    """The molecules of a file, in its order and at its coordinates.

    ``.sdf`` and ``.mol`` (V2000 and V3000) and ``.xyz`` (any number of frames) need no library. ``.smi`` has one SMILES
    a line; RDKit adds the hydrogens and makes a conformation. Records that cannot be used are left out with one warning
    that gives their numbers and reasons: broken ones, unknown elements, coordinates that are not finite or all equal,
    single atoms, charged species. Numbers that every record names (SD data, ``name=value`` in the comment of an XYZ
    frame) become properties.

    Args:
        path: the file.
        dtype: floating type of positions and properties.

    Raises:
        DataError: the file is missing or empty, or no record can be used.
        UsageError: another ending.
        MissingExtraError: SMILES without RDKit.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "two.xyz")
        ...     _ = path.write_text("2\\n\\nH 0 0 0\\nF 0 0 0.92\\n3\\n\\nO 0 0 0\\nH 0 0.76 -0.6\\nH 0 -0.76 -0.6\\n")
        ...     molecules = read_molecules(path)
        >>> molecules.sizes.tolist(), molecules.numbers.tolist()
        ([2, 3], [1, 9, 8, 1, 1])
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise UsageError(f"{path} ends in {path.suffix!r}; molecules are read from {', '.join(_READERS)}")
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check the path") from error
    if not text.strip():
        raise DataError(f"{path} is empty; expected molecules")
    split, parse = _READERS[path.suffix.lower()]
    return load_records(path, split(text), parse, dtype)


def write_molecules(path: str | Path, molecules: Molecules, bonds: Sequence[Tensor] | None = None) -> None:
    """Write molecules, with their properties, as the ending says; the file appears whole or not at all.

    ``.sdf`` has the bonds, ``.xyz`` has none, ``.smi`` has the SMILES of the bonds and the number of the molecule, from
    1. Molecules that cannot be written are left out with one warning that gives their numbers and reasons: coordinates
    that are not finite, and, as SMILES, bonds that RDKit refuses.

    Args:
        path: the file, ending in ``.sdf``, ``.xyz`` or ``.smi``.
        molecules: what to write.
        bonds: symmetric bond orders ``(n, n)``, 0 to 3, of each molecule; by default those that the distances give,
            which exist for H, C, N, O and F (``manifold_gen.chemistry.bonds``).

    Raises:
        UsageError: another ending; the bonds do not fit.
        DataError: nothing can be written; other elements without ``bonds``.
        MissingExtraError: SMILES without RDKit.
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in _WRITTEN:
        raise UsageError(f"{path} ends in {path.suffix!r}; molecules are written to {', '.join(_WRITTEN)}")
    if kind == ".smi":
        check_rdkit()
    orders = [None] * len(molecules) if kind == ".xyz" else _orders(path, molecules, bonds)
    texts, broken = [], []
    for row, ((positions, numbers), own) in enumerate(zip(molecules, orders, strict=True)):
        properties = {name: float(values[row]) for name, values in molecules.properties.items()}
        try:
            texts.append(_text(kind, row + 1, positions, numbers, own, properties))
        except DataError as error:
            broken.append((row + 1, str(error)))
    if broken and not texts:
        raise DataError(f"{path}: none of the {len(broken)} molecules can be written ({listed('molecule', broken)})")
    if broken:
        left = f"{len(broken)} of {len(molecules)} molecules left out"
        warnings.warn(f"{path}: {left} ({listed('molecule', broken)})", stacklevel=2)
    with replacing(path) as temporary:
        temporary.write_text("".join(texts), encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an error.

    Raises:
        RunFolderError: it cannot be written; ``path`` is as it was.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        cause = error.strerror or error
        raise RunFolderError(f"{path} could not be written ({cause}); nothing there was changed") from error


def _text(
    kind: str, number: int, positions: Tensor, numbers: Tensor, orders: Tensor | None, properties: dict[str, float]
) -> str:
    if not bool((positions.abs() < _FARTHEST).all()):
        raise DataError(f"its coordinates are not finite, or beyond {_FARTHEST:g} Å")
    if orders is None:
        return format_xyz(positions, numbers, properties)
    if kind == ".sdf":
        return format_sdf(str(number), positions, numbers, orders, properties)
    return f"{format_smiles(positions, numbers, orders)} {number}\n"


def _orders(path: Path, molecules: Molecules, bonds: Sequence[Tensor] | None) -> list[Tensor]:
    """Bond orders ``(n, n)`` of each molecule: those given, or by distance, molecules of one size together."""
    sizes = molecules.sizes.tolist()
    if bonds is not None:
        shapes = [tuple(own.shape) for own in bonds]
        if shapes != [(n, n) for n in sizes]:
            raise UsageError(f"bonds have shapes {shapes[:5]}…; expected (n, n) of each of {len(sizes)} molecules")
        return [own.cpu() for own in bonds]
    orders: list[Tensor] = [torch.empty(0)] * len(sizes)
    for n in sorted(set(sizes)):
        rows, positions, numbers = molecules.of_size(n)
        try:
            found = bond_orders(positions, numbers).cpu()
        except DataError as error:
            raise DataError(f"{path} needs bonds: {error}; or write .xyz, which has none") from error
        for row, own in zip(rows.tolist(), found, strict=True):
            orders[row] = own
    return orders
