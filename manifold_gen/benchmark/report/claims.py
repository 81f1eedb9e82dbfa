"""What free-form flows are measured against: likelihood, one-evaluation quality and speed beside their rivals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manifold_gen.benchmark.report.document import INVALID, Block, Entry, Heading, Paragraph, Row, Table
from manifold_gen.benchmark.report.numbers import NONE, number, signed, times
from manifold_gen.benchmark.report.results import DataResults, Group
from manifold_gen.benchmark.report.statistics import ERRORS, Summary, difference, summarise
from manifold_gen.benchmark.report.tables import one_evaluation

_STUDENTS = {
    "free-form-flow": "plain",
    "free-form-flow-distilled": "distilled",
    "free-form-flow-mixture": "mixture base",
}
_RIVAL = "flow-matching"
SETTLED, _TAIL = 0.05, 3
_MAPS = ("flow-map", "flow-map-distilled", "mean-flow")

_TEXT = (
    "Differences are paired over seeds (same split), mean ± standard error, negative in favour of the free-form flow. "
    f"“Yes”: at or below the rival; “undecided”: above it by no more than {ERRORS:g} standard errors; an invalid "
    "likelihood never wins. The few-step rival is the one of flow map, distilled flow map and MeanFlow with the lowest "
    "one-evaluation MMD. The allotted training time, a teacher's included, is the same on both sides."
)
_SPEED = (
    "Flow matching's samples are timed at k evaluations: the fewest from which on its MMD is above its end (the mean "
    f"at the last {_TAIL}) by no more than {SETTLED:.0%} of what one evaluation is, or {ERRORS:g} deviations of those "
    "last. Its likelihood is timed at its default evaluations; in brackets that ratio in proportion to k evaluations, "
    "which is not measured."
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
    settled = None if rival is None else settling(rival)
    if settled is None:
        return [Entry(NONE)] * 3
    ratios = speed_ratios(student, rival, settled.evaluations)
    at_k = "" if ratios.likelihood_at_k is None else f" ({times(ratios.likelihood_at_k)})"
    shown = f"{settled.evaluations}" if settled.exact else f"≥ {settled.evaluations}"
    return [Entry(shown), Entry(times(ratios.sampling)), Entry(f"{times(ratios.likelihood)}{at_k}")]


def _verdict(found: Summary) -> str:
    if found.mean <= 0:
        return "yes"
    return "undecided" if found.mean <= ERRORS * found.se else "no"


def _paired(found: Summary) -> str:
    return f"{signed(found.mean)} ± {number(found.se)}"


# ---- speed ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settling:
    """The fewest evaluations at which a sampler's MMD has settled; not ``exact`` where only the most have."""

    evaluations: int
    exact: bool


def settling(group: Group) -> Settling | None:
    """The fewest evaluations from which on the mean MMD is no longer above where it ends.

    It ends at the mean over the last ``_TAIL`` numbers of evaluations, where only the draws differ. Allowed above it
    are ``SETTLED`` of what one evaluation has, or ``ERRORS`` deviations of those last: on a small test split the draws
    differ by more than the first, and standard errors, which hold the test split's, would let one evaluation pass.
    """
    keys = sorted(set.intersection(*(set(result.mmd_evaluations) for result in group.done)))
    if not keys:
        return None
    means = {key: summarise(group.pairs("mmd", str(key))) for key in keys}
    if any(mean is None for mean in means.values()):
        return None
    tail = [means[key].mean for key in (keys[-_TAIL:] if len(keys) > 2 * _TAIL else keys[-1:])]
    end, noise = statistics.fmean(tail), statistics.stdev(tail) if len(tail) > 1 else 0.0
    allowed = max(SETTLED * (means[keys[0]].mean - end), ERRORS * noise)
    chosen = keys[-1]
    for key in reversed(keys[:-1]):
        if means[key].mean - end > allowed:
            break
        chosen = key
    return Settling(chosen, chosen < keys[-1])


@dataclass(frozen=True)
class Ratios:
    """By what factor one method is faster than another; ``None`` where a time is missing."""

    sampling: float | None
    likelihood: float | None
    likelihood_at_k: float | None


def speed_ratios(student: Group, rival: Group, evaluations: int) -> Ratios:
    """Seconds of the rival at so many evaluations over the student's at its default: geometric mean over seeds."""
    sampling, likelihood, share = {}, {}, {}
    others = {result.seed: result for result in rival.done}
    for own in student.done:
        other = others.get(own.seed)
        if other is None or own.default_key is None:
            continue
        sampling[own.seed] = _ratio(other.seconds_per_sample(evaluations), own.seconds_per_sample(own.default_key))
        costs = [result.record["metrics"].get("likelihood_seconds") for result in (other, own)]
        likelihood[own.seed] = _ratio(*costs)
        share[own.seed] = min(1.0, evaluations / max(1, other.record["metrics"]["evaluations"]))
    at_k = {seed: None if ratio is None else ratio * share[seed] for seed, ratio in likelihood.items()}
    return Ratios(_geometric(sampling), _geometric(likelihood), _geometric(at_k))


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above and below else None


def _geometric(ratios: Mapping[int, float | None]) -> float | None:
    known = [math.log(ratio) for ratio in ratios.values() if ratio]
    return math.exp(sum(known) / len(known)) if known else None
