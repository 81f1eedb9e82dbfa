"""The list of files that loading reads, with their SHA-256.

A file and its entry cannot change in one atomic act. So an update first writes a manifest that accepts the old and the
new contents, then the files, then a manifest that accepts the new alone: whenever the process is killed, every file on
the disk is one that the manifest accepts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from manifold_gen.checkpoint.files import sha256, write_atomically
from manifold_gen.errors import CheckpointError

NAME = "manifest.json"
FORMAT_VERSION = 1
_ABSENT = "absent"  # among the digests of a file that is being written for the first time

Digests = dict[str, list[str]]


def update(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (by path inside ``folder``) and their digests so that a crash at any point leaves both valid.

    A file that the manifest already has with these contents is left alone.
    """
    known = read(folder) if (folder / NAME).exists() else {}
    digests = {name: [sha256(data)] for name, data in files.items()}
    new = {name: digest for name, digest in digests.items() if known.get(name) != digest}
    both = {name: known.get(name, [_ABSENT]) + new.get(name, []) for name in {**known, **new}}
    _write(folder, both)
    for name in new:
        write_atomically(folder / name, files[name])
    _write(folder, {**known, **new})


def read(folder: Path) -> Digests:
    """Accepted digests by file.

    Raises:
        CheckpointError: no manifest, not one of ours, or of another version.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} is not a run folder of manifold-gen: it has no {NAME}; give the folder that fit wrote"
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; give the folder that fit wrote") from error
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged or foreign: not JSON; restore it from a copy or fit the model again"
        ) from error
    check_version(content, path)
    files = content.get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, list) for entry in files.values()):
        raise CheckpointError(f"{path} lists no files; restore it from a copy or fit the model again")
    return files


def holds(folder: Path, name: str) -> bool:
    """Whether ``name`` has been saved; a file that was saved and is gone counts as held, and ``verified`` refuses it.

    Raises:
        CheckpointError: the manifest cannot be used.
    """
    if not (folder / NAME).exists():
        return False
    digests = read(folder).get(name, [_ABSENT])
    return _ABSENT not in digests or (folder / name).exists()


def verified(folder: Path, name: str) -> bytes:
    """Contents of a file whose digest the manifest accepts.

    Raises:
        CheckpointError: the file is missing, empty, unlisted or not what was written.
    """
    digests = read(folder)
    path = folder / name
    if not holds(folder, name):
        raise CheckpointError(
            f"{folder / NAME} does not list {name}: the run was stopped before its first save; resume or repeat it"
        )
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; restore it from a copy or fit the model again") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if not data:
        raise CheckpointError(f"{path} is empty (0 bytes); restore it from a copy or fit the model again")
    if sha256(data) not in digests[name]:
        raise CheckpointError(
            f"{path} is not the file that was saved: its SHA-256 is {sha256(data)[:12]}…, the manifest says "
            f"{' or '.join(digest[:12] + '…' for digest in digests[name])}; it was truncated, altered or replaced: "
            "restore it from a copy or fit the model again"
        )
    return data


def check_version(content: object, path: Path) -> None:
    """Refuse a JSON document of ours that another version of the format wrote."""
    version = content.get("format_version") if isinstance(content, dict) else None
    if version is None:
        raise CheckpointError(f"{path} was not written by manifold-gen: no format_version; give the folder fit wrote")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {version}, this manifold-gen reads {FORMAT_VERSION}; "
            "use the version that wrote it (see environment.json) or fit the model again"
        )


def _write(folder: Path, digests: Digests) -> None:
    content = {"format_version": FORMAT_VERSION, "files": dict(sorted(digests.items()))}
    write_atomically(folder / NAME, (json.dumps(content, indent=1) + "\n").encode())
