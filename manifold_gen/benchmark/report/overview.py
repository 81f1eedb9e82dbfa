"""What was run, where and when; which cells failed; the specification of every cell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from manifold_gen.benchmark.report.document import Block, Bullets, Details, Entry, Heading, Paragraph, Row, Table
from manifold_gen.benchmark.report.results import DataResults, Result, method_title

_READING = (
    "Every method met the same rows of a data set at the same seed, and was given the same training time; a student's "
    "includes its teacher's. Values are means ± standard deviations over seeds, where there is one seed the value with "
    "its standard error over test points in brackets. NLL, MMD, W₁ and W₂ are better lower, coverage higher, C2ST and "
    "1-NN near 0.5. Bold: the best of the column; bold with an asterisk: not told "
    "apart from it (mean difference paired over seeds within two standard errors). A row with fewer seeds than the "
    "fullest is not marked. A struck-through likelihood is invalid for the reason given (points without preimage, or "
    "a density that does not integrate to one) and is never the best. MMD is biased with a geodesic Gaussian kernel: "
    "it has a positive floor, given by the training points in place of samples; it may come out negative and is then "
    "printed with its sign."
)
_PUBLISHED = (
    "Published numbers stand in rows of their own, as context only: their splits are not ours. [V] read in the paper, "
    "its repository or its stored outputs; [S] read in a secondary source; [unverified] recalled, not verified; "
    "[computed] from the definition of the data. Published MMDs are of one network evaluation."
)


def overview(results: Sequence[Result], data: Sequence[DataResults], folder: Path) -> list[Block]:
    """What was run, and how to read the rest."""
    of_points = [Paragraph(_READING), Paragraph(_PUBLISHED)] if any(not one.molecules for one in data) else []
    return [
        Bullets([(head, text) for head, text in _facts(results, data, folder) if text]),
        *of_points,
        *_failures(results),
    ]


def specifications(results: Sequence[Result]) -> list[Block]:
    """Every cell, to be opened: hash, specification, machine, commit."""
    ordered = sorted(results, key=lambda r: (r.spec["data"], r.spec["method"], r.seed, -r.allotted))
    blocks: list[Block] = [
        Heading(2, "Specification of every cell"),
        Paragraph("A result file is named by the SHA-256 of its specification; machine and commit are no part of it."),
    ]
    for result in ordered:
        shown = {name: result.record.get(name) for name in ("hash", "spec", "package", "commit", "machine", "status")}
        summary = f"{_label(result)} · {result.record['hash'][:12]}" + ("" if result.done else " · failed")
        blocks.append(Details(summary, json.dumps(shown, indent=1, ensure_ascii=False)))
    return blocks


def _facts(results: Sequence[Result], data: Sequence[DataResults], folder: Path) -> list[tuple[str, str]]:
    failed = sum(not result.done for result in results)
    seeds = sorted({result.seed for result in results})
    return [
        ("cells", f"{len(results)}: {len(results) - failed} done, {failed} failed"),
        ("data", ", ".join(one.name for one in data)),
        ("methods", ", ".join(_distinct(group.method for one in data for group in one.groups))),
        ("budget", ", ".join(_distinct(str(result.spec["budget"]) for result in results))),
        ("training time", f"{', '.join(f'{s:g}' for s in _allotments(data))} s a method, its teacher's included"),
        ("seeds", ", ".join(map(str, seeds))),
        ("machine", "; ".join(_distinct(map(_machine, results)))),
        ("commit", ", ".join(_distinct(str(result.record["commit"] or "unknown")[:12] for result in results))),
        ("manifold-gen", ", ".join(_distinct(str(result.record["package"]) for result in results))),
        ("torch", ", ".join(_distinct(str(_packages(result).get("torch", "")) for result in results))),
        ("result files", _dates(results, folder)),
    ]


def _allotments(data: Sequence[DataResults]) -> list[float]:
    return sorted(
        {result.allotted for one in data for group in one.groups if group.compared for result in group.results}
    )


def _machine(result: Result) -> str:
    machine = result.record["machine"]
    where = machine.get("gpu") or machine.get("processor") or "unknown processor"
    return (
        f"{where}, {machine.get('cpus')} CPUs, {machine.get('threads')} thread a cell, Python {machine.get('python')}"
    )


def _packages(result: Result) -> dict[str, object]:
    return result.record["machine"].get("packages") or {}


def _dates(results: Sequence[Result], folder: Path) -> str:
    """From the first to the last result file, by the files' own dates."""
    files = [folder / "cells" / f"{result.record['hash']}.json" for result in results]
    dates = sorted(datetime.fromtimestamp(file.stat().st_mtime, UTC) for file in files if file.exists())
    return f"written {dates[0]:%Y-%m-%d %H:%M} to {dates[-1]:%Y-%m-%d %H:%M} UTC" if dates else ""


def _failures(results: Sequence[Result]) -> list[Block]:
    failed = [result for result in results if not result.done]
    if not failed:
        return []
    counted = Counter((r.spec["data"], r.spec["method"], str(r.record.get("reason"))) for r in failed)
    rows = []
    for (name, method, reason), _ in sorted(counted.items()):
        seeds = sorted(r.seed for r in failed if (r.spec["data"], r.spec["method"]) == (name, method))
        rows.append(Row([Entry(name), Entry(method_title(method)), Entry(", ".join(map(str, seeds))), Entry(reason)]))
    return [Heading(2, "Failed cells"), Table(["data", "method", "seeds", "reason"], rows, words=(1, 2, 3))]


def _label(result: Result) -> str:
    spec = result.spec
    return f"{spec['data']} · {spec['method']} · seed {spec['seed']} · {spec['seconds']:g} s"


def _distinct(words: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word]
