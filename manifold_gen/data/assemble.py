"""From an array of points and a split to a ``Dataset``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from manifold_gen.data.base import Dataset, Split
from manifold_gen.data.draws import SplitIndex
from manifold_gen.distributions.base import Distribution
from manifold_gen.manifolds.base import Manifold


def assemble(
    name: str,
    manifold: Manifold,
    points: np.ndarray | Tensor,
    index: SplitIndex,
    *,
    dtype: torch.dtype,
    context: Tensor | None = None,
    density: Distribution | None = None,
    info: dict[str, object] | None = None,
) -> Dataset:
    """The rows of ``points`` (and of ``context``) in the three parts of ``index``, as tensors of type ``dtype``."""
    whole = Split(torch.as_tensor(points), context).to(dtype=dtype)
    train, val, test = (whole.take(torch.from_numpy(part)) for part in (index.train, index.val, index.test))
    return Dataset(name, manifold, train, val, test, density, dict(info or {}))
