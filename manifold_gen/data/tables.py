"""Tables of numbers and labels from ``.csv``, ``.tsv``, ``.npy`` and ``.npz`` files."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manifold_gen.errors import DataError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_MISSING = {"", "na", "n/a", "null", "none", "nan", "-nan", "?"}


@dataclass(frozen=True)
class Table:
    """Named columns of one length.

    Attributes:
        path: where it was read.
        cells: text or numbers of each column.
        lines: line number of each row in a text file, row number from 0 in a binary one.
        header: whether the names stand in the file (else they are made up: ``column_0`` …).
        shape: of the array that one row was flattened from, where it had several axes; else ``()``.
    """

    path: Path
    cells: dict[str, np.ndarray]
    lines: np.ndarray
    header: bool
    shape: tuple[int, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names in the order of the file."""
        return list(self.cells)

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        """How to call a row in a message."""
        unit = "line" if self.path.suffix.lower() in _DELIMITERS else "row"
        return f"{unit} {self.lines[row]}"

    def take(self, rows: Sequence[int]) -> Table:
        """The table of some rows."""
        index = np.asarray(rows, dtype=np.int64)
        return Table(
            self.path, {name: cell[index] for name, cell in self.cells.items()}, self.lines[index], self.header
        )

    def resolve(self, wanted: Sequence[str]) -> list[str]:
        """Names of columns that were asked for by name or by number (from 0); ``DataError`` where one is missing."""
        return [self._resolve(str(name)) for name in wanted]

    def _resolve(self, name: str) -> str:
        if name in self.cells:
            return name
        if name.isdecimal() and int(name) < len(self.cells):
            return self.columns[int(name)]
        raise DataError(
            f"{self.path} has no column {name!r}; its {len(self.cells)} columns are {', '.join(self.columns)} "
            "(a number counts from 0)"
        )

    def is_text(self, column: str) -> bool:
        """Whether some cell of the column is neither a number nor a missing value."""
        return any(_number(cell) is None for cell in self.cells[column])

    def numbers(self, columns: Sequence[str]) -> np.ndarray:
        """``(N, k)`` float64 values of some columns; a missing value is NaN.

        Raises:
            DataError: a cell is not a number; names its line.
        """
        values = np.empty((len(self), len(columns)))
        for j, column in enumerate(columns):
            for i, cell in enumerate(self.cells[column].tolist()):
                number = _number(cell)
                if number is None:
                    raise DataError(
                        f"{self.path}, {self.where(i)}, column {column}: {cell!r} is not a number; correct it, "
                        "or choose other columns"
                    )
                values[i, j] = number
        return values


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> Table:
    """Read a file by its ending.

    Text files may have comment lines (``#``), blank lines and one header line; ``columns`` names the columns of a file
    that has none. A ``.npy`` holds an array ``(N, …)`` whose rows are flattened; a ``.npz`` holds ``x`` likewise (and
    ``columns``), or one array per column.

    Raises:
        DataError: missing, empty, malformed or of an unknown kind.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file {path} (looked in {path.resolve().parent}); check the name")
    if not path.is_file():
        raise DataError(f"{path} is not a file; give a .csv, .tsv, .npy or .npz file")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); expected rows of numbers")
    if path.suffix.lower() in _DELIMITERS:
        return _read_text(path, columns)
    if path.suffix.lower() in (".npy", ".npz"):
        return _read_binary(path, columns)
    raise DataError(f"{path} ends in {path.suffix!r}; expected .csv, .tsv, .npy or .npz")


def _read_text(path: Path, columns: Sequence[str] | None) -> Table:
    rows: list[list[str]] = []
    lines: list[int] = []
    names = list(columns) if columns is not None else None
    header = columns is not None
    for line, row in _text_rows(path):
        if names is None:
            header = all(_number(cell) is None for cell in row)
            names = _unique(path, line, row) if header else [f"column_{i}" for i in range(len(row))]
            if header:
                continue
        if len(row) != len(names):
            raise DataError(
                f"{path}, line {line}: {len(row)} cells, expected {len(names)} as in the lines before; "
                "correct or remove the line"
            )
        rows.append(row)
        lines.append(line)
    if not rows:
        raise DataError(f"{path} has no rows of data; expected one point a line")
    cells = dict(zip(names or [], np.array(rows, dtype=str).T, strict=True))
    return Table(path, cells, np.array(lines), header)


def _text_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is neither blank nor a comment."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=_DELIMITERS[path.suffix.lower()], strict=True)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells) and not cells[0].startswith("#"):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}; correct the line") from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is not UTF-8 text after line {reader.line_num} ({error.reason}); save it as UTF-8"
            ) from error


def _unique(path: Path, line: int, names: list[str]) -> list[str]:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(f"{path}, line {line}: the header names {', '.join(sorted(twice))} twice; rename a column")
    return names


def _read_binary(path: Path, columns: Sequence[str] | None) -> Table:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"x": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as {path.suffix}: {error}; expected arrays of numbers (no pickled objects)"
        ) from error
    given = arrays.pop("columns", None)
    if not arrays or any(array.ndim > 0 and array.size == 0 for array in arrays.values()):
        shapes = ", ".join(f"{key} {array.shape}" for key, array in arrays.items()) or "no array"
        raise DataError(f"{path} has 0 rows or columns ({shapes}); expected one row a point")
    cells: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        cells |= _array_columns(path, key, array, given if key == "x" else None)
    lengths = {name: len(cell) for name, cell in cells.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"{path}: the arrays differ in length: {lengths}; expected one row a point")
    count = next(iter(lengths.values()))
    if columns is not None:
        cells = dict(zip(columns, cells.values(), strict=True))
    header = columns is not None or given is not None or set(arrays) != {"x"}
    shape = arrays["x"].shape[1:] if "x" in arrays and arrays["x"].ndim > 2 else ()
    return Table(path, cells, np.arange(count), header, shape)


def _array_columns(path: Path, key: str, array: np.ndarray, names: np.ndarray | None) -> dict[str, np.ndarray]:
    if array.dtype.kind not in "iufU":
        raise DataError(f"{path}: array {key!r} has dtype {array.dtype}; expected real numbers (or text labels)")
    if array.dtype == np.float16:
        raise DataError(f"{path}: array {key!r} is float16, which keeps 3 digits; save it as float32 or float64")
    if array.ndim == 0:
        raise DataError(f"{path}: array {key!r} has shape (); expected one row a point")
    flat = array.reshape(len(array), -1)
    if array.ndim == 1 and key != "x":
        return {key: array}
    stem = "column" if key == "x" else key
    labels = [f"{stem}_{i}" for i in range(flat.shape[1])] if names is None else [str(name) for name in names]
    if len(labels) != flat.shape[1]:
        raise DataError(f"{path}: {len(labels)} names in 'columns' for {flat.shape[1]} columns of 'x'")
    return dict(zip(labels, flat.T, strict=True))


def _number(cell: object) -> float | None:
    """The cell as a number, NaN where it says that it is missing, ``None`` where it is neither."""
    try:
        return float(cell)  # type: ignore[arg-type]
    except ValueError:
        return float("nan") if str(cell).strip().lower() in _MISSING else None
