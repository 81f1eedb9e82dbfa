"""What to look at after every fit, with the thresholds beyond which it is no good."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace

import torch

from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions.base import Distribution
from manifold_gen.metrics.likelihood import (
    LARGEST_UNCONVERGED,
    LikelihoodReport,
    evaluate_likelihood,
)

LARGEST_RECONSTRUCTION = 0.1
LARGEST_GENERALISATION_GAP = 0.2
AT_MOST = 5_000
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Check:
    """One line of the block: what was measured, what it should be, and whether it is."""

    name: str
    value: float
    limit: str
    passed: bool


@dataclass(frozen=True)
class Diagnostics:
    """The block that follows a fit.

    Attributes:
        reports: likelihood of each split, by name.
        checks: the lines with a threshold.
    """

    reports: dict[str, LikelihoodReport]
    checks: list[Check] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """The checks that failed, one line each; empty where all passed."""
        return [f"{c.name} is {c.value:.3g}, expected {c.limit}" for c in self.checks if not c.passed]

    def to_dict(self) -> dict[str, object]:
        """Everything as plain numbers and text."""
        return {
            "checks": [vars(check) for check in self.checks],
            "failures": self.failures,
            "splits": {name: report.to_dict() for name, report in self.reports.items()},
        }

    def table(self) -> str:
        """The block as text, one check a line, then one split a line."""
        lines = ["diagnostics"]
        for check in self.checks:
            mark = "ok  " if check.passed else "FAIL"
            lines.append(f"  {mark}  {check.name:<34} {check.value:>10.3g}   {check.limit}")
        lines.append("  negative log-likelihood, nats (± standard error)")
        for name in (name for name in SPLITS if name in self.reports):
            report = self.reports[name]
            note = "" if report.valid else "   not valid: " + "; ".join(report.faults)
            gap = "" if report.gap is None else f"   above the true density by {report.gap:.4f} ± {report.gap_se:.4f}"
            lines.append(f"        {name:<6} {report.nll:>9.4f} ± {report.nll_se:.4f}{gap}{note}")
        return "\n".join(lines)


@torch.no_grad()
def diagnose(
    model: Distribution, dataset: Dataset, *, seed: int = 0, most: int = AT_MOST, few: int | None = None
) -> Diagnostics:
    """Score the test split and the first ``most`` rows of the others, and check what a good fit satisfies.

    ``few`` is for densities that are dear: no split has more rows scored, and no more round trips are made.

    Reconstruction error (root mean square of dist(g(f(x)), x)), largest Newton residual, share of unconverged points,
    integral of the density by two estimates, and the distance between the likelihoods of training and test.
    """
    reports: dict[str, LikelihoodReport] = {}
    trips = {} if few is None else {"round_trips": few, "proposals": few}
    for name in reversed(SPLITS):
        rows = dataset.test if name == "test" else _first(getattr(dataset, name), most)
        rows = rows if few is None else _first(rows, few)
        if not len(rows):
            continue
        if reports:
            # The integral is the model's, not the split's: the first estimate serves all.
            first = next(iter(reports.values()))
            report = evaluate_likelihood(model, rows, density=dataset.density, round_trips=0, seed=seed)
            reports[name] = replace(report, round_trip=first.round_trip, importance=first.importance)
        else:
            reports[name] = evaluate_likelihood(
                model, rows, train=dataset.train, density=dataset.density, seed=seed, **trips
            )
    last = reports.get("test") or reports.get("val") or reports["train"]
    return Diagnostics(reports, _checks(model, dataset, reports, last, most if few is None else few))


def _checks(
    model: Distribution, dataset: Dataset, reports: dict[str, LikelihoodReport], last: LikelihoodReport, most: int
) -> list[Check]:
    limit = f"≤ {LARGEST_UNCONVERGED:.1%} (one point below 1,000)"
    allowed = max(1, math.floor(LARGEST_UNCONVERGED * last.count))
    checks = [
        Check("share of unconverged points", last.unconverged_share, limit, last.unconverged <= allowed),
        Check("largest Newton residual", last.largest_residual, "finite", math.isfinite(last.largest_residual)),
    ]
    for name, integral in (("round trip", last.round_trip), ("importance sampling", last.importance)):
        if integral is not None:
            checks.append(Check(f"integral by {name}", integral.value, f"1 ± {integral.slack:.3f}", integral.is_one))
    rows = _first(dataset.test if len(dataset.test) else dataset.train, most)
    error = _reconstruction(model, rows)
    limit = f"≤ {LARGEST_RECONSTRUCTION}"
    checks.append(Check("reconstruction error (RMS distance)", error, limit, error <= LARGEST_RECONSTRUCTION))
    if "train" in reports and "test" in reports:
        gap = reports["test"].nll - reports["train"].nll
        bound = LARGEST_GENERALISATION_GAP + 3 * math.hypot(reports["test"].nll_se, reports["train"].nll_se)
        checks.append(Check("test minus training likelihood", gap, f"≤ {bound:.2f}", gap <= bound))
    return checks


def _reconstruction(model: Distribution, rows: Split) -> float:
    """Root mean square of the model's reconstruction distances, in double precision."""
    model = copy.deepcopy(model).to(torch.float64).eval()
    errors = model.reconstruction_error(rows.x.to(torch.float64), rows.context)
    return float(errors.square().mean().sqrt())


def _first(split: Split, most: int) -> Split:
    return split.take(torch.arange(min(most, len(split)), device=split.x.device))
