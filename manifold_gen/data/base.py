"""Data sets: points on a manifold in three splits, with what is known about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.distributions.base import Distribution
from manifold_gen.manifolds.base import Manifold


@dataclass(frozen=True)
class Split:
    """Points ``x`` of shape ``(N, *manifold.shape)`` and, where there is one, their ``context`` ``(N, c)``."""

    x: Tensor
    context: Tensor | None = None

    def __len__(self) -> int:
        return self.x.shape[0]

    def take(self, index: Tensor) -> Split:
        """The rows at ``index``."""
        return Split(self.x[index], None if self.context is None else self.context[index])

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Split:
        """The same rows with another floating type or on another device."""
        context = None if self.context is None else self.context.to(device=device)
        if context is not None and context.is_floating_point():
            context = context.to(dtype=dtype)
        return Split(self.x.to(dtype=dtype, device=device), context)

    def batch_index(self, seed: int, epoch: int, size: int) -> list[Tensor]:
        """Row numbers of each batch of one epoch, a pure function of ``(seed, epoch, size)``.

        The last, incomplete batch is left out unless it is the only one, so that every batch has one size.
        """
        order = torch.randperm(len(self), generator=seeds.generator(seed, epoch))
        count = max(1, len(self) // size)
        return [order[i * size : (i + 1) * size] for i in range(count)]

    def batches(self, seed: int, epoch: int, size: int) -> Iterator[Split]:
        """The batches of one epoch; every batch has one point shape."""
        for index in self.batch_index(seed, epoch, size):
            yield self.take(index)


@dataclass(frozen=True)
class Dataset:
    """Three splits on one manifold.

    Attributes:
        density: the distribution the data were drawn from, where it is known.
        info: origin, licence, sha256 and anything a report should show; ``info["format"]`` is the ``PointFormat`` in
            which points are written to files, as a dictionary.
    """

    name: str
    manifold: Manifold
    train: Split
    val: Split
    test: Split
    density: Distribution | None = None
    info: dict[str, object] = field(default_factory=dict)
