"""Derive ``ramachandran/counts.npy`` from the reference array that ships with MDAnalysis.

    pip download --no-deps MDAnalysis==2.11.0    # or any way to have the file
    python datasets/derive_ramachandran.py path/to/MDAnalysis/analysis/data/rama_ref_data.npy

The array has one row a ψ value and one column a φ value, 90 of each, from −180° in steps of 4°. It is transposed, so
that axis 0 is φ and axis 1 is ψ, checked, and written as unsigned 16-bit integers.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

SOURCE_SHA256 = "cf022bf8c809aec2258d8205b0f7fafcc51239ea97dc7f68f1b83a0fa198513a"
TOTAL = 100_816


def derive(source: Path, target: Path) -> str:
    """Write the bundled file and return its sha256; ``ValueError`` where the source is another array."""
    given = hashlib.sha256(source.read_bytes()).hexdigest()
    if given != SOURCE_SHA256:
        raise ValueError(f"{source} has sha256 {given}, expected {SOURCE_SHA256} (MDAnalysis 2.11.0)")
    psi_by_phi = np.load(source)
    counts = np.ascontiguousarray(psi_by_phi.T).astype(np.uint16)
    if counts.shape != (90, 90) or int(counts.sum(dtype=np.int64)) != TOTAL or not np.array_equal(counts.T, psi_by_phi):
        raise ValueError(
            f"{source} holds {counts.shape} values that add up to {counts.sum()}, expected 90×90 and {TOTAL}"
        )
    np.save(target, counts, allow_pickle=False)
    return hashlib.sha256(target.read_bytes()).hexdigest()


if __name__ == "__main__":
    print(derive(Path(sys.argv[1]), Path(__file__).parent / "ramachandran" / "counts.npy"))
