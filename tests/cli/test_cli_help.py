"""Help, versions and what loading the command line costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from calling import ENVIRONMENT, call, call_process, check_failure

import manifold_gen

COMMANDS = ["fit", "sample", "score", "evaluate", "plot", "datasets", "doctor"]


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_no_heavy_library(arguments):
    """``--help`` answers from click alone."""
    code = (
        "import sys; from manifold_gen.cli import main; "
        f"code = main({arguments!r}); "
        "print([n for n in ('torch', 'numpy', 'geoopt', 'matplotlib', 'scipy') if n in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: manifold-gen")
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_fast():
    """Under half a second of processor time, which does not depend on what else the machine does."""
    code = "import time; from manifold_gen.cli import main; main(['--help']); print(time.process_time())"
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
        seconds.append(float(done.stdout.splitlines()[-1]))
    assert min(seconds) < 0.5


def test_version():
    done = call("--version")
    assert (done.code, done.out.strip()) == (0, f"manifold-gen, version {manifold_gen.__version__}")


def test_no_command_shows_the_help():
    done = call()
    assert done.code == 2
    assert "Commands:" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fti"], ["'fti'", "did you mean fit?"]),
        (["fit", "--stesp", "3"], ["--stesp", "did you mean --steps?"]),
        (["evaluate", "x", "--strikt"], ["did you mean --strict?"]),
        (["fit", "--width", "3"], ["model.width=VALUE", "--print-config"]),
        (["sample", "x"], ["Missing option", "--help"]),
        (["evaluate"], ["Missing argument 'RUN'"]),
        (["evaluate", "x", "--split", "tset"], ["'tset'", "'test'"]),
    ],
)
def test_mistyped_words_are_told_with_the_nearest_one(arguments, words):
    check_failure(call(*arguments), 2, *words)


def test_no_colour_off_a_terminal():
    done = call_process("fti", env={"FORCE_COLOR": ""})
    assert "\x1b" not in done.err


def test_traceback_only_with_verbose(tmp_path):
    quiet = call("evaluate", tmp_path / "none")
    check_failure(quiet, 66, "does not exist")
    assert "Traceback" not in quiet.err
    loud = call("evaluate", tmp_path / "none", "-v")
    assert loud.code == 66
    assert "Traceback" in loud.err
    assert "error: " in loud.err


def test_unforeseen_error_is_two_lines_and_exit_code_1(tmp_path):
    """A model of the user's that fails in a way nobody foresaw does not bury the terminal in a traceback."""
    (tmp_path / "mine.py").write_text(
        "from manifold_gen.models.base import GenerativeModel\n"
        "class Broken(GenerativeModel):\n"
        "    def __init__(self, manifold): raise ZeroDivisionError('mine')\n"
        "    def sample(self, n, context=None, generator=None): ...\n"
        "    def losses(self, x, context=None, auxiliary=None): ...\n"
    )
    done = call_process("fit", "--model", "mine:Broken", "--dry-run", cwd=tmp_path)
    check_failure(done, 1, "ZeroDivisionError: mine", "-v")
    loud = call_process("fit", "--model", "mine:Broken", "--dry-run", "-v", cwd=tmp_path)
    assert loud.code == 1
    assert "Traceback" in loud.err


def test_a_closed_pipe_is_no_error_message():
    """``manifold-gen datasets | head`` ends without a word on standard error when head has seen enough."""
    line = f"{sys.executable} -m manifold_gen datasets | head -n 0"
    done = subprocess.run(line, shell=True, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
