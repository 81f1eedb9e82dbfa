"""What the commands that read a run folder have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.errors import CheckpointError, RunFolderError, UsageError

if TYPE_CHECKING:
    import torch

    from manifold_gen.data import Dataset
    from manifold_gen.data.kinds import Format
    from manifold_gen.models.base import GenerativeModel

POINT_FILES = (".csv", ".tsv", ".npy", ".npz")


def open_run(path: str, device: str = "auto") -> tuple[GenerativeModel, Format]:
    """The model of a run, on a device, and how its points stand in files."""
    from manifold_gen.checkpoint import load
    from manifold_gen.training.distributed import choose_device

    model = load(path, choose_device(device))
    return model, run_format(path)


def run_format(path: str) -> Format:
    """How the points of a run stand in files; its weights are not read."""
    from manifold_gen.checkpoint import read_description
    from manifold_gen.data.kinds import read_format

    content = read_description(path)
    data = content["data"]
    return read_format(data.get("format") if isinstance(data, dict) else None, str(content["manifold"]))


def run_data(path: str, data: str | None = None) -> Dataset:
    """The data set that a run was fitted to, or another one of the same kind given by name or file."""
    from manifold_gen.checkpoint import RunFolder, run_path
    from manifold_gen.commands.settings import FitSettings

    tables = RunFolder(run_path(path)).read_config()
    table = tables.get("data")
    if not isinstance(table, dict) or "name" not in table:
        raise CheckpointError(f"{path} does not say which data it was fitted to; name them with --data")
    if data is not None:
        table = {**table, "name": data} if _alike(data, str(table["name"])) else _other(path, data)
    return FitSettings.from_tables({"data": table, "training": tables.get("training", {})}).load_data()


def _alike(first: str, second: str) -> bool:
    """Whether two data sets are read with the same settings: both by name, or both files of one kind."""
    from manifold_gen.commands.settings import is_file
    from manifold_gen.data.kinds import file_kind

    files = is_file(first), is_file(second)
    return file_kind(first) == file_kind(second) if all(files) else not any(files)


def _other(path: str, data: str) -> dict[str, object]:
    """The settings by which other data are read as those of a run were."""
    from manifold_gen.commands.settings import is_file

    return {"name": data, **(run_format(path).loader_options() if is_file(data) else {})}


def floating_type(model: GenerativeModel) -> torch.dtype:
    """The floating type that a model computes in."""
    return next(tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point())


def device_of(model: GenerativeModel) -> torch.device:
    """The device that a model is on."""
    return next(iter(model.state_dict().values())).device


def output_path(path: str, endings: tuple[str, ...], *, overwrite: bool) -> Path:
    """A file to write, refused before any work is done where it cannot be written."""
    target = Path(path)
    check_ending(target, endings)
    if target.exists() and not overwrite:
        raise RunFolderError(f"{path} exists; choose another name, or replace it with --overwrite")
    if not target.parent.is_dir():
        raise RunFolderError(f"the folder {target.parent} does not exist; make it first (mkdir -p {target.parent})")
    return target


def check_ending(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse a file that ends in anything else."""
    if path.suffix.lower() not in endings:
        raise UsageError(f"{path} ends in {path.suffix!r}; choose one of {', '.join(endings)}")


def whole_number(text: str, option: str) -> int:
    """A positive whole number, ``1e6`` included."""
    from manifold_gen.configuration import Setting, coerced, parse_value

    value = coerced(parse_value(text), Setting(option, int, 0))
    if not isinstance(value, int) or value < 1:
        raise UsageError(f"{option} is {text}; give a whole number of at least 1")
    return value
