"""The folder of a benchmark: one result file a cell, the trained models, and who is at work on what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from manifold_gen.benchmark.cell import SCHEMA_VERSION, Cell
from manifold_gen.benchmark.job import Record
from manifold_gen.checkpoint import RunFolder
from manifold_gen.checkpoint.files import write_atomically, writing
from manifold_gen.checkpoint.lock import FolderLock
from manifold_gen.errors import DataError, RunFolderError

_CELLS, _MODELS, _CLAIMS = "cells", "models", "claims"


class ResultFolder:
    """Result files ``cells/<hash>.json`` and models ``models/<hash>/``; several runs may share one.

    Args:
        path: made where it does not exist.

    Raises:
        RunFolderError: it cannot be written.
        DataError: a result file in it is damaged or of another schema version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with writing(self.path):
            for name in (_CELLS, _MODELS, _CLAIMS):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        read_all(self.path)
        self._claims: dict[str, FolderLock] = {}

    def read(self, cell: Cell) -> Record | None:
        """The record of a finished cell; ``None`` where there is none yet."""
        path = self._file(cell)
        return read(path) if path.exists() else None

    def write(self, cell: Cell, record: Mapping[str, object], files: Mapping[str, bytes]) -> None:
        """The model first, then the result, at once: a result file says that the cell is finished.

        Raises:
            RunFolderError: the disk is full, or the folder cannot be written.
        """
        if files:
            with RunFolder(self.path / _MODELS / cell.hash, overwrite=True) as run:
                run.save(files)
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        write_atomically(self._file(cell), (text + "\n").encode())

    def files(self, cell: Cell) -> dict[str, bytes]:
        """The trained model's files by name, none where it was not saved."""
        folder = self.path / _MODELS / cell.hash
        with writing(folder):
            return {path.name: path.read_bytes() for path in folder.glob("model.*")}

    def forget(self, cell: Cell) -> None:
        """Drop a cell's result, so that it is done again."""
        self._file(cell).unlink(missing_ok=True)

    def claim(self, cell: Cell) -> bool:
        """Take a cell for this run; false where another living run has it. The claim of a dead run is taken over.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        lock = FolderLock(self.path / _CLAIMS, cell.hash)
        try:
            lock.acquire()
        except RunFolderError as error:
            if isinstance(error.__cause__, OSError):
                raise
            return False
        self._claims[cell.hash] = lock
        return True

    def release(self, cell: Cell) -> None:
        """Give a cell back, finished or not."""
        self._claims.pop(cell.hash).release()

    def release_all(self) -> None:
        """Give everything back."""
        for lock in self._claims.values():
            lock.release()
        self._claims.clear()

    def _file(self, cell: Cell) -> Path:
        return self.path / _CELLS / f"{cell.hash}.json"


def read_all(path: str | Path) -> list[Record]:
    """Every record in a benchmark's folder, in the order of the file names.

    Raises:
        DataError: a file is damaged or of another schema version.
    """
    return [read(file) for file in sorted((Path(path) / _CELLS).glob("*.json"))]


def read(path: Path) -> Record:
    """One result file.

    Raises:
        DataError: it is damaged, or of another schema version.
    """
    try:
        record = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; delete it and run the benchmark again") from error
    version = record.get("version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {version}, this manifold-gen reads {SCHEMA_VERSION}; move it away, use another "
            f"folder, or the manifold-gen that wrote it ({_package(record)})"
        )
    return record


def _package(record: object) -> str:
    package = record.get("package") if isinstance(record, dict) else None
    return "unknown" if package is None else str(package)
