"""A run's folder: what it is called, who may write it, and what is in it."""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import struct
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch

from manifold_gen.checkpoint import environment, lock, manifest, toml
from manifold_gen.checkpoint.files import write_atomically, writing
from manifold_gen.errors import CheckpointError, RunFolderError, UsageError

CONFIG, METRICS, LOG, ENVIRONMENT = "config.toml", "metrics.jsonl", "log.txt", "environment.json"
DIAGNOSTICS, WEIGHTS, MODEL, STATE = "diagnostics.json", "model.safetensors", "model.json", "checkpoints/last.pt"
_OURS = (manifest.NAME, STATE, WEIGHTS, MODEL, CONFIG, METRICS, LOG, ENVIRONMENT, DIAGNOSTICS)
# what torch.load was seen to raise on 6,000 damaged files
_TORCH_ERRORS = (
    RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError, AttributeError, AssertionError, OverflowError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9._-]+")

JsonRecord = Mapping[str, object]


def safe_run_path(root: str | Path, name: str) -> Path:
    """The folder of the run called ``name`` under ``root``.

    Raises:
        UsageError: the name holds anything but letters, digits, ``.``, ``_`` and ``-``, or leaves ``root``.

    Example:
        >>> safe_run_path("runs", "torus-7").as_posix()
        'runs/torus-7'
    """
    path = Path(root) / name
    inside = path.resolve().parent == Path(root).resolve()
    if not _NAME.fullmatch(name) or not inside:
        raise UsageError(f"run name {name!r}: expected letters, digits, '.', '_' and '-' alone; choose another name")
    return path


