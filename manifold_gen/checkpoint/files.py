"""Files that are either the old one or the new one, never half of each."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifold_gen.errors import RunFolderError

_CAUSES = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EFBIG: ("the file is larger than this process may write", "raise the file size limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "choose another folder"),
    errno.EACCES: ("permission denied", "choose a folder that you may write to"),
    errno.EPERM: ("permission denied", "choose a folder that you may write to"),
    errno.ENOTDIR: ("a part of the path is a file", "choose another folder"),
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` met while writing ``path`` into a ``RunFolderError`` that says what to do."""
    try:
        yield
    except RunFolderError:
        raise
    except OSError as error:
        cause, remedy = _CAUSES.get(error.errno or 0, (error.strerror or str(error), "check the folder"))
        raise RunFolderError(
            f"cannot write {path}: {cause}; what was saved before is intact: {remedy} and resume the run"
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: a temporary file beside it, flushed to the disk, then renamed over it.

    Raises:
        RunFolderError: the disk is full or the folder cannot be written; ``path`` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename survives a power cut; Windows has no such call."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()
