"""What to look at after a fit to molecules: some that the model draws, for their likelihood is costly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from manifold_gen import seeds
from manifold_gen.chemistry.bonds import ELEMENTS
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.base import Dataset
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import MissingExtraError
from manifold_gen.metrics.diagnostics import Check
from manifold_gen.metrics.molecules.report import MoleculeReport, evaluate_molecules
from manifold_gen.models.renewal import usual_temperature

if TYPE_CHECKING:
    from manifold_gen.models.sized import SizedModel

COUNT = 100


@dataclass(frozen=True)
class MoleculeDiagnostics:
    """The block that follows a fit to molecules.

    Attributes:
        checks: the lines with a threshold.
        report: of the molecules drawn; ``None`` where they cannot be judged.
        remark: why they cannot.
    """

    checks: list[Check]
    report: MoleculeReport | None = None
    remark: str = ""

    @property
    def failures(self) -> list[str]:
        """The checks that failed, one line each; empty where all passed."""
        return [f"{c.name} is {c.value:.3g}, expected {c.limit}" for c in self.checks if not c.passed]

    def to_dict(self) -> dict[str, object]:
        """Everything as plain numbers and text."""
        return {
            "checks": [vars(check) for check in self.checks],
            "failures": self.failures,
            "molecules": None if self.report is None else self.report.to_dict(),
            "remark": self.remark,
        }

    def table(self) -> str:
        """The block as text: one check a line, then the report."""
        lines = ["diagnostics"]
        for check in self.checks:
            mark = "ok  " if check.passed else "FAIL"
            lines.append(f"  {mark}  {check.name:<34} {check.value:>10.3g}   {check.limit}")
        told = [self.remark] if self.report is None else self.report.table().splitlines()
        return "\n".join([*lines, *(f"  {line}" for line in told)])


def diagnose_molecules(
    model: SizedModel, dataset: Dataset, *, seed: int = 0, count: int = COUNT
) -> MoleculeDiagnostics:
    """Draw ``count`` molecules and judge them; the likelihood of molecules is too costly to follow every fit.

    The one check is that every coordinate is finite; how good molecules are after a given training has no threshold.
    """
    fmt = MoleculeFormat.from_dict(dataset.info["format"])
    drawn = draw_molecules(model, fmt, count, like=dataset.train, seed=seed)
    owner = torch.arange(count).repeat_interleave(drawn.sizes)
    lost = len(owner[~drawn.positions.isfinite().all(-1)].unique()) / count
    checks = [Check("molecules not at finite places", lost, "0", lost == 0)]
    remark = no_judgement(fmt)
    if remark:
        return MoleculeDiagnostics(checks, remark=remark)
    try:
        return MoleculeDiagnostics(checks, evaluate_molecules(drawn, temperature=usual_temperature(model), seed=seed))
    except MissingExtraError as error:  # the fit is done and must not fail for want of its judge
        return MoleculeDiagnostics(checks, remark=str(error))


def draw_molecules(
    model: SizedModel, fmt: MoleculeFormat, n: int, *, like: RaggedSplit, seed: int, **settings: object
) -> Molecules:
    """``n`` molecules; a model that is conditioned on properties gets them, and the sizes, from rows of ``like``."""
    device = model.counts.device
    generator = seeds.generator(seed, device=device)
    if like.context is None:
        return fmt.decode(model.sample(n, generator=generator, **settings))
    rows = asked_rows(like, n, seed).to(like.sizes.device)
    dtype = next(model.parameters()).dtype
    context, sizes = like.context[rows].to(device=device, dtype=dtype), like.sizes[rows].to(device)
    return fmt.decode(model.sample(n, context=context, generator=generator, sizes=sizes, **settings))


def asked_rows(like: RaggedSplit, n: int, seed: int) -> torch.Tensor:
    """``(n,)`` rows of ``like`` whose properties ``draw_molecules`` asks for."""
    return torch.randint(len(like), (n,), generator=seeds.generator(seed, 1))


def no_judgement(fmt: MoleculeFormat) -> str:
    """Why molecules of these elements cannot be judged; empty where they can.

    >>> no_judgement(MoleculeFormat((1, 6, 16)))
    'bonds by distance are known for H, C, N, O and F alone, so molecules that may hold others are not judged'
    """
    if set(fmt.elements) <= set(ELEMENTS):
        return ""
    return "bonds by distance are known for H, C, N, O and F alone, so molecules that may hold others are not judged"
