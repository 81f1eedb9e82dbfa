"""One run a folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from manifold_gen.checkpoint.files import writing
from manifold_gen.errors import RunFolderError

NAME = ".lock"


class FolderLock:
    """A file that names the process and machine at work in a folder; one left by a dead process is taken over."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.text = f"{os.getpid()} {_birth(os.getpid())} {socket.gethostname()}\n"

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RunFolderError: a living process, or one on another machine, holds it.
        """
        for _ in range(2):
            if self._create():
                return
            self._refuse_if_held()
            self.path.unlink(missing_ok=True)
        raise RunFolderError(f"{self.path} was taken by another run just now; choose another folder")

    def release(self) -> None:
        """Give the lock back if it is ours."""
        if self.path.exists() and self.path.read_text() == self.text:
            self.path.unlink()

    def _create(self) -> bool:
        # the text is in the file before the file has its name, so nobody reads half a lock
        temporary = self.path.with_name(f"{NAME}.{os.getpid()}.tmp")
        with writing(self.path):
            try:
                temporary.write_text(self.text)
                os.link(temporary, self.path)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def _refuse_if_held(self) -> None:
        try:
            pid, birth, host = self.path.read_text().split()
        except (FileNotFoundError, ValueError):
            return
        if host != socket.gethostname():
            raise RunFolderError(
                f"{self.path.parent} is in use by process {pid} on {host}; choose another folder, "
                f"or delete {self.path} if that process has ended"
            )
        if _birth(int(pid)) == birth:
            raise RunFolderError(
                f"{self.path.parent} is in use by process {pid}; choose another folder or wait until it has ended"
            )


def _birth(pid: int) -> str:
    """A mark that tells a process from a later one with the same number; ``dead`` where there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        return stat.read_text().rsplit(")", 1)[1].split()[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "dead"
    except PermissionError:
        return "alive"
    return "alive"
