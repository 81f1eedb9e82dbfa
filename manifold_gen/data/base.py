"""Data sets: points on a manifold in three splits, with what is known about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.distributions.base import Distribution
from manifold_gen.errors import DataError
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

    def batch(self, index: Tensor) -> Split:
        """The rows at ``index``, of one point shape, as a model's loss takes them."""
        return self.take(index)

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
        count = self.batch_count(size)
        return [order[i * size : (i + 1) * size] for i in range(count)]

    def shared(self, index: Tensor, processes: int) -> Tensor:
        """Row numbers of a batch for ``processes`` to share; an uneven one is left to be refused."""
        return index

    def batch_count(self, size: int) -> int:
        """How many batches ``batch_index`` gives."""
        return max(1, len(self) // size)

    def parts(self, size: int) -> list[Tensor]:
        """All row numbers in groups of at most ``size``, each of one point shape, in order."""
        return [torch.arange(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def check_shape(self, manifold: Manifold, name: str) -> None:
        """Refuse points of another shape than the manifold's.

        Raises:
            DataError: says which.
        """
        if self.x.shape[1:] != torch.Size(manifold.shape):
            raise DataError(
                f"{name}: points have shape {tuple(self.x.shape[1:])}, {manifold.spec} expects {manifold.shape}"
            )

    def row_values(self) -> Tensor:
        """``(N, m)`` numbers that are finite where the row is."""
        return self.x.flatten(1)

    def batches(self, seed: int, epoch: int, size: int) -> Iterator[Split]:
        """The batches of one epoch; every batch has one point shape."""
        for index in self.batch_index(seed, epoch, size):
            yield self.batch(index)


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
