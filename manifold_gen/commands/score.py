"""``manifold-gen score``: log-density of each row of a file."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.runs import device_of, floating_type, open_run, output_path, whole_number
from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    from manifold_gen.data.base import Split
    from manifold_gen.models.base import GenerativeModel

Row = tuple[float, float, bool]
_HEADER = ("log_prob", "residual", "converged")


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("file", metavar="FILE")
@click.option("-o", "--out", metavar="FILE", help="File to write, .csv or .tsv; standard output where left out.")
@click.option("--project", is_flag=True, help="Put points that are off the manifold onto it.")
@click.option("--chunk", default="10000", metavar="N", help="Rows scored at once, which bounds the memory.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1.")
@click.option("--overwrite", is_flag=True, help="Replace the file where it exists.")
@common_options
def score(
    console: Console,
    run: str,
    file: str,
    out: str | None,
    project: bool,
    chunk: str,
    device: str,
    overwrite: bool,
) -> None:
    """Log-density of each row of FILE under the model of RUN, in nats.

    One row for each row of FILE: log_prob with respect to the volume of the manifold (radians, not degrees), the
    residual of the inversion behind it, and whether that converged; where it did not, log_prob is -inf.
    """
    target = output_path(out, (".csv", ".tsv"), overwrite=overwrite) if out else None
    size = whole_number(chunk, "--chunk")
    from manifold_gen.data.files import read_split
    from manifold_gen.distributions.base import Distribution
    from manifold_gen.models import name_of

    model, fmt = open_run(run, device)
    if not isinstance(model, Distribution):
        raise UsageError(
            f"{name_of(model.kind)} on {model.manifold} has no log-density that a row can be given; "
            f"'manifold-gen evaluate {run}' says how good what it draws is"
        )
    split = read_split(file, fmt, dtype=floating_type(model), project=project)
    rows = _score(model, split, size)
    if target is not None:
        _write_file(target, rows)
    elif not console.json:
        _write(sys.stdout, rows, ",")
    _conclude(console, run, file, rows, target)


def _score(model: GenerativeModel, split: Split, size: int) -> list[Row]:
    """In double precision, as ``evaluate`` does: the tolerance of the inversion is then 1e-10."""
    import torch

    model = model.to(torch.float64)
    split = split.to(dtype=torch.float64, device=device_of(model))
    rows: list[Row] = []
    with torch.no_grad():
        for start in range(0, len(split), size):
            context = None if split.context is None else split.context[start : start + size]
            record = model.score(model.manifold.projx(split.x[start : start + size]), context)
            columns = (record.log_prob, record.residual, record.converged)
            rows.extend(zip(*(column.cpu().tolist() for column in columns), strict=True))
    return rows


def _write(stream: TextIO, rows: list[Row], delimiter: str) -> None:
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows((f"{log_prob:.9g}", f"{residual:.3g}", int(converged)) for log_prob, residual, converged in rows)


def _write_file(target: Path, rows: list[Row]) -> None:
    """The file appears whole or not at all."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", newline="") as stream:
            _write(stream, rows, "\t" if target.suffix == ".tsv" else ",")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _conclude(console: Console, run: str, file: str, rows: list[Row], target: Path | None) -> None:
    good = [log_prob for log_prob, _, converged in rows if converged]
    mean = sum(good) / len(good) if good else None
    lost = len(rows) - len(good)
    said = "" if mean is None else f", mean log-density {mean:.4f} nats"
    console.note(f"{len(rows):,} rows of {file}{said}, {lost} not converged")
    console.result(
        {
            "run": run,
            "file": file,
            "rows": len(rows),
            "mean_log_prob": mean,
            "unconverged": lost,
            **({"out": str(target)} if target else {"scores": [dict(zip(_HEADER, row, strict=True)) for row in rows]}),
        }
    )
