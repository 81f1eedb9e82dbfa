"""Functions of many points, so many at a time that memory is bounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CHUNK = 16_384
PAIRS = 2**21  # of the points of clouds, for each of which a network keeps some tens of numbers


def at_once(shape: tuple[int, ...], chunk: int = CHUNK) -> int:
    """How many points of ``shape`` are taken at a time: ``chunk``, or fewer clouds where they have many pairs.

    Example:
        >>> at_once((3,)), at_once((13, 3)), at_once((55, 3))
        (16384, 12409, 693)
    """
    return max(1, min(chunk, PAIRS // max(1, torch.Size(shape[:-1]).numel()) ** 2))


def in_chunks(
    function: Callable[[Tensor, Tensor | None], Tensor], rows: Tensor, context: Tensor | None, chunk: int = CHUNK
) -> Tensor:
    """``function(rows, context)`` of at most ``chunk`` rows at a time, with the rows of the context that go with them.

    Example:
        >>> in_chunks(lambda x, context: 2 * x, torch.arange(3), None, chunk=2)
        tensor([0, 2, 4])
    """
    chunk = at_once(rows.shape[1:], chunk)
    parts = [
        function(rows[i : i + chunk], None if context is None else context[i : i + chunk])
        for i in range(0, len(rows), chunk)
    ]
    return torch.cat(parts) if parts else rows
