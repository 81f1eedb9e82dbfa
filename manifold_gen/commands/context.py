"""The context that a sample is drawn for, from the command line or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.commands.runs import POINT_FILES, floating_type
from manifold_gen.errors import DataError, UsageError

if TYPE_CHECKING:
    import torch

    from manifold_gen.data.formats import ContextFormat
    from manifold_gen.data.kinds import Format
    from manifold_gen.models.base import GenerativeModel


def context_rows(model: GenerativeModel, fmt: Format, given: str | None, n: int) -> torch.Tensor | None:
    """``(n, c)`` context in the numbers the model takes, or ``None`` where it takes none."""
    if fmt.context is None:
        if given is not None:
            raise UsageError("this model was fitted without context; leave out --context")
        return None
    names = ",".join(fmt.context.columns)
    if given is None:
        raise UsageError(f"this model was fitted with context; add --context {names}, with a value for each")
    if Path(given).suffix.lower() in POINT_FILES:
        rows = _context_of_file(fmt.context, given, n)
    else:
        rows = _row(fmt.context, [cell.strip() for cell in given.split(",")]).expand(n, -1)
    return fmt.model_context(rows.to(_context_type(model, fmt.context)))


def _context_type(model: GenerativeModel, fmt: ContextFormat) -> torch.dtype:
    import torch

    return floating_type(model) if fmt.labels is None else torch.int64


def _row(fmt: ContextFormat, cells: list[str]) -> torch.Tensor:
    """One row of context from its texts."""
    import torch

    if len(cells) != len(fmt.columns):
        raise UsageError(
            f"{len(cells)} values of context were given; expected {len(fmt.columns)}: {', '.join(fmt.columns)}"
        )
    values = []
    for j, (name, cell) in enumerate(zip(fmt.columns, cells, strict=True)):
        if fmt.labels is None:
            values.append(_number(name, cell))
        elif cell in fmt.labels[j]:
            values.append(fmt.labels[j].index(cell))
        else:
            raise UsageError(f"context {name} is {cell!r}; known labels are {', '.join(fmt.labels[j])}")
    return torch.tensor([values])


def _number(name: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise UsageError(f"context {name} is {cell!r}; expected a number") from error


def _context_of_file(fmt: ContextFormat, path: str, n: int) -> torch.Tensor:
    """``(n, c)`` context from the columns of a file."""
    import torch

    from manifold_gen.data.tables import read_table

    table = read_table(path)
    if len(table) != n:
        raise DataError(
            f"{path} has {len(table)} rows of context for {n} points; give one row a point (-n {len(table)})"
        )
    names = table.resolve(fmt.columns)
    if fmt.labels is None:
        return torch.from_numpy(table.numbers(names))
    cells = zip(*(table.cells[name].astype(str).tolist() for name in names), strict=True)
    return torch.cat([_row(fmt, list(row)) for row in cells])
