"""The command line ``manifold-gen``: dispatch, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import difflib
import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType

import click

from manifold_gen import __version__
from manifold_gen.commands.benchmark import benchmark
from manifold_gen.commands.console import Console
from manifold_gen.commands.datasets import datasets
from manifold_gen.commands.doctor import doctor
from manifold_gen.commands.evaluate import evaluate
from manifold_gen.commands.fit import fit
from manifold_gen.commands.plot import plot
from manifold_gen.commands.sample import sample
from manifold_gen.commands.score import score
from manifold_gen.errors import ManifoldGenError, RunFolderError

_PROGRAM = "manifold-gen"


class Terminated(BaseException):
    """SIGTERM arrived outside training, where there is nothing to save."""


@click.group(name=_PROGRAM, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=_PROGRAM)
def manifold_gen() -> None:
    """Generative models for data on Riemannian manifolds: free-form flows with honest likelihoods.

    \b
    manifold-gen fit --data ramachandran --out runs/rama
    manifold-gen evaluate runs/rama
    manifold-gen sample runs/rama -n 1000 -o samples.csv

    Exit codes: 0 done, 1 the run failed, 2 wrong usage, 66 an input is missing or unusable, 74 reading or writing
    failed, 130 interrupted, 143 terminated.

    Completion of words in bash: eval "$(_MANIFOLD_GEN_COMPLETE=bash_source manifold-gen)"
    """


for command in (fit, sample, score, evaluate, plot, benchmark, datasets, doctor):
    manifold_gen.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    console = Console()
    sys.excepthook = _unexpected(console)
    warnings.showwarning = _warning(console)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = manifold_gen.main(arguments, prog_name=_PROGRAM, standalone_mode=False, obj=console)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        console.error(*_usage(error))
        return error.exit_code
    except ManifoldGenError as error:
        _show_traceback(console)
        console.error(*_split(error))
        return error.exit_code
    except BrokenPipeError:
        # the reader went away (as in `manifold-gen datasets | head`); keep the interpreter from flushing into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RunFolderError.exit_code
    except OSError as error:
        _show_traceback(console)
        console.error(*_system(error))
        return 66 if error.errno == errno.ENOENT else RunFolderError.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.error("interrupted", "run the same command again")
        return 128 + signal.SIGINT
    except Terminated:
        console.error("terminated", "run the same command again")
        return 128 + signal.SIGTERM


def _split(error: ManifoldGenError) -> tuple[str, str]:
    """Cause and remedy of a message: they stand on either side of its last semicolon, or of ``, expected``."""
    text = str(error)
    for mark, said in (("; ", ""), (", expected ", "expected ")):
        cause, _, remedy = text.rpartition(mark)
        if cause:
            return cause, said + remedy
    return text, f"see {_here()} --help"


def _usage(error: click.ClickException) -> tuple[str, str]:
    """Cause and remedy of a mistake in the arguments."""
    if isinstance(error, click.exceptions.NoSuchCommand):
        group = error.ctx.command if error.ctx else manifold_gen
        near = difflib.get_close_matches(error.command_name, group.commands, n=1)
        return error.message, f"did you mean {near[0]}?" if near else f"see {_here(error)} --help"
    if isinstance(error, click.exceptions.NoSuchOption):
        return error.message, _nearest_option(error)
    return error.format_message(), f"see {_here(error)} --help"


def _nearest_option(error: click.exceptions.NoSuchOption) -> str:
    known = [name for option in error.ctx.command.params for name in option.opts] if error.ctx else []
    near = difflib.get_close_matches(error.option_name, known, n=1, cutoff=0.7)
    if near:
        return f"did you mean {near[0]}?"
    if not _here(error).endswith(" fit"):
        return f"see {_here(error)} --help"
    name = error.option_name.lstrip("-").replace("-", "_")
    return (
        f"settings without a flag are written section.name=value, e.g. model.{name}=VALUE or training.{name}=VALUE; "
        f"'{_PROGRAM} fit --print-config' lists them"
    )


def _system(error: OSError) -> tuple[str, str]:
    """Cause and remedy of a failed system call."""
    place = f"{error.filename}: " if error.filename else ""
    remedies = {
        errno.ENOENT: "check the path",
        errno.ENOSPC: "free some space on that disk, or write to another one",
        errno.EACCES: "choose a place that you may read and write",
        errno.EISDIR: "give the path of a file, not of a folder",
    }
    return f"{place}{error.strerror or error}", remedies.get(error.errno or 0, "check the path and the disk")


def _here(error: click.ClickException | None = None) -> str:
    context = error.ctx if isinstance(error, click.UsageError) and error.ctx else click.get_current_context(silent=True)
    return context.command_path if context else _PROGRAM


def _show_traceback(console: Console) -> None:
    if console.verbosity > 0:
        traceback.print_exc()


def _unexpected(console: Console) -> Callable[..., None]:
    """Hook for errors that nobody foresaw: the interpreter exits with 1 after it."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if console.verbosity > 0:
            traceback.print_exception(kind, error, trace)
        console.error(
            f"unexpected {kind.__name__}: {error}",
            "this is a fault of manifold_gen: run the command again with -v and report the traceback",
        )

    return hook


def _warning(console: Console) -> Callable[..., None]:
    """Warnings as one line each, without the place in the source."""

    def show(message: Warning | str, *place: object, **more: object) -> None:
        console.note(f"warning: {' '.join(str(message).split())}")

    return show


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated
