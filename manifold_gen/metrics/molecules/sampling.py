"""Some of many molecules."""

from __future__ import annotations

import torch

from manifold_gen import seeds
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import UsageError


def some(molecules: Molecules, limit: int | None, seed: int) -> Molecules:
    """``limit`` molecules drawn without replacement; all of them where there are no more, or no limit.

    Raises:
        UsageError: a negative limit.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"cannot draw {limit} molecules; expected 0 or more")
    if limit is None or len(molecules) <= limit:
        return molecules
    return molecules[torch.randperm(len(molecules), generator=seeds.generator(seed))[:limit]]
