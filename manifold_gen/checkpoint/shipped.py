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
        "dc6d73efd15b30532840a64b209d3b77915e6c96bb47ad3cc81f856b7da4eb55",
        "endpoint flow of 245,359 parameters, trained on QM9 for 22 minutes of two processor cores",
    ),
    "qm9-flow-matching": Shipped(
        "checkpoints/qm9-flow-matching",
        "872283b0fa0ccab2d34b79c84507a7c4fcc976a3b55db8c669c9992d92d207ad",
        "endpoint flow of 2,021,149 parameters, trained on QM9 for 4 minutes of one GPU",
    ),
    "qm9-settled-flow": Shipped(
        "checkpoints/qm9-settled-flow",
        "0561a44f6e3828d056cc726c819ca687b8f650b642792474a6ac14bccb1048d8",
        "molecules in one pass of 1,962,872 parameters, taught by qm9-flow-matching in 168 minutes of a processor core",
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
