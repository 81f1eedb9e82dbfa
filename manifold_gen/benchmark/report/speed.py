"""How many evaluations an ODE needs, and what one evaluation saves then."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from manifold_gen.benchmark.report.results import Group, Result
from manifold_gen.benchmark.report.statistics import ERRORS, summarise

SETTLED, TAIL = 0.05, 3
SAME_NLL = 0.01  # nats


@dataclass(frozen=True)
class Settling:
    """The fewest evaluations at which a sampler's MMD has settled; not ``exact`` where only the most have."""

    evaluations: int
    exact: bool

    def __str__(self) -> str:
        return f"{self.evaluations}" if self.exact else f"≥ {self.evaluations}"


def settling(group: Group) -> Settling | None:
    """The fewest evaluations from which on the mean MMD is no longer above where it ends.

    It ends at the mean over the last ``TAIL`` numbers of evaluations, where only the draws differ. Allowed above it
    are ``SETTLED`` of what one evaluation has, or ``ERRORS`` deviations of those last: on a small test split the draws
    differ by more than the first, and standard errors, which hold the test split's, would let one evaluation pass.
    """
    keys = sorted(set.intersection(*(set(result.mmd_evaluations) for result in group.done)))
    if not keys:
        return None
    means = {key: summarise(group.pairs("mmd", str(key))) for key in keys}
    if any(mean is None for mean in means.values()):
        return None
    tail = [means[key].mean for key in (keys[-TAIL:] if len(keys) > 2 * TAIL else keys[-1:])]
    end, noise = statistics.fmean(tail), statistics.stdev(tail) if len(tail) > 1 else 0.0
    allowed = max(SETTLED * (means[keys[0]].mean - end), ERRORS * noise)
    return _fewest({key: means[key].mean - end for key in keys}, allowed)


def likelihood_settling(group: Group) -> Settling | None:
    """The fewest evaluations from which on the mean log-likelihood stays within ``SAME_NLL`` of its last value."""
    known = [result.record["metrics"].get("likelihood_by_evaluations") or {} for result in group.done]
    keys = sorted(set.intersection(*(set(map(int, of_seed)) for of_seed in known)))
    if not keys or any(of_seed[str(key)]["nll"] is None for of_seed in known for key in keys):
        return None

    def off(key: int) -> float:
        return statistics.fmean(abs(of_seed[str(key)]["nll"] - of_seed[str(keys[-1])]["nll"]) for of_seed in known)

    return _fewest({key: off(key) for key in keys}, SAME_NLL)


def _fewest(excess: Mapping[int, float], allowed: float) -> Settling:
    """The least key from which on no ``excess`` is above what is allowed."""
    keys = sorted(excess)
    chosen = keys[-1]
    for key in reversed(keys[:-1]):
        if excess[key] > allowed:
            break
        chosen = key
    return Settling(chosen, chosen < keys[-1])


def sampling_ratio(student: Group, rival: Group, evaluations: int) -> float | None:
    """Seconds a sample of the rival at so many evaluations over the student's: geometric mean over seeds."""
    return _ratio(
        student,
        lambda own: None if own.default_key is None else own.seconds_per_sample(own.default_key),
        rival,
        lambda other: other.seconds_per_sample(evaluations),
    )


def likelihood_ratio(student: Group, rival: Group, evaluations: int | None = None) -> float | None:
    """The same of seconds a likelihood; the rival's at its default evaluations where no number is given."""

    def default(result: Result) -> float | None:
        return result.record["metrics"].get("likelihood_seconds")

    def at_evaluations(result: Result) -> float | None:
        return result.record["metrics"]["likelihood_by_evaluations"][str(evaluations)]["seconds"]

    return _ratio(student, default, rival, default if evaluations is None else at_evaluations)


def _ratio(
    student: Group,
    own_seconds: Callable[[Result], float | None],
    rival: Group,
    rival_seconds: Callable[[Result], float | None],
) -> float | None:
    theirs = {result.seed: rival_seconds(result) for result in rival.done}
    pairs = [(theirs.get(result.seed), own_seconds(result)) for result in student.done]
    logarithms = [math.log(above / below) for above, below in pairs if above and below]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None
