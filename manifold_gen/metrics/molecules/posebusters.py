"""PoseBusters' tests of a single molecule: bond lengths and angles, clashes, flat rings, and internal energy."""

from __future__ import annotations

import base64
import importlib.util
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
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
NOT_ENDED = "not ended in time"
SECONDS = 20.0
_WORKER = Path(__file__).with_name("posebusters_worker.py")


@dataclass(frozen=True)
class PoseBustersShare:
    """Share of molecules that pass every test.

    Attributes:
        share: of all molecules tried; one that is not valid, or not through in time, has not passed.
        tried: how many those are.
        seconds: the time a molecule had.
        failures: molecules that failed, by test; one may fail several.
    """

    share: Estimate
    tried: int
    seconds: float = SECONDS
    failures: dict[str, int] = field(default_factory=dict)


def posebusters_pass(
    molecules: Molecules, limit: int | None = None, *, seconds: float = SECONDS, seed: int = 0
) -> PoseBustersShare:
    """Run PoseBusters' configuration ``"mol"``, at about a second a molecule and never more than ``seconds``.

    Of 100 true molecules of QM9 91 pass, so the share tells bad samples from passable ones, not good from better.
    Molecules without any strain to compare with, as water and methane, fail its ratio of internal energies. For that
    ratio 50 conformations are embedded, which may take minutes where a molecule is a strained cage: one that is not
    through in time counts as failed, under ``NOT_ENDED``. Time is that of the processor on one thread, so that a busy
    machine fails no more of them than an idle one.

    Args:
        molecules: of H, C, N, O and F; their bonds are those of the distance tables.
        limit: how many are tried, drawn without replacement; all without it.
        seconds: processor time that each molecule has.
        seed: of the draw.

    Raises:
        UsageError: nothing to try, no time to try it, or a system without signals of processor time, as Windows.
        DataError: an element other than H, C, N, O and F.
        MissingExtraError: PoseBusters or RDKit is not installed.
        RuntimeError: PoseBusters failed in another way than by taking long; what it said is on standard error.

    Source: Buttenschoen, Morris and Deane, *PoseBusters*, Chem. Sci. 15 (2024), 3130.
    """
    chosen = some(molecules, limit, seed)
    if len(chosen) == 0:
        raise UsageError("no molecules to test; expected at least one")
    if not seconds > 0:
        raise UsageError(f"PoseBusters cannot test a molecule in {seconds} seconds; give more than 0")
    valid = [mol for x, z in chosen if (mol := _sanitised(x, z)) is not None]
    failed = _failed_tests(valid, seconds)
    counts = Counter(test for tests in failed for test in tests)
    counts[NOT_VALID] = len(chosen) - len(valid)
    passed = torch.tensor([not tests for tests in failed] + [False] * counts[NOT_VALID])
    failures = {test: n for test, n in counts.items() if n}
    return PoseBustersShare(share_estimate(passed), len(chosen), seconds, failures)


def _sanitised(positions: Tensor, numbers: Tensor) -> Mol | None:
    if not bool(torch.isfinite(positions).all()):
        return None
    mol = to_rdkit(positions, numbers)
    return mol if sanitise(mol) else None


def _failed_tests(mols: list[Mol], seconds: float) -> list[list[str]]:
    """The names of the tests that each molecule does not pass."""
    if importlib.util.find_spec("posebusters") is None:
        raise MissingExtraError("PoseBusters is not installed; install it with: pip install 'manifold-gen[molecules]'")
    if not hasattr(signal, "setitimer"):
        raise UsageError(
            "PoseBusters may not return, and this system cannot end it by processor time; use Linux or macOS"
        )
    found: list[list[str]] = []
    while len(found) < len(mols):
        with _worker() as worker:
            found += _answers(worker, mols[len(found) :], seconds)
    return found


@contextmanager
def _worker() -> Iterator[subprocess.Popen[str]]:
    # -P keeps this folder, whose names are those of libraries, out of the search for modules
    command = [sys.executable, "-P", str(_WORKER)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def _answers(worker: subprocess.Popen[str], mols: list[Mol], seconds: float) -> list[list[str]]:
    """The failed tests of the first molecules, as many as this worker survives and one more."""
    found: list[list[str]] = []
    for mol in mols:
        task = {"molecule": base64.b64encode(mol.ToBinary()).decode(), "seconds": seconds}
        answer = _asked(worker, json.dumps(task))
        if not answer:
            _check_end(worker.wait())
            return [*found, [NOT_ENDED]]
        found.append(json.loads(answer))
    return found


def _asked(worker: subprocess.Popen[str], line: str) -> str:
    """The worker's answer; empty where it died."""
    try:
        print(line, file=worker.stdin, flush=True)
    except BrokenPipeError:
        return ""
    return worker.stdout.readline()


def _check_end(code: int) -> None:
    if code != -signal.SIGPROF:
        raise RuntimeError(
            f"the process that runs PoseBusters ended with code {code}, expected to end by signal {signal.SIGPROF:d}; "
            "what it said is above"
        )