class RunFolder:
    """A folder that this process alone writes while the context lasts.

    Args:
        path: the folder; made where it does not exist.
        overwrite: replace the files of an earlier run there.
        resume: go on with the run that is there.

    Raises:
        RunFolderError: the folder holds something and neither ``overwrite`` nor ``resume`` was given, holds something
            that is no run, is in use by another run, or cannot be written.

    Example:
        >>> import tempfile
        >>> with RunFolder(Path(tempfile.mkdtemp()) / "first") as run:
        ...     run.append_metrics({"step": 1, "loss": 0.5})
        >>> run.read_metrics()
        [{'step': 1, 'loss': 0.5}]
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False, resume: bool = False) -> None:
        if "://" in str(path):
            raise RunFolderError(f"{path} is a URL; give a folder on this machine")
        self.path = Path(path)
        self.overwrite, self.resume = overwrite, resume
        self._lock = lock.FolderLock(self.path)

    def __enter__(self) -> RunFolder:
        self._refuse_unless_free()
        with writing(self.path):
            (self.path / STATE).parent.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        self._sweep()
        if self.overwrite and not self.resume:
            self._clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    # ---- writing ------------------------------------------------------------------------------------------------

    def write_text(self, name: str, text: str) -> None:
        """Replace a file of the folder."""
        write_atomically(self.path / name, text.encode())

    def write_json(self, name: str, content: JsonRecord) -> None:
        """Replace a JSON file of the folder."""
        self.write_text(name, json.dumps(content, indent=1) + "\n")

    def write_config(self, settings: JsonRecord) -> None:
        """``config.toml``: everything the run was told."""
        self.write_text(CONFIG, toml.dumps(settings))

    def write_environment(self) -> None:
        """``environment.json``: versions, machine, threads."""
        self.write_json(ENVIRONMENT, environment.describe())

    def write_diagnostics(self, content: JsonRecord) -> None:
        """``diagnostics.json``."""
        self.write_json(DIAGNOSTICS, content)

    def save(self, files: Mapping[str, bytes]) -> None:
        """Write files that loading verifies, together with their digests."""
        manifest.update(self.path, files)

    def append_metrics(self, record: JsonRecord) -> None:
        """One line of ``metrics.jsonl``; what is not finite becomes ``null``, which JSON can hold."""
        plain = {key: _finite(value) for key, value in record.items()}
        self._append(METRICS, json.dumps(plain) + "\n")

    def log(self, line: str) -> None:
        """One line of ``log.txt``."""
        self._append(LOG, line + "\n")

    def truncate_metrics(self, step: int) -> None:
        """Drop the lines after ``step``, which a resumed run will write again, and a half-written last one."""
        kept = [record for record in self.read_metrics() if int(str(record["step"])) <= step]
        self.write_text(METRICS, "".join(json.dumps(record) + "\n" for record in kept))

    # ---- reading ------------------------------------------------------------------------------------------------

    def read_config(self) -> dict[str, object]:
        """``config.toml`` as nested tables.

        Raises:
            CheckpointError: there is none, or it is no TOML.
        """
        path = self.path / CONFIG
        try:
            return tomllib.loads(path.read_text())
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}; give the folder that fit wrote") from error
        except ValueError as error:
            raise CheckpointError(f"{path} is damaged: {error}; restore it from a copy or repeat the run") from error

    def read_metrics(self) -> list[dict[str, object]]:
        """The lines of ``metrics.jsonl``, but for a last one that a killed process left unfinished.

        Raises:
            CheckpointError: a line is no JSON.
        """
        path = self.path / METRICS
        lines = path.read_text(errors="replace").splitlines(keepends=True) if path.exists() else []
        try:
            return [json.loads(line) for line in lines if line.endswith("\n")]
        except ValueError as error:
            raise CheckpointError(f"{path} is damaged: {error}; restore it from a copy or repeat the run") from error

    def read_state(self) -> bytes | None:
        """The training state as ``checkpoints/last.pt`` holds it, ``None`` where the run has saved none yet."""
        return manifest.verified(self.path, STATE) if manifest.holds(self.path, STATE) else None

    # ---- helpers ------------------------------------------------------------------------------------------------

    def _append(self, name: str, text: str) -> None:
        path = self.path / name
        with writing(path), path.open("a") as stream:
            stream.write(text)

    def _refuse_unless_free(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path} is a file; choose another folder")
        if self.resume and not self.path.exists():
            raise RunFolderError(f"{self.path} does not exist, so there is no run to resume; start one without resume")
        if self.resume or not self.path.exists() or not any(map(_counts, self.path.iterdir())):
            return
        if not self.overwrite:
            raise RunFolderError(
                f"{self.path} exists and is not empty; choose another folder, "
                "overwrite it (overwrite=True, --overwrite) or go on with it (resume=True, --resume)"
            )
        if not any((self.path / name).exists() for name in _OURS):
            raise RunFolderError(f"{self.path} is not empty and holds no run, so it is not overwritten; choose another")

    def _sweep(self) -> None:
        """Remove what a killed process had not finished writing."""
        for leftover in (*self.path.glob(".*.tmp"), *(self.path / STATE).parent.glob(".*.tmp")):
            leftover.unlink(missing_ok=True)

    def _clear(self) -> None:
        for name in _OURS:
            with writing(self.path / name):
                (self.path / name).unlink(missing_ok=True)


def _counts(entry: Path) -> bool:
    """Whether an entry is worth keeping: a lock, an unfinished file and an empty folder are not."""
    if entry.is_dir():
        return any(map(_counts, entry.iterdir()))
    return entry.name != lock.NAME and not (entry.name.startswith(".") and entry.name.endswith(".tmp"))


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def state_bytes(state: Mapping[str, object]) -> bytes:
    """Training state of tensors, numbers, strings, lists and dictionaries as the bytes of a torch file."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def state_from_bytes(data: bytes, device: torch.device | str = "cpu") -> dict[str, object]:
    """What ``state_bytes`` wrote; nothing in it is executed.

    Raises:
        CheckpointError: the bytes are no torch file of plain values.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except _TORCH_ERRORS as error:
        raise CheckpointError(
            f"the training state ({STATE}) is damaged or foreign: {_first_line(error)}; "
            "restore it from a copy or repeat the run"
        ) from error
    manifest.check_version(state, Path(STATE))
    return state
