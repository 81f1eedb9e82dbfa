"""The part of a report on molecules: shares by evaluations, what each takes, and pictures."""

from __future__ import annotations

import torch

from manifold_gen.benchmark.report.charts import molecule_chart
from manifold_gen.benchmark.report.document import Block, Entry, Gallery, Heading, Image, Paragraph, Row, Table
from manifold_gen.benchmark.report.numbers import NONE, number, significant, spread
from manifold_gen.benchmark.report.results import DataResults, Group, Result
from manifold_gen.benchmark.report.statistics import summarise
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import MissingExtraError
from manifold_gen.plotting.molecules import molecule_picture

_READING = (
    "Strict success: stable, valid, in one fragment, no hydrogen added. Atoms and molecules stable, valid, valid and "
    "unique: by the distance tables of Hoogeboom and others (2022); stability is not quality. Rings and kinds of "
    "bonds: total variation from test molecules, beneath it that of as many training molecules. Shares in percent, "
    "means ± standard deviations over seeds, for one seed with the standard error over molecules in brackets. "
    "Milliseconds are of the processor, one thread."
)
_SHARES = {
    "strict": "strict\nsuccess",
    "atom_stable": "atoms\nstable",
    "molecule_stable": "molecules\nstable",
    "valid": "valid",
    "valid_and_unique": "valid and\nunique",
    "single_fragment": "valid, in\none fragment",
}
_DISTANCES = {"rings": "rings\ndistance", "bond_kinds": "kinds of bonds\ndistance"}
_COLUMNS = 5
_PICTURE = 900  # CSS pixels


def molecule_blocks(data: DataResults, name: str) -> list[Block]:
    """Tables, chart and pictures of one data set; ``name`` begins the names of their files."""
    blocks: list[Block] = [Paragraph(_READING), Heading(3, "Quality"), _quality(data), Heading(3, "Training")]
    blocks += [_training(data), Heading(3, "Curves"), Gallery([molecule_chart(data, name)])]
    pictures = _pictures(data, name)
    return [*blocks, Heading(3, "Pictures"), Gallery(pictures)] if pictures else blocks


def _quality(data: DataResults) -> Table:
    titles = [*_SHARES.values(), *_DISTANCES.values()]
    columns = ["method", "evaluations\na molecule", "seeds", *titles, "ms a\nmolecule", "ms a strict\nsuccess"]
    rows = [_row(group, k) for group in data.groups for k in _evaluations(group)]
    return Table(columns, [*rows, *_floor(data)])


def _evaluations(group: Group) -> list[int]:
    return sorted({k for result in group.done for k in result.molecules})


def _row(group: Group, k: int) -> Row:
    shares = [_percent(group, share, k) for share in _SHARES]
    distances = [Entry(spread(summarise(group.molecules(name, k)))) for name in _DISTANCES]
    times = [t for result in group.done if (t := result.seconds_per_sample(k)) is not None]
    ms = 1000 * sum(times) / len(times) if times else None
    good = summarise(group.molecules("strict", k))
    each = None if ms is None or good is None or good.mean == 0 else ms / good.mean
    ends = [Entry(significant(ms)), Entry(significant(each))]
    return Row([Entry(group.title), Entry(str(k)), Entry(str(len(group.done))), *shares, *distances, *ends])


def _percent(group: Group, share: str, k: int) -> Entry:
    pairs = {seed: (100 * value, 100 * se) for seed, (value, se) in group.molecules(share, k).items()}
    return Entry(spread(summarise(pairs), 1))


def _floor(data: DataResults) -> list[Row]:
    found = [result.record["metrics"]["molecules_floor"] for group in data.groups for result in group.done]
    if not found:
        return []
    values = [Entry(number(found[0][name]["value"])) for name in _DISTANCES]
    blank = [Entry(NONE)] * len(_SHARES)
    head = [Entry("training molecules in place of samples"), Entry(""), Entry("")]
    return [Row([*head, *blank, *values, Entry(NONE), Entry(NONE)], "reference")]


def _training(data: DataResults) -> Table:
    names = ("parameters", "seconds", "steps")
    rows = []
    for group in (group for group in data.groups if group.done):
        told = [result.record["train"] for result in group.done]
        means = [sum(one[name] for one in told) / len(told) for name in names]
        rows.append(Row([Entry(group.title), *(Entry(f"{value:,.0f}") for value in means)]))
    return Table(["method", "parameters", "training\ns", "steps"], rows)


def _pictures(data: DataResults, name: str) -> list[Image]:
    """The first molecules of each method at its most evaluations; none where RDKit is not installed."""
    found = []
    for place, group in enumerate(group for group in data.groups if group.first is not None):
        k = _evaluations(group)[-1]
        words = f"{k} evaluation{'' if k == 1 else 's'}"
        caption = f"{group.title}, seed {group.first.seed}, {words}; nothing is repaired"
        try:
            picture = molecule_picture(_molecules(group.first), ".png", _COLUMNS, most=_COLUMNS)
        except MissingExtraError:
            return []
        found.append(Image(f"{name}-{place:02d}.png", picture, caption, caption, _PICTURE))
    return found


def _molecules(result: Result) -> Molecules:
    rows = result.record["samples"]
    return Molecules.join([(torch.tensor(row["positions"]), torch.tensor(row["numbers"])) for row in rows])
