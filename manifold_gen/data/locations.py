"""Where data files lie: bundled, in the user's data folder, in the cache, or at their source.

The search order for a file that is not bundled is ``MANIFOLD_GEN_DATA`` (never written), ``MANIFOLD_GEN_CACHE``
(default: the user's cache folder), download into the cache. Every file is pinned by its sha256.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from manifold_gen.errors import DataError

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class RemoteFile:
    """A file of a public source: its place in the data folder, its address and its sha256."""

    place: str
    url: str
    sha256: str


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
    raise DataError(f"the bundled file {name} is missing from {places[0]} and {places[1]}; reinstall manifold-gen")


def data_folders() -> list[Path]:
    """The folders that are searched, in order: ``MANIFOLD_GEN_DATA`` where it is set, then the cache."""
    given = os.environ.get("MANIFOLD_GEN_DATA")
    return [*([Path(given).expanduser()] if given else []), cache_folder()]


def cache_folder() -> Path:
    """``MANIFOLD_GEN_CACHE``, or the user's cache folder; only a download creates it."""
    import pooch

    return Path(os.environ.get("MANIFOLD_GEN_CACHE") or pooch.os_cache("manifold_gen")).expanduser()


def find(place: str) -> Path | None:
    """The first of ``data_folders`` that holds ``place``; ``None`` where none does."""
    return next((folder / place for folder in data_folders() if (folder / place).is_file()), None)


def fetch(file: RemoteFile) -> Path:
    """Path of the file on this machine, downloaded into the cache if need be; its sha256 is verified.

    Raises:
        DataError: the file is altered, or it is nowhere and cannot be downloaded.
    """
    found = find(file.place)
    return verified(found, file.sha256) if found is not None else _download(file)


def _download(file: RemoteFile) -> Path:
    import pooch

    target = cache_folder() / file.place
    downloader = pooch.HTTPDownloader(timeout=30)
    try:
        pooch.retrieve(file.url, f"sha256:{file.sha256}", target.name, target.parent, downloader=downloader)
    except ValueError as error:
        raise DataError(f"{file.url} is no longer the pinned file: {error}; {_bring(file)}") from error
    except OSError as error:
        searched = " or ".join(map(str, data_folders()))
        raise DataError(
            f"the data file {file.place} is not in {searched} and could not be downloaded from {file.url} "
            f"({type(error).__name__}); connect to the network, or {_bring(file)}"
        ) from error
    return target


def _bring(file: RemoteFile) -> str:
    return (
        f"put the file with sha256 {file.sha256} into a folder of your own as {file.place} and set MANIFOLD_GEN_DATA "
        "to that folder"
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
