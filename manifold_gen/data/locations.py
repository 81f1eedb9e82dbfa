"""Where data files lie: bundled, in the user's data folder, in the cache, or at their source.

The search order for a file that is not bundled is ``MANIFOLD_GEN_DATA`` (never written), ``MANIFOLD_GEN_CACHE`` (default:
the user's cache folder), download into the cache. Every file is pinned by its sha256.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from manifold_gen.errors import DataError

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled(name: str) -> Path:
    """Path of a bundled file or folder, e.g. ``"ramachandran/counts.npy"``, in a wheel and in a checkout.

    Raises:
        DataError: where neither holds it.

    >>> bundled("ramachandran/counts.npy").name
    'counts.npy'
    """
    places = [_PACKAGE / "_data" / name, _PACKAGE.parent / "datasets" / name]
    for place in places:
        if place.exists():
            return place
    raise DataError(
        f"the bundled file {name} is missing (looked at {', '.join(map(str, places))}); reinstall manifold-gen"
    )


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(path: Path, expected: str) -> Path:
    """``path``, after its sha256 was compared with the pinned one; ``DataError`` where they differ."""
    given = sha256(path)
    if given != expected:
        raise DataError(
            f"{path} has sha256 {given}, expected {expected}: it is another version or was altered; "
            "remove it, so that the pinned file is fetched again"
        )
    return path
