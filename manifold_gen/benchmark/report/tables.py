"""The tables of one data set: quality, published numbers, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from manifold_gen.benchmark.published import MARKS, Published, published
from manifold_gen.benchmark.report.document import BEST, INVALID, NEAR, Entry, Row, Table
from manifold_gen.benchmark.report.numbers import NONE, number, significant, spread
from manifold_gen.benchmark.report.results import DataResults, Group, Pair, Result
from manifold_gen.benchmark.report.statistics import best_rows, summarise
from manifold_gen.manifolds import from_spec

Values = Callable[[Group], Mapping[int, Pair]]


def _lower(value: float) -> float:
    return value


def _higher(value: float) -> float:
    return -value


def _half(value: float) -> float:
    return abs(value - 0.5)


def _metric(name: str) -> Values:
    return lambda group: group.pairs(name)


def one_evaluation(group: Group) -> Mapping[int, Pair]:
    """MMD of samples that took one network evaluation, by seed."""
    return group.pairs("mmd", "1")


def default_mmd(group: Group) -> Mapping[int, Pair]:
    """MMD at the evaluations that the sampler takes by default, by seed."""
    found = {result.seed: result.pair("mmd", str(result.default_key)) for result in group.done}
    return {seed: pair for seed, pair in found.items() if pair is not None}


@dataclass(frozen=True)
class Column:
    """A column of the quality table.

    Attributes:
        values: by seed.
        loss: what the best has least of; none where nothing is best.
        reference: whether it has a word for samples and numbers not ours: ``"nll"`` or ``"mmd"``.
    """

    title: str
    values: Values
    loss: Callable[[float], float] | None = None
    reference: str | None = None


_COLUMNS = (
    Column("NLL\nnats", _metric("nll"), _lower, "nll"),
    Column("gap to exact\nnats", _metric("gap")),
    Column("MMD\n1 evaluation", one_evaluation, _lower, "mmd"),
    Column("MMD\ndefault", default_mmd, _lower),
    Column("W₁", _metric("wasserstein1"), _lower),
    Column("W₂", _metric("wasserstein2"), _lower),
    Column("C2ST\nnear 0.5", _metric("c2st"), _half),
    Column("coverage", _metric("coverage"), _higher),
    Column("1-NN\nnear 0.5", _metric("nearest"), _half),
    Column("favoured\nshare", _metric("favoured")),
    Column("allowed\nshare", _metric("allowed")),
)


def quality_table(data: DataResults) -> Table:
    """Methods × metrics, with what to hold them against beneath."""
    shown = [group for group in data.groups if group.done]
    columns = [column for column in _COLUMNS if column.reference or any(column.values(group) for group in shown)]
    entries = [_column(column, shown) for column in columns]
    rows = [
        Row([_head(group), Entry(_seeds(group)), *(column[place] for column in entries)])
        for place, group in enumerate(shown)
    ]
    rows += _references(data, columns)
    return Table(["method", "seeds", *(column.title for column in columns)], rows)


def _column(column: Column, groups: Sequence[Group]) -> list[Entry]:
    likelihood = column.title.startswith(("NLL", "gap"))
    taken = [_eligible(group, likelihood) for group in groups]
    values = [column.values(group) for group in groups]
    best, near = None, set()
    if column.loss is not None:
        best, near = best_rows([v if t else None for v, t in zip(values, taken, strict=True)], column.loss)
    found = []
    for place, (group, own) in enumerate(zip(groups, values, strict=True)):
        look = BEST if place == best else NEAR if place in near else ""
        if likelihood and group.done[0].faults is not None and not group.valid:
            found.append(_invalid(group, spread(summarise(own)), remark=column.loss is not None))
        else:
            found.append(Entry(spread(summarise(own)), look))
    return found


def _eligible(group: Group, likelihood: bool) -> bool:
    return group.compared and (group.valid or not likelihood)


def _invalid(group: Group, text: str, remark: bool) -> Entry:
    """Struck through, with what is wrong; one fault stands for the same one at other seeds."""
    faulty = [result for result in group.done if result.faults]
    where = f" at {len(faulty)} of {len(group.done)} seeds" if len(group.done) > 1 else ""
    first = f"invalid{where}: {faulty[0].faults[0]}"
    more = sum(len(result.faults) for result in faulty) - 1
    return Entry(text, INVALID, first + (f" (and {more} more)" if more else "") if remark else "")


def _head(group: Group) -> Entry:
    if group.compared:
        return Entry(group.title)
    return Entry(group.title, remark="shorter training: not compared")


def _seeds(group: Group) -> str:
    done, all_seeds = len(group.done), len(group.results)
    return str(done) if done == all_seeds else f"{done} of {all_seeds}"


# ---- rows that are not ours -------------------------------------------------------------------------------------


def _references(data: DataResults, columns: Sequence[Column]) -> list[Row]:
    floors = {r.seed: p for group in data.groups for r in group.done if (p := r.pair("mmd_floor")) is not None}
    rows = []
    if floors:
        floor = spread(summarise(floors))
        values = [Entry(floor if "MMD" in column.title else NONE) for column in columns]
        rows.append(Row([Entry("training points in place of samples"), Entry(str(len(floors))), *values], "reference"))
    volume = from_spec(data.manifold).log_volume if data.manifold is not None else math.inf
    if math.isfinite(volume):
        values = [Entry(number(volume) if column.reference == "nll" else NONE) for column in columns]
        rows.append(Row([Entry("uniform density"), Entry(""), *values], "reference"))
    return rows


def published_table(data: DataResults) -> Table | None:
    """Published numbers in rows of their own, none where none is known."""
    rows: dict[str, dict[str, Published]] = {}
    for found in published(data.name):
        rows.setdefault(found.method, {})[found.metric] = found
    if not rows:
        return None
    columns = ["published, other splits", "sampler", "NLL\nnats", "MMD\n1 evaluation"]
    return Table(columns, [_published_row(method, numbers) for method, numbers in rows.items()], words=(1,))


def _published_row(method: str, numbers: Mapping[str, Published]) -> Row:
    sampler = next(iter(numbers.values())).sampler
    words = {"": NONE, "1": "1 evaluation"}.get(sampler, sampler)
    values = [numbers.get(metric) for metric in ("nll", "mmd")]
    shown = [Entry(NONE if found is None else f"{found.shown} [{MARKS[found.mark]}]") for found in values]
    return Row([Entry(method), Entry(words), *shown], "published")


# ---- cost -------------------------------------------------------------------------------------------------------


def cost_table(data: DataResults) -> Table:
    """Methods × what samples, likelihoods and training take, means over seeds."""
    columns = [
        "method",
        "evaluations\nper sample",
        "µs per sample\n1 evaluation",
        "µs per sample\ndefault",
        "µs per likelihood",
        "parameters",
        "training\ns",
        "of it teacher\ns",
        "steps",
    ]
    return Table(columns, [_cost_row(group) for group in data.groups if group.done])


def _cost_row(group: Group) -> Row:
    results = group.done
    evaluations = sorted({result.record["metrics"]["evaluations"] for result in results})
    micro = [
        _mean(results, lambda r: r.seconds_per_sample(1)),
        _mean(results, lambda r: None if r.default_key is None else r.seconds_per_sample(r.default_key)),
        _mean(results, lambda r: r.record["metrics"].get("likelihood_seconds")),
    ]
    keys = sorted({result.default_key for result in results if result.default_key is not None})
    at = "" if keys == evaluations or max(evaluations) <= 1 else f"at {' to '.join(map(str, keys))}"
    times = [Entry(significant(None if value is None else 1e6 * value)) for value in micro]
    times[1] = Entry(times[1].text, remark=at)
    train = [
        _mean(results, lambda r, name=name: r.record["train"].get(name))
        for name in ("parameters", "seconds", "teacher_seconds", "steps")
    ]
    parameters, seconds, teacher, steps = train
    ends = [Entry(_whole(parameters)), Entry(significant(seconds)), Entry(significant(teacher) if teacher else NONE)]
    return Row([Entry(group.title), Entry(" to ".join(map(str, evaluations))), *times, *ends, Entry(_whole(steps))])


def _mean(results: Sequence[Result], value: Callable[[Result], float | None]) -> float | None:
    found = [float(v) for v in map(value, results) if v is not None]
    return sum(found) / len(found) if found else None


def _whole(value: float | None) -> str:
    return NONE if not value else f"{value:,.0f}"
