"""A user's own files: points and context in, points out in the same columns and units."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from manifold_gen.data import draws
from manifold_gen.data.assemble import assemble
from manifold_gen.data.base import Dataset, Split
from manifold_gen.data.faults import all_rows, nonfinite
from manifold_gen.data.formats import ContextFormat, PointFormat, make_format
from manifold_gen.data.locations import sha256
from manifold_gen.data.tables import Table, read_table
from manifold_gen.data.validation import check_splittable, warn_if_out_of_scale, warn_if_repeated
from manifold_gen.errors import DataError, RunFolderError, UsageError
from manifold_gen.manifolds.specs import from_spec

_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def load_file(
    path: str | Path,
    manifold: str,
    *,
    units: str | None = None,
    columns: Sequence[str] | None = None,
    context: Sequence[str] | None = None,
    categorical: bool = False,
    representation: str | None = None,
    on_bad_row: str = "error",
    project: bool = False,
    split_seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Dataset:
    """A data set from a ``.csv``, ``.tsv``, ``.npy`` or ``.npz`` file, split 80/10/10 at random.

    Args:
        path: the file; text may have a header line and comment lines (``#``).
        manifold: a spec such as ``"torus:2"`` or ``"sphere:2 x euclidean:1"``; a lone ``"torus"`` or ``"sphere"`` takes
            its dimension from the number of columns.
        units: of angles; default degrees for latitude and longitude, else radians.
        columns: names or numbers (from 0) of the columns of the points; default: all that are not context.
        context: columns of the context. Numbers stay numbers; text becomes integers, numbered by sorted label.
        categorical: treat numbers in the context as labels too.
        representation: ``"latlon"``, ``"quaternion"``, ``"axis-angle"`` …; default: what fits the number of columns.
        on_bad_row: ``"error"``, or ``"drop"`` to leave out bad rows with a warning.
        project: put points that are off the manifold onto it instead of refusing them.
        split_seed: seed of the split.
        dtype: floating type of the points.

    Returns:
        A ``Dataset`` whose ``info["format"]`` says how to write points in the same columns and units.

    Raises:
        DataError: the file or some of its rows cannot be used.
        UsageError: columns, units or representation do not fit the manifold.
    """
    table = read_table(path)
    fmt = _format_of(table, manifold, units, columns, context, categorical, representation)
    split = _points(table, fmt, on_bad_row=on_bad_row, project=project, dtype=dtype)
    check_splittable(len(split))
    warn_if_repeated(split.x)
    warn_if_out_of_scale(split.x, from_spec(fmt.manifold))
    info = {"origin": str(path), "sha256": sha256(Path(path)), "split_seed": split_seed, "format": fmt.to_dict()}
    index = draws.split_index(len(split), split_seed)
    name = Path(path).stem
    return assemble(name, from_spec(fmt.manifold), split.x, index, dtype=dtype, context=split.context, info=info)


def read_points(
    path: str | Path,
    fmt: PointFormat,
    *,
    dtype: torch.dtype = torch.float32,
    on_bad_row: str = "error",
    project: bool = False,
) -> Tensor:
    """Points ``(N, *shape)`` of a file in a known format; columns are found by name, or by place without a header."""
    bare = PointFormat(fmt.manifold, fmt.representations, fmt.columns, fmt.units)
    return read_split(path, bare, dtype=dtype, on_bad_row=on_bad_row, project=project).x


def read_split(
    path: str | Path,
    fmt: PointFormat,
    *,
    dtype: torch.dtype = torch.float32,
    on_bad_row: str = "error",
    project: bool = False,
) -> Split:
    """Points and, where the format has one, their context."""
    return _points(_named(read_table(path), fmt), fmt, on_bad_row=on_bad_row, project=project, dtype=dtype)


def write_points(path: str | Path, points: Tensor, fmt: PointFormat, context: Tensor | None = None) -> None:
    """Write points (and their context) so that ``read_points`` gives them back.

    Text has 17 significant digits for float64 and 9 for float32. The file appears whole or not at all.

    Raises:
        UsageError: an ending other than ``.csv``, ``.tsv``, ``.npy``, ``.npz``; a context the format does not have.
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".tsv", ".npy", ".npz"):
        raise UsageError(f"{path} ends in {path.suffix!r}; expected .csv, .tsv, .npy or .npz")
    if (context is None) != (fmt.context is None):
        raise UsageError(f"the format has {'no' if fmt.context is None else 'a'} context and the points differ in that")
    values = fmt.encode(points)
    cells = {} if fmt.context is None or context is None else _context_cells(fmt.context, context)
    digits = 17 if points.dtype == torch.float64 else 9
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if path.suffix == ".npy":
            np.save(temporary, values, allow_pickle=False)
        elif path.suffix == ".npz":
            np.savez(temporary, x=values, columns=np.array(fmt.columns), **cells)
        else:
            _write_text(temporary, values, fmt.columns, cells, digits)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path} could not be written ({error.strerror or error}); nothing there was changed"
        ) from error


