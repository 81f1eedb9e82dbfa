"""Seeds that are functions of what they are for."""

from __future__ import annotations

import torch

_MASK = 0xFFFFFFFFFFFFFFFF
_NO_COUNTER = -1


def mix(seed: int, *counters: int) -> int:
    """One 63-bit seed from a seed and counters, well separated for neighbouring inputs (splitmix64's finaliser).

    Example:
        >>> len({mix(0), mix(1), mix(0, 0), mix(0, 1), mix(1, 0), mix(0, 0, 0)})
        6
    """
    z = seed & _MASK
    for counter in counters or (_NO_COUNTER,):  # at least one round, or seeds 0 and 1 would meet in the final shift
        z = (z * 0x9E3779B97F4A7C15 + counter * 0xD1B54A32D192ED03 + 0x8CB92BA72F3D8DD7) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        z ^= z >> 31
    return z >> 1


def generator(seed: int, *counters: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh ``torch.Generator`` seeded by ``mix``."""
    return torch.Generator(device=device).manual_seed(mix(seed, *counters))
