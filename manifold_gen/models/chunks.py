"""Functions of many points, so many at a time that memory is bounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CHUNK = 16_384


def in_chunks(
    function: Callable[[Tensor, Tensor | None], Tensor], rows: Tensor, context: Tensor | None, chunk: int = CHUNK
) -> Tensor:
    """``function(rows, context)`` of ``chunk`` rows at a time, with the rows of the context that go with them.

    Example:
        >>> in_chunks(lambda x, context: 2 * x, torch.arange(3), None, chunk=2)
        tensor([0, 2, 4])
    """
    parts = [
        function(rows[i : i + chunk], None if context is None else context[i : i + chunk])
        for i in range(0, len(rows), chunk)
    ]
    return torch.cat(parts) if parts else rows
