"""Checks before the first step, so that nothing is written for a run that cannot work."""

from __future__ import annotations

import math

import torch

from manifold_gen.data.base import Dataset, Split
from manifold_gen.data.validation import check_points
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training.config import TrainingConfig


def check_inputs(model: GenerativeModel, dataset: Dataset, config: TrainingConfig) -> None:
    """Refuse a model and data that do not go together, and data that are missing or not finite.

    Raises:
        UsageError: another manifold, or bf16 without CUDA.
        DataError: no training rows, another point shape or type, rows with NaN or infinity, or points off the manifold.
    """
    if model.manifold.spec != dataset.manifold.spec:
        raise UsageError(
            f"the model lives on {model.manifold.spec}, the data set {dataset.name!r} on {dataset.manifold.spec}; "
            "make the model with the data set's manifold"
        )
    if not len(dataset.train):
        raise DataError(f"data set {dataset.name!r} has 0 training rows, expected at least 1; check its split")
    if config.precision == "bf16" and not torch.cuda.is_available():
        raise UsageError("training.precision is 'bf16', which needs a CUDA device; use 'float32'")
    for name, split in (("train", dataset.train), ("val", dataset.val)):
        _check_split(dataset, name, split)


def precision_dtype(precision: str, manifold: Manifold) -> torch.dtype:
    """Type of weights and data; ``"auto"`` is float64 where float32 is safe only near the origin."""
    if precision == "auto":
        return torch.float64 if math.isfinite(manifold.safe_radius(torch.float32)) else torch.float32
    return torch.float64 if precision == "float64" else torch.float32


def _check_split(dataset: Dataset, name: str, split: Split) -> None:
    split.check_shape(dataset.manifold, f"{dataset.name} {name}")
    for what, values in (("points", split.row_values()), ("context", split.context)):
        if values is None or not len(split):
            continue
        if len(values) != len(split):
            raise DataError(f"{dataset.name} {name}: {len(split)} points but {len(values)} rows of {what}")
        bad = (~values.isfinite()).reshape(len(values), -1).any(1).nonzero().flatten().tolist()
        if bad:
            raise DataError(
                f"{dataset.name} {name}: {len(bad)} rows of {what} are not finite, the first at {bad[:10]}; drop them"
            )
    for part in split.parts(max(len(split), 1)):
        x = split.batch(part).x
        check_points(x, dataset.manifold.of(x), name=lambda row, part=part: f"{dataset.name} {name} row {part[row]}")
