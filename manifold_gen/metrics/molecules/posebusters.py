"""PoseBusters' tests of a single molecule: bond lengths and angles, clashes, flat rings, and internal energy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen.chemistry.graphs import to_rdkit
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import MissingExtraError, UsageError
from manifold_gen.metrics.base import Estimate, share_estimate
from manifold_gen.metrics.molecules.graphs import sanitise
from manifold_gen.metrics.molecules.sampling import some

if TYPE_CHECKING:
    from rdkit.Chem import Mol

NOT_VALID = "not valid"


@dataclass(frozen=True)
class PoseBustersShare:
    """Share of molecules that pass every test.

    Attributes:
        share: of all molecules tried; one that is not valid has not passed.
        tried: how many those are.
        failures: molecules that failed, by test; one may fail several.
    """

    share: Estimate
    tried: int
    failures: dict[str, int] = field(default_factory=dict)


def posebusters_pass(molecules: Molecules, limit: int | None = None, *, seed: int = 0) -> PoseBustersShare:
    """Run PoseBusters' configuration ``"mol"``, at one to three seconds a molecule.

    Nearly every true molecule of QM9 passes, so the share tells bad samples from passable ones, not good from better.
    Molecules without any strain to compare with, as water and methane, fail its ratio of internal energies.

    Args:
        molecules: of H, C, N, O and F; their bonds are those of the distance tables.
        limit: how many are tried, drawn without replacement; all without it.
        seed: of the draw.

    Raises:
        UsageError: nothing to try.
        DataError: an element other than H, C, N, O and F.
        MissingExtraError: PoseBusters or RDKit is not installed.

    Source: Buttenschoen, Morris and Deane, *PoseBusters*, Chem. Sci. 15 (2024), 3130.
    """
    chosen = some(molecules, limit, seed)
    if len(chosen) == 0:
        raise UsageError("no molecules to test; expected at least one")
    valid = [mol for x, z in chosen if (mol := _sanitised(x, z)) is not None]
    failed = _failed_tests(valid)
    counts = Counter(test for tests in failed for test in tests)
    counts[NOT_VALID] = len(chosen) - len(valid)
    passed = torch.tensor([not tests for tests in failed] + [False] * counts[NOT_VALID])
    return PoseBustersShare(share_estimate(passed), len(chosen), {test: n for test, n in counts.items() if n})


def _sanitised(positions: Tensor, numbers: Tensor) -> Mol | None:
    if not bool(torch.isfinite(positions).all()):
        return None
    mol = to_rdkit(positions, numbers)
    return mol if sanitise(mol) else None


def _failed_tests(mols: list[Mol]) -> list[list[str]]:
    """The names of the tests that each molecule does not pass; a test without a result is not passed."""
    try:
        from posebusters import PoseBusters
    except ImportError as error:
        raise MissingExtraError(
            "PoseBusters is not installed; install it with: pip install 'manifold-gen[molecules]'"
        ) from error
    if not mols:
        return []
    table = PoseBusters(config="mol").bust(mols, None, None)
    passes = (table == True).to_numpy()  # noqa: E712 - a missing result compares unequal, as it should
    return [[test for test, passed in zip(table.columns, row, strict=True) if not passed] for row in passes]
