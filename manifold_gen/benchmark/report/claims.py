"""What free-form flows are measured against: likelihood, one-evaluation quality and speed beside their rivals."""

from __future__ import annotations

from collections.abc import Sequence

from manifold_gen.benchmark.report.document import INVALID, Block, Entry, Heading, Paragraph, Row, Table
from manifold_gen.benchmark.report.numbers import NONE, number, signed, times
from manifold_gen.benchmark.report.results import DataResults, Group
from manifold_gen.benchmark.report.speed import (
    SAME_NLL,
    SETTLED,
    TAIL,
    likelihood_ratio,
    likelihood_settling,
    sampling_ratio,
    settling,
)
from manifold_gen.benchmark.report.statistics import ERRORS, Summary, difference, summarise
from manifold_gen.benchmark.report.tables import one_evaluation

_STUDENTS = {
    "free-form-flow": "plain",
    "free-form-flow-distilled": "distilled",
    "free-form-flow-mixture": "mixture base",
}
_RIVAL = "flow-matching"
_MAPS = ("flow-map", "flow-map-distilled", "mean-flow")

_TEXT = (
    "Differences are paired over seeds (same split), mean ± standard error, negative in favour of the free-form flow. "
    f"“Yes”: at or below the rival; “undecided”: above it by no more than {ERRORS:g} standard errors; an invalid "
    "likelihood never wins. The few-step rival is the one of flow map, distilled flow map and MeanFlow with the lowest "
    "one-evaluation MMD. The allotted training time, a teacher's included, is the same on both sides."
)
_SPEED = (
    "Flow matching's samples are timed at k evaluations: the fewest from which on its MMD is above its end (the mean "
    f"at the last {TAIL}) by no more than {SETTLED:.0%} of what one evaluation is, or {ERRORS:g} deviations of those "
    "last. Its likelihood is timed at the fewest evaluations from which on its NLL stays within "
    f"{SAME_NLL:g} nats of what the most evaluations give, a mean over seeds; at its default ones where its "
    "files, of an earlier version, do not hold it by evaluations."
)


def claims(data: Sequence[DataResults]) -> list[Block]:
    """A heading, how to read it and one row a data set and free-form flow; nothing where none was measured."""
    points = [one for one in data if not one.molecules]
    rows = [_row(one, student) for one in points for method in _STUDENTS if (student := one.of(method)) is not None]
    if not rows:
        return []
    columns = [
        "data",
        "free-form flow",
        "seeds",
        "Δ NLL, nats\nto flow matching",
        "at or below,\nand valid?",
        "Δ MMD, 1 evaluation\nto few-step rival",
        "at or\nbelow?",
        "few-step rival",
        "k",
        "samples faster\nby; goal 100×",
        "k, for\nlikelihoods",
        "likelihood faster\nby; goal 10×",
    ]
    return [
        Heading(2, "Claims and what was measured"),
        Paragraph(_TEXT),
        Paragraph(_SPEED),
        Table(columns, rows, words=(1, 4, 6, 7)),
    ]


def _row(data: DataResults, student: Group) -> Row:
    return Row(
        [
            Entry(data.name),
            Entry(_STUDENTS[student.method]),
            Entry(str(len(student.done))),
            *_likelihood(student, data.of(_RIVAL)),
            *_one_step(student, _best_map(data)),
            *_speed(student, data.of(_RIVAL)),
        ]
    )


def _likelihood(student: Group, rival: Group | None) -> list[Entry]:
    own = student.pairs("nll")
    found = None if rival is None else difference(own, rival.pairs("nll"))
    if found is None:
        return [Entry(NONE), Entry(NONE if student.valid else "no: invalid")]
    invalid = sum(1 for result in student.done if result.faults)
    if invalid:
        return [
            Entry(_paired(found), INVALID),
            Entry("no", remark=f"invalid at {invalid} of {len(student.done)} seeds"),
        ]
    remark = "" if rival.valid else "the rival's is invalid"
    return [Entry(_paired(found)), Entry(_verdict(found), remark=remark)]


def _best_map(data: DataResults) -> Group | None:
    found = [group for method in _MAPS if (group := data.of(method)) is not None and one_evaluation(group)]
    return min(found, key=lambda group: summarise(one_evaluation(group)).mean, default=None)


def _one_step(student: Group, rival: Group | None) -> list[Entry]:
    found = None if rival is None else difference(one_evaluation(student), one_evaluation(rival))
    if found is None:
        return [Entry(NONE)] * 3
    return [Entry(_paired(found)), Entry(_verdict(found)), Entry(rival.title)]


def _speed(student: Group, rival: Group | None) -> list[Entry]:
    if rival is None:
        return [Entry(NONE)] * 4
    samples, likelihoods = settling(rival), likelihood_settling(rival)
    found = [Entry(NONE)] * 2
    if samples is not None:
        found = [Entry(str(samples)), Entry(times(sampling_ratio(student, rival, samples.evaluations)))]
    k = None if likelihoods is None else likelihoods.evaluations
    shown = "default" if likelihoods is None else str(likelihoods)
    return [*found, Entry(shown), Entry(times(likelihood_ratio(student, rival, k)))]


def _verdict(found: Summary) -> str:
    if found.mean <= 0:
        return "yes"
    return "undecided" if found.mean <= ERRORS * found.se else "no"


def _paired(found: Summary) -> str:
    return f"{signed(found.mean)} ± {number(found.se)}"
