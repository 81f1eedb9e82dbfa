"""The command line as a user calls it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from manifold_gen.cli import main

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
}
SMALL = ["model.width=16", "model.depth=1", "model.waves=12", "--batch-size", "64", "--device", "cpu"]
OF_FILE = ["--manifold", "torus", "--units", "degrees"]


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str


def call_process(*arguments, cwd=None, env=None, timeout=120):
    """Run ``manifold-gen`` with ``arguments`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "manifold_gen", *map(str, arguments)],
        cwd=cwd,
        env={**ENVIRONMENT, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def call(*arguments):
    """The same in this process, which saves the import of torch; what ``main`` sets for a process is put back."""
    out, err = io.StringIO(), io.StringIO()
    hook, handler = sys.excepthook, signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as a fresh interpreter: what is meant for users is shown
            warnings.simplefilter("always", UserWarning)
            code = main([str(argument) for argument in arguments])
    finally:
        sys.excepthook = hook
        signal.signal(signal.SIGTERM, handler)
    return Done(code, out.getvalue(), err.getvalue())


def check_failure(done, code, *words):
    """One message of two lines, cause and remedy, that holds the words; no traceback; the exit code."""
    assert done.code == code, done.err
    errors = [line for line in done.err.splitlines() if not line.startswith("warning:")]
    assert len(errors) == 2, done.err
    assert errors[0].startswith("error: ")
    assert errors[1].startswith(" help: ")
    text = " ".join(errors)
    assert [word for word in words if word not in text] == [], text
