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

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self.path = folder / name
        self.text = f"{os.getpid()} {_birth(os.getpid())} {socket.gethostname()}\n"

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RunFolderError: a living process, or one on another machine, holds it.
        """
        for _ in range(3):
            if self._create():
                return
            self._take_over_if_dead()
        raise RunFolderError(f"{self.path} was taken by another run just now; choose another folder")

    def release(self) -> None:
        """Give the lock back if it is ours."""
        if self.path.exists() and self.path.read_text() == self.text:
            self.path.unlink()

    def _create(self) -> bool:
        # the text is in the file before the file has its name, so nobody reads half a lock
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        with writing(self.path):
            try:
                temporary.write_text(self.text)
                os.link(temporary, self.path)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def _take_over_if_dead(self) -> None:
        try:
            seen = self.path.read_text()
            self._refuse_if_alive(seen)
            # a rename has one winner; if a living run's lock came in between, it goes back
            stale = self.path.with_name(f"{self.path.name}.{os.getpid()}.stale.tmp")
            os.rename(self.path, stale)
        except FileNotFoundError:
            return
        if stale.read_text() == seen:
            stale.unlink()
        else:
            os.rename(stale, self.path)

    def _refuse_if_alive(self, text: str) -> None:
        words = text.split()
        if len(words) != 3 or not words[0].isdigit():
            return
        pid, birth, host = words
        if host == socket.gethostname() and _birth(int(pid)) != birth:
            return
        raise RunFolderError(
            f"{self.path.parent} is in use by process {pid} on {host}; choose another folder or wait until it has "
            f"ended (delete {self.path} only if that process is no more)"
        )


def _birth(pid: int) -> str:
    """A mark that tells a process from a later one of the same number; ``dead`` where there is none."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return "dead" if Path("/proc/self/stat").exists() else _alive(pid)


def _alive(pid: int) -> str:
    if os.name != "posix":
        return "alive"  # signal 0 is no question there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "dead"
    except PermissionError:
        return "alive"
    return "alive"
