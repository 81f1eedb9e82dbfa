"""Molecules of different sizes in one set of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from manifold_gen.errors import DataError


@dataclass(frozen=True)
class Molecules:
    """M molecules, their A atoms one after another.

    Attributes:
        positions: ``(A, 3)``, ångström.
        numbers: ``(A,)`` atomic numbers, integers.
        sizes: ``(M,)`` atoms of each molecule, integers.
        properties: named values, each ``(M,)``.

    Raises:
        DataError: the arrays do not fit together.

    Example:
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> both = Molecules.join([(water, torch.tensor([8, 1, 1])), (water[:2], torch.tensor([8, 1]))])
        >>> len(both), both.sizes.tolist(), both[[1]].numbers.tolist()
        (2, [3, 2], [8, 1])
    """

    positions: Tensor
    numbers: Tensor
    sizes: Tensor
    properties: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        atoms = int(self.sizes.sum())
        if tuple(self.positions.shape) != (atoms, 3) or tuple(self.numbers.shape) != (atoms,):
            raise DataError(
                f"sizes add up to {atoms} atoms; expected positions ({atoms}, 3) and numbers ({atoms},), "
                f"got {tuple(self.positions.shape)} and {tuple(self.numbers.shape)}"
            )
        for name, values in self.properties.items():
            if len(values) != len(self):
                raise DataError(f"property {name!r} has {len(values)} values for {len(self)} molecules")

    @classmethod
    def join(cls, parts: Sequence[tuple[Tensor, Tensor]]) -> Molecules:
        """From ``(positions (n, 3), numbers (n,))`` of each molecule."""
        sizes = torch.tensor([len(numbers) for _, numbers in parts], dtype=torch.int64)
        if not parts:
            return cls(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), sizes)
        return cls(torch.cat([x for x, _ in parts]), torch.cat([z for _, z in parts]), sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def starts(self) -> Tensor:
        """``(M,)``: the row of each molecule's first atom."""
        return self.sizes.cumsum(0) - self.sizes

    def __getitem__(self, rows: Tensor | Sequence[int] | slice) -> Molecules:
        """The molecules at ``rows``, in that order."""
        chosen = torch.arange(len(self))[rows if isinstance(rows, slice) else torch.as_tensor(rows)]
        sizes = self.sizes[chosen]
        offset = torch.arange(int(sizes.sum())) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        atoms = self.starts[chosen].repeat_interleave(sizes) + offset
        kept = {name: values[chosen] for name, values in self.properties.items()}
        return Molecules(self.positions[atoms], self.numbers[atoms], sizes, kept)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """``(positions (n, 3), numbers (n,))`` of each molecule."""
        sizes = self.sizes.tolist()
        yield from zip(self.positions.split(sizes), self.numbers.split(sizes), strict=True)

    def of_size(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """The molecules of ``n`` atoms: rows ``(m,)``, positions ``(m, n, 3)`` and numbers ``(m, n)``."""
        rows = (self.sizes == n).nonzero().squeeze(-1)
        atoms = self.starts[rows].unsqueeze(-1) + torch.arange(n)
        return rows, self.positions[atoms], self.numbers[atoms]

    def centred(self) -> Molecules:
        """The same with the mean position of every molecule at the origin."""
        owner = torch.arange(len(self)).repeat_interleave(self.sizes)
        mean = torch.zeros(len(self), 3, dtype=self.positions.dtype).index_add_(0, owner, self.positions)
        mean = mean / self.sizes.unsqueeze(-1)
        return Molecules(self.positions - mean[owner], self.numbers, self.sizes, self.properties)
