"""A model on disk: what it is in ``model.json``, its tensors in ``model.safetensors``, nothing that is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors

from manifold_gen import manifolds, models
from manifold_gen.checkpoint import manifest
from manifold_gen.checkpoint.folder import MODEL, WEIGHTS, RunFolder
from manifold_gen.checkpoint.shipped import SHIPPED, run_path
from manifold_gen.errors import CheckpointError, UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.base import GenerativeModel

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
_REPAIR = "restore it from a copy or fit the model again"


def save_model(
    path: str | Path,
    model: GenerativeModel,
    *,
    data: Mapping[str, object] | None = None,
    progress: float = 1.0,
    overwrite: bool = False,
) -> Path:
    """Write ``model`` into the folder ``path``, to be read by ``load``.

    Args:
        path: a folder that is empty or does not exist, unless ``overwrite``.
        model: any model that ``models.resolve`` can find again.
        data: what is known of its data, such as ``{"name": …, "format": PointFormat.to_dict()}``.
        progress: the share of training that ``model.set_progress`` was last told.
        overwrite: replace the run that is there.

    Raises:
        UsageError: the model or its manifold could not be rebuilt from what is saved.
        RunFolderError: the folder is in use or cannot be written.
    """
    text = description(model, data or {})
    with RunFolder(path, overwrite=overwrite) as run:
        run.save({MODEL: text, WEIGHTS: weights(model.state_dict(), progress)})
    return run.path


def load(path: str | Path, device: str | torch.device = "cpu") -> GenerativeModel:
    """The model of a run folder, in evaluation mode: it scores exactly as the one that was saved.

    Args:
        path: a folder that ``fit`` or ``save_model`` wrote, or a name in ``checkpoint.shipped.SHIPPED``.
        device: where to put it.

    Raises:
        CheckpointError: the folder is missing, empty, truncated, altered, foreign, of another version, or its weights
            are not finite or do not fit the model.

    Example:
        >>> load("runs/none")
        Traceback (most recent call last):
        manifold_gen.errors.CheckpointError: runs/none does not exist; give the folder that ...
    """
    folder = _folder(path)
    content = read_description(folder)
    data = manifest.verified(folder, WEIGHTS)
    tensors, progress = _tensors(data, folder / WEIGHTS)
    model = _build(content, folder / MODEL)
    _fill(model, tensors, folder / WEIGHTS)
    model.set_progress(progress)
    return model.to(device).eval()


def read_description(path: str | Path) -> dict[str, object]:
    """``model.json``, verified: class, manifold, hyperparameters, dtype and what is known of the data.

    Raises:
        CheckpointError: as ``load``.
    """
    folder = _folder(path)
    data = manifest.verified(folder, MODEL)
    try:
        content = json.loads(data)
    except ValueError as error:
        raise CheckpointError(f"{folder / MODEL} is damaged or foreign: not JSON; {_REPAIR}") from error
    manifest.check_version(content, folder / MODEL)
    return content


def description(model: GenerativeModel, data: Mapping[str, object]) -> bytes:
    """``model.json`` for a model.

    Raises:
        UsageError: a hyperparameter is no plain value, or the manifold cannot be rebuilt from its ``spec``.
    """
    _check_rebuilt(model.manifold)
    content = {
        "format_version": manifest.FORMAT_VERSION,
        "class": models.name_of(model.kind),
        "manifold": model.manifold.spec,
        "hyperparameters": model.hyperparameters,
        "dtype": _dtype_name(model),
        "data": dict(data),
    }
    try:
        return (json.dumps(content, indent=1) + "\n").encode()
    except TypeError as error:
        raise UsageError(
            f"{type(model).__name__} cannot be saved: {error}; use plain numbers, strings, lists"
        ) from error


def _check_rebuilt(manifold: Manifold) -> None:
    kind = type(manifold)
    own = f"give it the spec '{kind.__module__}:{kind.__qualname__}' followed by ':' and its arguments, if it has any"
    try:
        again = manifolds.from_spec(manifold.spec)
    except UsageError as error:
        raise UsageError(f"{kind.__name__} cannot be saved: from_spec cannot read its spec ({error}); {own}") from error
    if type(again) is not kind:
        raise UsageError(f"{kind.__name__} cannot be saved: its spec {manifold.spec!r} is another manifold's; {own}")


def weights(state: Mapping[str, torch.Tensor], progress: float) -> bytes:
    """``model.safetensors`` for a model's ``state_dict``; the same weights give the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    # one entry alone: safetensors writes several in random order
    return safetensors.save(tensors, {"progress": repr(progress)})


def _folder(path: str | Path) -> Path:
    if "://" in str(path):
        raise CheckpointError(f"{path} is a URL; download the folder and give its path")
    folder = run_path(path)
    if not folder.exists():
        raise CheckpointError(
            f"{folder} does not exist; give the folder that fit wrote, or the name of a model that comes with the "
            f"package: {', '.join(SHIPPED)}"
        )
    if folder.name in (WEIGHTS, MODEL, manifest.NAME):
        return folder.parent
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file, not a run folder; give the folder that fit wrote")
    return folder


def _tensors(data: bytes, path: Path) -> tuple[dict[str, torch.Tensor], float]:
    try:
        tensors = safetensors.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        progress = float(header["__metadata__"]["progress"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged or not a file of this package ({error}); {_REPAIR}") from error
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: weights are not finite in {', '.join(broken)}; fit the model again")
    return tensors, progress


def _build(content: Mapping[str, object], path: Path) -> GenerativeModel:
    try:
        kind = models.resolve(str(content["class"]))
        manifold = manifolds.from_spec(str(content["manifold"]))
        model = models.build(kind, manifold, **content["hyperparameters"])
        return model.to(_DTYPES[content["dtype"]])
    except UsageError as error:  # says itself what to do
        raise CheckpointError(f"{path} describes a model that cannot be built: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} describes a model that cannot be built: {error}; use the version that wrote it "
            "(see environment.json)"
        ) from error


def _fill(model: GenerativeModel, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    for place, module in model.named_modules():
        if hasattr(module, "make_room"):  # its size was found in training
            module.make_room(tensors, f"{place}." if place else "")
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = [name for name in {**expected, **given} if expected.get(name) != given.get(name)]
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{path} does not fit {MODEL}: {len(wrong)} tensors differ, first {name}: the file has "
            f"{given.get(name, 'none')}, the model {expected.get(name, 'none')}; {_REPAIR}"
        )
    model.load_state_dict(dict(tensors), assign=True)  # in the dtype of the file


def _dtype_name(model: GenerativeModel) -> str:
    first = next((tensor for tensor in model.state_dict().values() if tensor.is_floating_point()), torch.empty(0))
    return str(first.dtype).removeprefix("torch.")
