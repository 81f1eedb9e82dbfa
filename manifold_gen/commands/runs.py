"""What the commands that read a run folder have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.errors import CheckpointError, RunFolderError, UsageError

if TYPE_CHECKING:
    import torch

    from manifold_gen.data import Dataset
    from manifold_gen.data.formats import PointFormat
    from manifold_gen.models.base import GenerativeModel

POINT_FILES = (".csv", ".tsv", ".npy", ".npz")


def open_run(path: str, device: str = "auto") -> tuple[GenerativeModel, PointFormat]:
    """The model of a run, on a device, and how its points stand in files."""
    from manifold_gen.checkpoint import load, read_description
    from manifold_gen.data.formats import PointFormat, make_format
    from manifold_gen.training.distributed import choose_device

    model = load(path, choose_device(device))
    data = read_description(path)["data"]
    known = data.get("format") if isinstance(data, dict) else None
    return model, PointFormat.from_dict(known) if known else make_format(model.manifold.spec)


def run_data(path: str, data: str | None = None) -> Dataset:
    """The data set that a run was fitted to, or another one of the same kind given by name or file."""
    from manifold_gen.checkpoint import RunFolder
    from manifold_gen.commands.settings import FitSettings, is_file

    tables = RunFolder(path).read_config()
    table = tables.get("data")
    if not isinstance(table, dict) or "name" not in table:
        raise CheckpointError(f"{path} does not say which data it was fitted to; name them with --data")
    if data is not None:
        same_kind = is_file(data) == is_file(str(table["name"]))
        table = {**table, "name": data} if same_kind else {"name": data, **(_as_file(path) if is_file(data) else {})}
    return FitSettings.from_tables({"data": table, "training": tables.get("training", {})}).load_data()


def _as_file(path: str) -> dict[str, object]:
    """The settings by which a file is read as the data of a run were: for runs started from Python."""
    from manifold_gen.checkpoint import read_description
    from manifold_gen.data.formats import PointFormat, make_format

    content = read_description(path)
    known = content["data"].get("format")
    fmt = PointFormat.from_dict(known) if known else make_format(str(content["manifold"]))
    columns = {"columns": list(fmt.columns), "representation": ",".join(fmt.representations)}
    beside = (
        {"context": list(fmt.context.columns), "categorical": fmt.context.labels is not None} if fmt.context else {}
    )
    return {"manifold": fmt.manifold, "units": fmt.units, **columns, **beside}


def floating_type(model: GenerativeModel) -> torch.dtype:
    """The floating type that a model computes in."""
    return next(tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point())


def device_of(model: GenerativeModel) -> torch.device:
    """The device that a model is on."""
    return next(iter(model.state_dict().values())).device


def output_path(path: str, endings: tuple[str, ...], *, overwrite: bool) -> Path:
    """A file to write, refused before any work is done where it cannot be written."""
    target = Path(path)
    if target.suffix.lower() not in endings:
        raise UsageError(f"{path} ends in {target.suffix!r}; choose one of {', '.join(endings)}")
    if target.exists() and not overwrite:
        raise RunFolderError(f"{path} exists; choose another name, or replace it with --overwrite")
    if not target.parent.is_dir():
        raise RunFolderError(f"the folder {target.parent} does not exist; make it first (mkdir -p {target.parent})")
    return target


def whole_number(text: str, option: str) -> int:
    """A positive whole number, ``1e6`` included."""
    from manifold_gen.configuration import Setting, coerced, parse_value

    value = coerced(parse_value(text), Setting(option, int, 0))
    if not isinstance(value, int) or value < 1:
        raise UsageError(f"{option} is {text}; give a whole number of at least 1")
    return value