def _write_text(
    path: Path, values: np.ndarray, columns: Sequence[str], cells: dict[str, np.ndarray], digits: int
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=_SEPARATORS[path.suffix], lineterminator="\n")
        writer.writerow([*columns, *cells])
        extra = list(cells.values())
        for i, row in enumerate(values.tolist()):
            writer.writerow([*(f"{value:.{digits}g}" for value in row), *(column[i] for column in extra)])


def _context_cells(fmt: ContextFormat, context: Tensor) -> dict[str, np.ndarray]:
    rows = context.detach().cpu().reshape(len(context), -1)
    if fmt.labels is None:
        return {name: rows[:, j].to(torch.float64).numpy() for j, name in enumerate(fmt.columns)}
    return {name: np.array(fmt.labels[j])[rows[:, j].numpy()] for j, name in enumerate(fmt.columns)}


def _format_of(
    table: Table,
    manifold: str,
    units: str | None,
    columns: Sequence[str] | None,
    context: Sequence[str] | None,
    categorical: bool,
    representation: str | None,
) -> PointFormat:
    beside = table.resolve(context or [])
    chosen = table.resolve(columns) if columns else [name for name in table.columns if name not in beside]
    twice = sorted({name for name in [*chosen, *beside] if [*chosen, *beside].count(name) > 1})
    if twice:
        raise UsageError(f"columns chosen twice: {', '.join(twice)}; a column is a coordinate or context, once")
    fmt = make_format(
        manifold,
        columns=chosen,
        units=units,
        representation=representation,
        context=_context_format(table, beside, categorical) if beside else None,
    )
    if table.shape and table.shape != tuple(from_spec(fmt.manifold).shape):
        raise UsageError(
            f"{table.path} holds arrays of shape {table.shape}, which are no points of {fmt.manifold}; choose another "
            f"manifold, or save them as (N, {len(chosen)}) if that is what they are"
        )
    return fmt


def _context_format(table: Table, columns: list[str], categorical: bool) -> ContextFormat:
    text = [name for name in columns if table.is_text(name)]
    if not text and not categorical:
        return ContextFormat(columns)
    if len(text) < len(columns) and not categorical:
        raise UsageError(
            f"context columns {', '.join(text)} hold labels and the others numbers; give one kind, or treat all as "
            "labels with categorical=True (--categorical)"
        )
    return ContextFormat(columns, [sorted(set(table.cells[name].astype(str).tolist())) for name in columns])


def _named(table: Table, fmt: PointFormat) -> Table:
    """The table under the format's names: by its own where it has them all, else by place."""
    wanted = [*fmt.columns, *(fmt.context.columns if fmt.context is not None else [])]
    if all(name in table.cells for name in wanted):
        return table
    if not table.header and len(table.columns) == len(wanted):
        return Table(table.path, dict(zip(wanted, table.cells.values(), strict=True)), table.lines, True)
    raise DataError(
        f"{table.path} has columns {', '.join(table.columns)}; expected {', '.join(wanted)}, by name or, "
        "without a header, in this order"
    )


def _points(table: Table, fmt: PointFormat, *, on_bad_row: str, project: bool, dtype: torch.dtype) -> Split:
    """Points and context of the rows that can be used."""
    rows = all_rows(len(table), table.where, on_bad_row)
    values = torch.from_numpy(table.numbers(fmt.columns))
    context = None if fmt.context is None else _context(table, fmt.context)
    if context is not None:
        keep = rows.settle(nonfinite(torch.cat([values, context.to(values.dtype)], -1)))
        values, rows = values[keep], rows.keep(keep)
    points, left = fmt.decode_rows(values, rows, dtype=dtype, project=project)
    if context is None:
        return Split(points)
    kept = context[left.index]
    return Split(points, kept.to(dtype) if kept.is_floating_point() else kept)


def _context(table: Table, fmt: ContextFormat) -> Tensor:
    """``(N, c)``: numbers as they are, labels as their numbers."""
    if fmt.labels is None:
        return torch.from_numpy(table.numbers(fmt.columns))
    columns = []
    for name, labels in zip(fmt.columns, fmt.labels, strict=True):
        number = {label: i for i, label in enumerate(labels)}
        cells = table.cells[name].astype(str).tolist()
        unknown = next((i for i, cell in enumerate(cells) if cell not in number), None)
        if unknown is not None:
            raise DataError(
                f"{table.path}, {table.where(unknown)}, column {name}: unknown label {cells[unknown]!r}; "
                f"known are {', '.join(labels)}"
            )
        columns.append(torch.tensor([number[cell] for cell in cells]))
    return torch.stack(columns, -1)
