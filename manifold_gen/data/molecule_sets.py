"""Data sets of molecules: QM9 by name, and the user's own files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from manifold_gen.chemistry.files import read_molecules
from manifold_gen.data import draws
from manifold_gen.data.base import Dataset
from manifold_gen.data.locations import sha256
from manifold_gen.data.molecules import DEFAULT_SCALE, MoleculeFormat, molecule_dataset
from manifold_gen.data.qm9 import qm9_molecules
from manifold_gen.data.registry import Source
from manifold_gen.data.validation import check_splittable

MOLECULE_FILES = (".sdf", ".mol", ".xyz", ".smi", ".smiles")
_ORIGIN = (
    "134,000 molecules of up to nine heavy atoms at B3LYP/6-31G(2df,p) (Ramakrishnan and others 2014), without the "
    "3,054 that did not stay themselves, from the PyPI package qm9pack"
)
_LICENCE = "CC0 (data), MIT (package)"


def load_qm9(
    *,
    split_seed: int = 0,
    dtype: torch.dtype = torch.float32,
    max_heavy: int = 0,
    scale: float = DEFAULT_SCALE,
    properties: Sequence[str] = (),
    half: str = "",
) -> Dataset:
    """QM9 in the split of Hoogeboom and others (2022): 100,000 for training, 17,748 and 13,083.

    Args:
        split_seed: without effect: the split is the published one, so that numbers can be compared.
        dtype: floating type of the clouds.
        max_heavy: molecules of at most so many atoms that are not hydrogen; 0 for all.
        scale: of the one-hot elements, see ``MoleculeFormat``.
        properties: what models are conditioned on: alpha, gap, mu, cv, or symbols of elements for numbers of atoms.
        half: "second" half of the training part alone, as published conditional models were trained on, or the
            "first", which is kept for the network that judges them; "" for both.

    Raises:
        MissingExtraError: qm9pack is not installed.
        DataError: an unknown property, or no molecule is left.
        UsageError: an unknown half.
    """
    parts = qm9_molecules(half=half, max_heavy=max_heavy or None)
    info = {"origin": _ORIGIN, "licence": _LICENCE}
    return molecule_dataset("qm9", parts, dtype=dtype, scale=scale, properties=properties, info=info)


def load_molecule_file(
    path: str | Path,
    *,
    split_seed: int = 0,
    dtype: torch.dtype = torch.float32,
    scale: float = DEFAULT_SCALE,
) -> Dataset:
    """Molecules of an ``.sdf``, ``.xyz`` or ``.smi`` file, split 80/10/10 at random.

    Args:
        path: the file.
        split_seed: of the split.
        dtype: floating type of the clouds.
        scale: of the one-hot elements, see ``MoleculeFormat``.

    Raises:
        DataError: the file or all of its records cannot be used, or too few are left to split.
    """
    molecules = read_molecules(path)
    check_splittable(len(molecules))
    index = draws.split_index(len(molecules), split_seed)
    parts = {key: molecules[torch.from_numpy(np.asarray(getattr(index, key)))] for key in ("train", "val", "test")}
    info = {"origin": str(path), "sha256": sha256(Path(path)), "split_seed": split_seed}
    return molecule_dataset(Path(path).stem, parts, dtype=dtype, scale=scale, info=info)


SOURCES = (
    Source(
        "qm9", "clouds:3,5", 130_831, _ORIGIN, _LICENCE, load_qm9, package="qm9pack", model=MoleculeFormat.default_model
    ),
)
