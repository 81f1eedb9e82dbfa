"""Fitted models that come with the package, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from manifold_gen.data.locations import bundled, verified


@dataclass(frozen=True)
class Shipped:
    """A bundled run folder.

    Attributes:
        place: below ``datasets/``.
        weights: sha256 of its ``model.safetensors``.
        about: what it is, in a line.
    """

    place: str
    weights: str
    about: str


SHIPPED = {
    "qm9-endpoint-flow": Shipped(
        "checkpoints/qm9-endpoint-flow",
        "cdb858b64f0f0e9c007797648d040b2ac474aebf0c48d4a4ae21d8895b019c30",
        "endpoint flow of 90,000 parameters, trained on QM9 for about 37 minutes of one processor core",
    ),
}


def run_path(path: str | Path) -> Path:
    """The folder called ``path``, or the bundled one of that name where no such folder exists.

    Raises:
        DataError: the bundled file was altered or is missing.

    Example:
        >>> run_path("qm9-endpoint-flow").name
        'qm9-endpoint-flow'
    """
    given = Path(path)
    if given.exists() or str(path) not in SHIPPED:
        return given
    found = SHIPPED[str(path)]
    folder = bundled(found.place)
    verified(folder / "model.safetensors", found.weights)
    return folder
