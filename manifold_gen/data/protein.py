"""The Top500 backbone torsions of the published tables, from a file that the user brings.

The file is ``fff/data/raw_data/torus/protein.tsv`` of github vislearn/FFF: source, φ, ψ, class, tab-separated, degrees,
no header. It is not pinned, so it is not downloaded; put it at ``protein/protein.tsv`` of a data folder or name it by
``path``.
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import torch

from manifold_gen.data.base import Dataset
from manifold_gen.data.locations import data_folders, find, sha256
from manifold_gen.data.registry import Source
from manifold_gen.data.tables import read_table
from manifold_gen.data.torsions import torsion_dataset
from manifold_gen.errors import DataError

PLACE = "protein/protein.tsv"
_ORIGIN = "Top500 structures, Lovell et al. 2003, as published with vislearn/FFF (bring the file protein.tsv)"
_LICENCE = "PDB data CC0; the file is from a repository under MIT"
# data set: rows as published, how the class label begins (letters only, lower case)
_CLASSES = {
    "general": (138_208, "general"),
    "glycine": (13_283, "gly"),
    "proline": (7_634, "pro"),
    "prepro": (6_910, "prepro"),
}


def load_protein(
    kind: str,
    *,
    split_seed: int = 0,
    dtype: torch.dtype = torch.float32,
    path: str | Path | None = None,
) -> Dataset:
    """φ, ψ of one residue class of the published file.

    Args:
        path: the file; default ``protein/protein.tsv`` of ``MANIFOLD_GEN_DATA`` or of the cache.

    Raises:
        DataError: the file is not there or has no row of this class. A count that differs from the published one warns.
    """
    file = Path(path) if path is not None else find(PLACE)
    if file is None or not file.is_file():
        searched = str(path) if path is not None else ", ".join(str(folder / PLACE) for folder in data_folders())
        raise DataError(
            f"the protein torsions are not at {searched}; take fff/data/raw_data/torus/protein.tsv of github "
            f"vislearn/FFF and put it at {PLACE} of the folder that MANIFOLD_GEN_DATA names, or pass path="
        )
    table = read_table(file, columns=["source", "phi", "psi", "class"])
    rows, prefix = _CLASSES[kind]
    labels = ["".join(filter(str.isalpha, label)).lower() for label in table.cells["class"]]
    keep = [i for i, label in enumerate(labels) if label.startswith(prefix)]
    if not keep:
        raise DataError(f"{file} has no row of class {prefix!r}…; its classes are {sorted(set(table.cells['class']))}")
    if len(keep) != rows:
        warnings.warn(f"{file} has {len(keep)} rows of class {kind}; the published file has {rows}", stacklevel=2)
    info = {"origin": _ORIGIN, "licence": _LICENCE, "sha256": sha256(file)}
    return torsion_dataset(
        f"protein_{kind}", table.take(keep), ["phi", "psi"], info, split_seed=split_seed, dtype=dtype
    )


SOURCES = tuple(
    Source(f"protein_{kind}", "torus:2", rows, _ORIGIN, _LICENCE, partial(load_protein, kind), (PLACE,))
    for kind, (rows, _) in _CLASSES.items()
)
