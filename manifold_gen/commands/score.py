"""``manifold-gen score``: how likely each row of a file is."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import TextIO

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.kinds import Scores, Scoring, kind_of, understood
from manifold_gen.commands.runs import open_run, output_path, whole_number


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("file", metavar="FILE")
@click.option("-o", "--out", metavar="FILE", help="File to write, .csv or .tsv; standard output where left out.")
@click.option("--project", is_flag=True, help="Put points that are off the manifold onto it.")
@click.option("--samples", metavar="N", help="Noises of each molecule.  [default: the model's]")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the noises of molecules.  [default: 0]")
@click.option("--chunk", default="10000", metavar="N", help="Points scored at once, which bounds the memory.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1.")
@click.option("--overwrite", is_flag=True, help="Replace the file where it exists.")
@common_options
def score(
    console: Console,
    run: str,
    file: str,
    out: str | None,
    project: bool,
    samples: str | None,
    seed: int,
    chunk: str,
    device: str,
    overwrite: bool,
) -> None:
    """How likely each row of FILE is under the model of RUN, in nats; one row for each.

    Points: log_prob with respect to the volume of the manifold (radians, not degrees), the residual of the inversion
    behind it, and whether that converged; where it did not, log_prob is -inf.

    Molecules: formula, atoms and bound, an estimate of a lower bound of log p(n) + log p(x | n) from --samples noises;
    -inf where the model does not know the size. Records that cannot be read are named and have no row.

    \b
    manifold-gen score runs/rama angles.csv -o scores.csv
    manifold-gen score qm9-flow-matching molecules.sdf -o scores.csv
    """
    target = output_path(out, (".csv", ".tsv"), overwrite=overwrite) if out else None
    size = whole_number(chunk, "--chunk")
    model, fmt = open_run(run, device)
    kind = kind_of(fmt)
    given = {"--project": "yes" if project else None, "--samples": samples}
    flags = understood(given, kind.score_flags, kind)
    found = kind.score(Scoring(model, fmt, run, file, size, seed, flags))
    if target is not None:
        _write_file(target, found)
    elif not console.json:
        _write(sys.stdout, found, ",")
    console.note(found.said)
    named = (dict(zip(found.columns, row, strict=True)) for row in found.rows)
    place = {"out": str(target)} if target else {"scores": list(named)}
    console.result({"run": run, "file": file, "rows": len(found.rows), **found.record, **place})


def _write(stream: TextIO, found: Scores, delimiter: str) -> None:
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(found.columns)
    writer.writerows([_cell(value) for value in row] for row in found.rows)


def _cell(value: object) -> object:
    return f"{value:.9g}" if isinstance(value, float) else int(value) if isinstance(value, bool) else value


def _write_file(target: Path, found: Scores) -> None:
    """The file appears whole or not at all."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", newline="") as stream:
            _write(stream, found, "\t" if target.suffix == ".tsv" else ",")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
