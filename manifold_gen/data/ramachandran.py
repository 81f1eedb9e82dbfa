"""Backbone torsions (φ, ψ) of about 100,000 residues: the data set that needs no download."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from manifold_gen.data import draws
from manifold_gen.data.assemble import assemble
from manifold_gen.data.base import Dataset
from manifold_gen.data.formats import make_format
from manifold_gen.data.locations import bundled, verified
from manifold_gen.data.registry import Source
from manifold_gen.distributions import TorusHistogram
from manifold_gen.manifolds.torus import Torus

COUNTS_SHA256 = "5ef9d47e2d0b2b6f1e940aaafb295ab5123c3cffe1328e638cdc9ab577e819ea"
_DRAW_SEED = 2003
# Share of a bin's width kept free at its edges: a float32 rounding (2.4e-7 rad) must not move a point to the next bin.
_MARGIN = 2.0**-16
_ORIGIN = "residues of 500 high-resolution structures, Lovell et al. 2003; 4° counts as tabulated in MDAnalysis 2.11.0"
_LICENCE = "counts of measured angles; tabulated in MDAnalysis (LGPL-2.1-or-later)"


def ramachandran_counts() -> Tensor:
    """``(90, 90)`` int64 counts; axis 0 is φ, axis 1 is ψ, lower bin edges −180°, −176°, … 176°.

    >>> counts = ramachandran_counts()
    >>> divmod(int(counts.argmax()), 90)  # the α-helix: φ = −180 + 4·29 = −64°, ψ = −180 + 4·34 = −44°
    (29, 34)
    """
    path = verified(bundled("ramachandran/counts.npy"), COUNTS_SHA256)
    return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.int64))


def jittered_draw(counts: np.ndarray, seed: int) -> np.ndarray:
    """One point for every count, uniform in its bin, in shuffled order: ``(total, 2)`` float64 radians in [−π, π)."""
    flat = np.repeat(np.arange(counts.size), counts.reshape(-1))
    bins = np.stack(np.divmod(flat, counts.shape[1]), -1)
    u = np.stack([draws.uniforms(seed, axis, len(flat)) for axis in (1, 2)], -1)
    inside = _MARGIN + (1 - 2 * _MARGIN) * u
    degrees = -180.0 + (bins + inside) * (360.0 / np.array(counts.shape))
    return degrees[draws.permutation(seed, 3, len(flat))] * (math.pi / 180)


def load_ramachandran(*, split_seed: int = 0, dtype: torch.dtype = torch.float32) -> Dataset:
    """The bundled set on the torus: 100,816 points (φ, ψ) in radians, with their exact density."""
    counts = ramachandran_counts()
    fmt = make_format("torus:2", columns=["phi", "psi"], units="degrees")
    points = jittered_draw(counts.numpy(), _DRAW_SEED)
    return assemble(
        "ramachandran",
        Torus(2),
        points,
        draws.split_index(len(points), split_seed),
        dtype=dtype,
        density=TorusHistogram(counts),
        info={
            "origin": _ORIGIN,
            "licence": _LICENCE,
            "sha256": COUNTS_SHA256,
            "split_seed": split_seed,
            "format": fmt.to_dict(),
        },
    )


SOURCES = (Source("ramachandran", "torus:2", 100_816, _ORIGIN, _LICENCE, load_ramachandran),)
