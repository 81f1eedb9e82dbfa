"""Splits whose points are clouds of different sizes; every batch has one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data.base import Split
from manifold_gen.errors import DataError
from manifold_gen.manifolds.point_clouds import PointClouds


@dataclass(frozen=True)
class RaggedSplit(Split):
    """M clouds, their points one after another: ``x`` is ``(A, d)``, ``sizes`` ``(M,)``, ``context`` ``(M, c)``.

    Raises:
        DataError: the sizes do not add up to the rows of ``x``.

    Example:
        >>> split = RaggedSplit(torch.zeros(7, 3), sizes=torch.tensor([2, 3, 2]))
        >>> len(split), split.batch(torch.tensor([0, 2])).x.shape
        (3, torch.Size([2, 2, 3]))
    """

    sizes: Tensor = None  # type: ignore[assignment]  # a base class with defaults asks for one; there is no default

    def __post_init__(self) -> None:
        if self.sizes is None or int(self.sizes.sum()) != len(self.x):
            total = None if self.sizes is None else int(self.sizes.sum())
            raise DataError(
                f"the sizes add up to {total} points, x has {len(self.x)} rows; give the size of each cloud"
            )

    @classmethod
    def join(cls, clouds: Sequence[Tensor], context: Tensor | None = None) -> RaggedSplit:
        """From clouds ``(n, d)`` of one width."""
        return cls(torch.cat(list(clouds)), context, torch.tensor([len(cloud) for cloud in clouds]))

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def clouds(self) -> list[Tensor]:
        """Each cloud, ``(n, d)``."""
        return list(self.x.split(self.sizes.tolist()))

    def batch(self, index: Tensor) -> Split:
        """The clouds at ``index``, all of one size n, as points ``(b, n, d)``.

        Raises:
            DataError: their sizes differ.
        """
        sizes = self.sizes[index]
        if len(sizes) and bool((sizes != sizes[0]).any()):
            raise DataError(f"a batch has clouds of one size, these have {sorted(set(sizes.tolist()))} points")
        n = int(sizes[0]) if len(sizes) else 0
        atoms = self._starts[index].unsqueeze(-1) + torch.arange(n, device=self.x.device)
        return Split(self.x[atoms], None if self.context is None else self.context[index])

    def take(self, index: Tensor) -> RaggedSplit:
        """The clouds at ``index``, of any sizes."""
        index = index.to(self.sizes.device)
        sizes = self.sizes[index]
        within = torch.arange(int(sizes.sum()), device=sizes.device)
        within = within - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        atoms = self._starts[index].repeat_interleave(sizes) + within
        return RaggedSplit(self.x[atoms], None if self.context is None else self.context[index], sizes)

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> RaggedSplit:
        """The same clouds with another floating type or on another device."""
        rows = super().to(dtype=dtype, device=device)
        return RaggedSplit(rows.x, rows.context, self.sizes.to(device=device))

    def shared(self, index: Tensor, processes: int) -> Tensor:
        """``index`` without the rows left over, for batches of one cloud size are as long as the data decide.

        Fewer rows than processes are repeated.

        >>> split = RaggedSplit(torch.zeros(9, 2), sizes=torch.tensor([3, 3, 3]))
        >>> split.shared(torch.arange(3), 2), split.shared(torch.arange(1), 2)
        (tensor([0, 1]), tensor([0, 0]))
        """
        if len(index) < processes:
            return index[torch.arange(processes) % len(index)]
        return index[: len(index) - len(index) % processes]

    def batch_count(self, size: int) -> int:
        """How many batches ``batch_index`` gives."""
        return max(1, round(len(self) / size))

    def batch_index(self, seed: int, epoch: int, size: int) -> list[Tensor]:
        """Row numbers of each batch of one epoch, each of one cloud size, in random order.

        A size gets as many batches as its share of the clouds asks for, a part of one by chance, so that the mean over
        batches is that over clouds: were the clouds left over batches of their own, rare sizes would make as many
        steps as they have names. Batches have ``size`` clouds, or all there are of that size where they are fewer.
        """
        generator = seeds.generator(seed, epoch)
        groups, count = self._rows_by_size(), self.batch_count(size)
        ends = torch.tensor([float(len(rows)) for rows in groups], dtype=torch.float64).cumsum(0) / len(self) * count
        ends[-1] = count
        # systematic sampling: the marks 0, 1, 2, … moved by one uniform number, counted between two ends
        marks = torch.ceil(ends - torch.rand((), generator=generator, dtype=torch.float64)).long()
        batches: list[Tensor] = []
        for rows, shares in zip(groups, marks.diff(prepend=marks.new_zeros(1)).tolist(), strict=True):
            order = rows[torch.randperm(len(rows), generator=generator)]
            length = min(size, len(rows))
            batches += order[torch.arange(shares * length) % len(rows)].reshape(shares, length)
        return [batches[i] for i in torch.randperm(count, generator=generator).tolist()]

    def parts(self, size: int) -> list[Tensor]:
        """All row numbers in groups of at most ``size``, each of one cloud size."""
        return [part for rows in self._rows_by_size() for part in rows.split(size)]

    def check_shape(self, manifold: PointClouds, name: str) -> None:
        """Refuse clouds of another width, of fewer than two points, or off centre.

        Raises:
            DataError: says which.
        """
        width = manifold.position_dim + manifold.feature_dim
        if self.x.dim() != 2 or self.x.shape[-1] != width:
            raise DataError(
                f"{name}: clouds have rows of shape {tuple(self.x.shape[1:])}, {manifold} expects ({width},)"
            )
        small = (self.sizes < 2).nonzero().flatten().tolist()
        if small:
            raise DataError(
                f"{name}: {len(small)} clouds have fewer than two points, the first is number {small[0]}; leave them "
                "out, for a single point has no shape"
            )

    def row_values(self) -> Tensor:
        """``x`` as one row a cloud would be judged: the largest absolute coordinate of each, ``(M, 1)``."""
        owner = torch.arange(len(self), device=self.x.device).repeat_interleave(self.sizes)
        largest = self.x.new_zeros(len(self)).scatter_reduce(0, owner, self.x.abs().amax(-1), "amax")
        return largest.unsqueeze(-1)

    @property
    def _starts(self) -> Tensor:
        return self.sizes.cumsum(0) - self.sizes

    def _rows_by_size(self) -> list[Tensor]:
        sizes = self.sizes.cpu()
        return [(sizes == n).nonzero().squeeze(-1) for n in sizes.unique().tolist()]
