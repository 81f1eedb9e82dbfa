"""Random numbers and splits that are the same on every machine and with every version of every library.

They are made of integer operations only: element i of stream s is splitmix64's finaliser of a counter. No library's
generator, whose stream may change with its version, takes part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manifold_gen import seeds

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def words(seed: int, stream: int, count: int) -> np.ndarray:
    """``count`` 64-bit words, a pure function of ``(seed, stream)``.

    >>> words(0, 0, 2).tolist()
    [4838952121951983228, 17207844180174495321]
    """
    z = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN + np.uint64(seeds.mix(seed, stream))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniforms(seed: int, stream: int, count: int) -> np.ndarray:
    """``count`` float64 numbers, uniform on [0, 1) in steps of 2⁻⁵³."""
    return (words(seed, stream, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, stream: int, count: int) -> np.ndarray:
    """A permutation of ``range(count)``: the order of its words (ties, of probability 2⁻⁶⁴ a pair, by index)."""
    return np.argsort(words(seed, stream, count), kind="stable")


@dataclass(frozen=True)
class SplitIndex:
    """Row numbers of the three parts, each ascending."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_index(count: int, seed: int, groups: np.ndarray | None = None) -> SplitIndex:
    """Split ``range(count)`` 80/10/10 at random.

    Args:
        count: number of rows.
        seed: the split seed, separate from any model's.
        groups: ``(count,)`` integers; rows of one group go to the same part. Groups in random order fill the
            validation part, then the test part, each until it has its share of the rows.

    >>> parts = split_index(10, seed=0)
    >>> len(parts.train), len(parts.val), len(parts.test)
    (8, 1, 1)
    """
    if groups is None:
        groups = np.arange(count)
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = permutation(seed, 0, len(sizes))
    before = np.empty(len(sizes), dtype=np.int64)
    before[order] = np.cumsum(sizes[order]) - sizes[order]
    held = max(1, count // 10)
    place = before[member.reshape(-1)]
    val, test = place < held, (place >= held) & (place < 2 * held)
    return SplitIndex(np.flatnonzero(~(val | test)), np.flatnonzero(val), np.flatnonzero(test))
