"""The lines of a report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from manifold_gen.metrics.base import Estimate
from manifold_gen.metrics.molecules.features import Compared, Comparison
from manifold_gen.metrics.molecules.posebusters import PoseBustersShare
from manifold_gen.metrics.molecules.relaxed import Relaxations

if TYPE_CHECKING:
    from manifold_gen.metrics.molecules.report import MoleculeReport

WIDTH = 34
CAVEAT = "Stability by distances and valences alone is not quality: molecules that pass can lie far from any minimum."


def report_lines(report: MoleculeReport) -> Iterator[str]:
    """Strict success first, the published four under their caveat, then what was asked for."""
    yield f"{report.count} molecules at sampling temperature {report.temperature:g}; ± is one standard error"
    if report.not_finite:
        yield f"{report.not_finite} have coordinates that are not finite and count as failures"
    yield _share("strict success", report.strict)
    yield "  stable, valid, in one fragment, no hydrogen added"
    yield _share("atoms stable", report.atom_stable)
    yield _share("molecules stable", report.molecule_stable)
    yield _share("valid", report.valid)
    yield _share("valid and unique", report.valid_and_unique)
    yield _share("valid in one fragment", report.single_fragment)
    yield _share("unique among valid", report.unique)
    if report.novel is not None:
        yield _share("novel among unique", report.novel)
    yield f"  {CAVEAT}"
    if report.relaxation is not None:
        yield from _relaxation(report.relaxation)
    if report.posebusters is not None:
        yield from _posebusters(report.posebusters)
    if report.comparison is not None:
        yield from _comparison(report.comparison)


def _share(name: str, share: Estimate) -> str:
    if math.isnan(share.value):
        return f"{name:<{WIDTH}}none"
    return f"{name:<{WIDTH}}{100 * share.value:6.2f} ± {100 * share.se:.2f} %"


def _relaxation(found: Relaxations) -> Iterator[str]:
    failed = sum(found.failures.values())
    done = found.tried - failed
    yield f"GFN2-xTB relaxation, medians of {done} stable molecules, {failed} of {found.tried} failed"
    if done:
        yield f"{'  energy given up':<{WIDTH}}{_told(found.energy)} kcal/mol"
        yield f"{'  displacement':<{WIDTH}}{_told(found.rmsd)} Å"
    yield from _counts(found.failures)


def _posebusters(found: PoseBustersShare) -> Iterator[str]:
    yield _share(f"PoseBusters passed, of {found.tried}", found.share)
    yield f"  each with at most {found.seconds:g} s of processor time"
    yield from _counts(found.failures)


def _counts(failures: dict[str, int]) -> Iterator[str]:
    for reason, count in failures.items():
        yield f"  failed: {count} × {reason}"


def _comparison(found: Comparison) -> Iterator[str]:
    floor = f"floor: {found.floor_count:,} training molecules" if found.floor_count else "no floor"
    yield f"{f'distance from {found.reference_count:,} molecules':<{WIDTH}}{'samples':<22}{floor}"
    if not found.floor_count:
        yield "  a floor needs molecules to train on and others to compare with"
    yield _row("bond kinds, total variation", found.bond_kinds)
    yield _row("ring sizes, total variation", found.rings)
    yield _row("elements, total variation", found.elements)
    yield _row("atom counts, total variation", found.atom_counts)
    yield _row("atom counts, W1 in atoms", found.atom_count_shift)
    yield _row("heavy atoms, W1 in atoms", found.heavy_atom_shift)
    for kind, compared in found.bond_lengths.items():
        yield _row(f"length of {kind}, W1 in Å", compared)


def _row(name: str, compared: Compared) -> str:
    distance = "none sampled" if math.isnan(compared.distance.value) else _told(compared.distance)
    floor = "" if compared.floor is None else _told(compared.floor)
    return f"{name:<{WIDTH}}{distance:<22}{floor}".rstrip()


def _told(estimate: Estimate) -> str:
    """With the reason in place of an error that cannot be known."""
    if math.isnan(estimate.value):
        return "none"
    return f"{estimate.value:.4g} ± ? (too few)" if math.isnan(estimate.se) else str(estimate)
