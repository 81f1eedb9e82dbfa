"""``manifold-gen benchmark``: methods side by side on the same data, and the report of what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    from manifold_gen.benchmark.budget import Budget
    from manifold_gen.benchmark.cell import Cell

_TITLES = {
    "earth": "places on the Earth",
    "torus": "torsion angles",
    "so3": "rotations",
    "hyperbolic": "the hyperbolic plane",
    "checkerboards": "checkerboards on S², T² and SO(3)",
    "molecules": "molecules of QM9",
    "all": "all groups but molecules",
}


@click.group(invoke_without_command=False)
def benchmark() -> None:
    """Compare methods on the same data with the same training time.

    \b
    manifold-gen benchmark earth --budget quick --jobs 2 --out bench
    manifold-gen benchmark report bench
    """


def _command(group: str) -> click.Command:
    """``manifold-gen benchmark GROUP``."""

    @click.command(group, help=f"Run the cells of {_TITLES[group]} that DIR does not hold yet.")
    @click.option("--out", required=True, metavar="DIR", help="Folder of results; a run continues where it stopped.")
    @click.option("--budget", "budget_name", default="quick", metavar="NAME", help="quick or paper.  [default: quick]")
    @click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="Repetitions.  [default: the budget's]")
    @click.option(
        "--seconds", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Training time of a cell."
    )
    @click.option("--methods", metavar="A,B", help="Only these methods.")
    @click.option("--data", metavar="A,B", help="Only these data sets.")
    @click.option("--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="Cells at a time.  [default: 1]")
    @click.option(
        "--threads", type=click.IntRange(min=1), default=1, metavar="N", help="CPU threads a cell.  [default: 1]"
    )
    @click.option("--engine", default="local", metavar="NAME", help="local or ray.  [default: local]")
    @click.option("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:1.  [default: cpu]")
    @click.option("--retry-failed", is_flag=True, help="Do failed cells again.")
    @common_options
    def command(console: Console, **options: object) -> int:
        return _run(console, group, **options)

    return command


for _group in _TITLES:
    benchmark.add_command(_command(_group))


def _run(
    console: Console,
    group: str,
    *,
    out: str,
    budget_name: str,
    seeds: int | None,
    seconds: float | None,
    methods: str | None,
    data: str | None,
    jobs: int,
    threads: int,
    engine: str,
    device: str,
    retry_failed: bool,
) -> int:
    from manifold_gen.benchmark import engines, run, suite
    from manifold_gen.benchmark.job import Place
    from manifold_gen.benchmark.records import ResultFolder
    from manifold_gen.benchmark.work import run_cell
    from manifold_gen.data import load_dataset
    from manifold_gen.training.distributed import choose_device

    budget = _budget(budget_name, seconds)
    names, missing = suite.choose_data(group, _names(data))
    cells = suite.cells(names, suite.choose_methods(_names(methods)), seeds or budget.seeds, budget)
    place = Place(str(choose_device(device)), threads)
    if place.device.startswith("cuda") and jobs > 1 and engine == "local":
        console.note(
            f"{jobs} cells share {place.device}: training time there is the clock's, so they shorten each other's "
            "training; compare with cells of the same --jobs alone"
        )
    started = engines.make_engine(engine, run_cell, jobs, place)
    folder = ResultFolder(out)
    if missing:
        console.note(f"left out, their files are not here: {', '.join(missing)}")
    for name in names:
        load_dataset(name)  # what cannot be had is told before the first cell; a download is not raced for
    found = [folder.read(cell) for cell in cells]
    if retry_failed:
        for cell, record in zip(cells, found, strict=True):
            if record is not None and record["status"] == "failed":
                folder.forget(cell)
    count = sum(folder.read(cell) is not None for cell in cells)
    console.note(
        f"{len(cells)} cells, {count} of them finished, {jobs} at a time, {budget.seconds:g} s of training each"
    )
    progress = _Progress(console, len(cells), count)
    records = run.run(cells, folder, started, place, progress)
    return _conclude(console, out, cells, records)


class _Progress:
    """One line a finished cell."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self.console, self.total, self.done = console, total, done

    def __call__(self, cell: Cell, record: Mapping[str, object]) -> None:
        self.done += 1
        self.console.note(f"[{self.done}/{self.total}] {cell.label}: {_said(record)}")


def _said(record: Mapping[str, object]) -> str:
    if record["status"] != "done":
        return f"FAILED: {record['reason']}"
    train, measured = record["train"], record["metrics"]
    spent = f"{train['seconds']:.0f} s, {train['steps']:,} steps"
    if measured.get("molecules"):
        shares = ", ".join(f"{at['strict']['value']:.1%} ({k})" for k, at in measured["molecules"].items())
        return f"strict success {shares}; {spent}"
    nll = measured["nll"]
    words = "no likelihood"
    if nll is not None and nll["value"] is None:
        words = "NLL none, NOT valid"
    elif nll is not None:
        words = f"NLL {nll['value']:.3f} ± {nll['se'] or 0:.3f}, {'valid' if nll['valid'] else 'NOT valid'}"
    mmd = ", ".join(f"{value['value']:.3f} ({k})" for k, value in measured["mmd"].items() if value["value"] is not None)
    return f"{words}; MMD {mmd}; {spent}"


def _conclude(console: Console, out: str, cells: Sequence[Cell], records: Mapping[str, Mapping[str, object]]) -> int:
    failed = [cell for cell in cells if records[cell.hash]["status"] != "done"]
    console.say(f"{len(cells) - len(failed)} of {len(cells)} cells done, results in {Path(out) / 'cells'}")
    for cell in failed:
        console.say(f"  failed: {cell.label}: {records[cell.hash]['reason']}")
    console.say(f"  next: manifold-gen benchmark report {out}")
    console.result(
        {
            "out": out,
            "cells": len(cells),
            "failed": [{"cell": cell.spec, "reason": records[cell.hash]["reason"]} for cell in failed],
            "hashes": [cell.hash for cell in cells],
        }
    )
    return 1 if failed else 0


def _budget(name: str, seconds: float | None) -> Budget:
    from manifold_gen.benchmark.budget import BUDGETS
    from manifold_gen.configuration import suggestion

    if name not in BUDGETS:
        raise UsageError(f"no budget is called {name!r}; {suggestion(name, BUDGETS)}")
    return BUDGETS[name] if seconds is None else dataclasses.replace(BUDGETS[name], seconds=seconds)


def _names(text: str | None) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(",") if part.strip()]


@benchmark.command()
@click.argument("folder", metavar="DIR")
@click.option("-o", "--out", metavar="DIR", help="Where report.html and report.md go.  [default: DIR]")
@common_options
def report(console: Console, folder: str, out: str | None) -> None:
    """Write the results in DIR as one HTML page and the same as Markdown."""
    from manifold_gen.benchmark.report import write_report

    target = Path(out or folder)
    page, text = write_report(Path(folder), target)
    console.say(f"report written to {page} and {text}")
    console.result({"folder": folder, "html": str(page), "markdown": str(text)})
