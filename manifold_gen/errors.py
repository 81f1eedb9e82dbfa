"""The exceptions that a user meets, each with the exit code the command line gives it.

Every message says what was given, what was expected and what to do next. The code follows ``sysexits.h`` where it has
one: 1 a run failed, 2 wrong usage, 66 an input is missing or unusable, 74 reading or writing failed.
"""

from __future__ import annotations


class ManifoldGenError(Exception):
    """Base of all errors of this package; ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(ManifoldGenError, ValueError):
    """An argument, option or configuration key that makes no sense."""

    exit_code = 2


class DataError(ManifoldGenError, ValueError):
    """Data that cannot be used: missing rows, points off the manifold, a malformed file."""

    exit_code = 66


class CheckpointError(ManifoldGenError):
    """A run folder or checkpoint that is empty, truncated, altered, foreign or of another version."""

    exit_code = 66


class RunFolderError(ManifoldGenError, OSError):
    """A run folder that cannot be written: it exists, is locked by another run, or the disk is full."""

    exit_code = 74


class DivergenceError(ManifoldGenError, ArithmeticError):
    """Training met a loss that is not finite."""


class IntegrationError(ManifoldGenError, ArithmeticError):
    """A vector field could not be integrated: the step underflowed, or a value is not finite."""


class CutLocusError(ManifoldGenError, ValueError):
    """Two points have no unique shortest geodesic between them."""

    exit_code = 66


class KernelUnknownError(UsageError):
    """The heat kernel of a manifold was asked for, and no formula for it is known."""


class MissingExtraError(ManifoldGenError, ImportError):
    """An optional library is not installed; the message carries the exact line that installs it."""
