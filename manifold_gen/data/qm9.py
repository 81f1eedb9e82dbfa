"""QM9: 130,831 molecules of up to nine heavy atoms (C, N, O, F), their conformations and properties by B3LYP.

The package ``qm9pack`` carries the data: GDB-9 without the 3,054 molecules whose conformation failed the consistency
check. Its tables are read by path, once, and kept as a compact archive in the cache.

The split is the one of Hoogeboom et al. 2022 and of Anderson et al. 2019 before: a permutation of the molecules in GDB
order by ``numpy.random.RandomState(0)``, the first 100,000 to train, the next 17,748 to validate, 13,083 to test.
Papers on conditional generation train the network that judges on one half and the generator on the other: a permutation
of the training molecules in GDB order by ``RandomState(42)``, its first and its second 50,000.

Sources: Ramakrishnan, Dral, Rupp and von Lilienfeld, *Quantum chemistry structures and properties of 134 kilo
molecules* (2014); for the splits the code published with Hoogeboom, Satorras, Vignac and Welling, *Equivariant
diffusion for molecule generation in 3D* (2022).
"""

from __future__ import annotations

import importlib.util
import io
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from manifold_gen.chemistry.files import replacing
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.locations import cache_folder, data_folders
from manifold_gen.errors import DataError, MissingExtraError, RunFolderError, UsageError

if TYPE_CHECKING:
    import pandas

#: Molecules and atoms of the whole set.
MOLECULES, ATOMS = 130_831, 2_359_210
#: Molecules to train, validate and test on.
SPLIT = {"train": 100_000, "val": 17_748, "test": 13_083}
#: What may be trained on: everything, or one half of it.
HALVES = ("", "first", "second")
PLACE = "qm9/molecules.npz"

# Positions are kept in single precision: rounded to 0.5 mÅ, which would take half the space, they move the share of
# stable molecules in its fourth digit.
_FORMAT = 2
_HARTREE = 27.211386245988  # eV, CODATA 2018
_ELEMENTS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}
# Property: column and the factor to our unit.
_PROPERTIES = {
    "alpha": ("Polarizability_bohr3", 1.0),
    "gap": ("HOMO_LUMO_gap_au", _HARTREE),
    "mu": ("Dipole_debye", 1.0),
    "cv": ("Heatcapacity_Cv_cal_mol_K", 1.0),
}
_SHAPES = {
    **{"x": (ATOMS, 3), "z": (ATOMS,), "n": (MOLECULES,), "idx": (MOLECULES,)},
    **{name: (MOLECULES,) for name in _PROPERTIES},
}
_TYPES = {"x": np.float32, "z": np.uint8, "n": np.uint8, "idx": np.int32, **dict.fromkeys(_PROPERTIES, np.float32)}


def qm9_molecules(half: str = "", max_heavy: int | None = None) -> dict[str, Molecules]:
    """The molecules of QM9 to train, validate and test on.

    Positions are float32, in ångström, with mean zero, rounded to 0.5 mÅ. The molecules of each part are in the random
    order of the split, so that the first few are a fair sample. ``properties``, float32: ``alpha``, isotropic
    polarizability in bohr³; ``gap`` between the highest occupied and the lowest unoccupied orbital in eV; ``mu``,
    dipole moment in debye; ``cv``, heat capacity at 298.15 K in cal/(mol K); and, as int64, ``gdb``: the number of the
    molecule in GDB-9, from 1.

    Args:
        half: ``"first"`` or ``"second"`` half of the training molecules only, for the network that judges conditional
            generators and for these; ``""`` for all.
        max_heavy: keep the molecules with at most this many atoms that are not hydrogen (1 to 9).

    Returns:
        ``{"train": …, "val": …, "test": …}`` of 100,000 (``half``: 50,000), 17,748 and 13,083 molecules, or what
        ``max_heavy`` leaves of them.

    Raises:
        MissingExtraError: the data are not in the cache and ``qm9pack`` is not installed.
        DataError: the tables of ``qm9pack`` are not the known ones; no molecule is that small.
        UsageError: an unknown half.
    """
    everything = load_qm9()
    rows = split_rows(half)
    if max_heavy is not None:
        small = heavy_atoms(everything) <= max_heavy
        rows = {name: own[small[own]] for name, own in rows.items()}
    parts = {name: everything[own] for name, own in rows.items()}
    empty = [name for name, part in parts.items() if len(part) == 0]
    if empty:
        raise DataError(f"QM9 has no {'/'.join(empty)} molecules of at most {max_heavy} heavy atoms; 9 keeps all")
    return parts


def split_rows(half: str = "") -> dict[str, torch.Tensor]:
    """Rows of each part among the molecules in GDB order; see the head of this file.

    Raises:
        UsageError: an unknown half.
    """
    if half not in HALVES:
        raise UsageError(f"half is {half!r}; expected 'first' or 'second', or leave it out for all of QM9")
    order = np.random.RandomState(0).permutation(MOLECULES)
    ends = np.cumsum(list(SPLIT.values()))
    rows = dict(zip(SPLIT, np.split(order, ends[:-1]), strict=True))
    if half:
        train = np.sort(rows["train"])
        chosen = np.split(np.random.RandomState(42).permutation(len(train)), 2)[HALVES.index(half) - 1]
        rows["train"] = train[chosen]
    return {name: torch.from_numpy(own) for name, own in rows.items()}


def heavy_atoms(molecules: Molecules) -> torch.Tensor:
    """``(M,)``: how many atoms of each molecule are not hydrogen.

    >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    >>> heavy_atoms(Molecules.join([(water, torch.tensor([8, 1, 1]))])).tolist()
    [1]
    """
    owner = torch.arange(len(molecules)).repeat_interleave(molecules.sizes)
    return torch.zeros(len(molecules), dtype=torch.int64).index_add_(0, owner, (molecules.numbers > 1).long())


def load_qm9() -> Molecules:
    """All molecules in GDB order, from the cache or, the first time, from ``qm9pack``.

    Raises:
        MissingExtraError: the data are not in the cache and ``qm9pack`` is not installed.
        DataError: the tables of ``qm9pack`` are not the known ones.
    """
    for path in (folder / PLACE for folder in data_folders()):
        arrays = _cached(path) if path.is_file() else None
        if arrays is not None:
            return _molecules(arrays)
    arrays = _parsed(_tables())
    target = cache_folder() / PLACE
    try:
        _keep(target, arrays)
    except RunFolderError as error:
        warnings.warn(f"QM9 is read anew every time, because {error}; set MANIFOLD_GEN_CACHE", stacklevel=3)
    return _molecules(arrays)


def _molecules(arrays: dict[str, np.ndarray]) -> Molecules:
    positions = torch.from_numpy(arrays["x"])
    properties = {name: torch.from_numpy(arrays[name]) for name in _PROPERTIES}
    properties["gdb"] = torch.from_numpy(arrays["idx"]).long()
    numbers, sizes = (torch.from_numpy(arrays[name]).long() for name in ("z", "n"))
    return Molecules(positions, numbers, sizes, properties).centred()


def _cached(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a cached file; ``None``, after a warning, where they cannot be used."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        fault = f"it is damaged ({error})"
    else:
        fault = _fault(arrays)
    if fault is None:
        return arrays
    warnings.warn(f"{path} is not used and QM9 is read anew from qm9pack: {fault}", stacklevel=4)
    return None


def _fault(arrays: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the arrays, or ``None``."""
    version = arrays.get("format")
    if version is None or version.shape != () or int(version) != _FORMAT:
        return f"it has another format than version {_FORMAT}"
    for name, shape in _SHAPES.items():
        own = arrays.get(name)
        if own is None or own.shape != shape or own.dtype != _TYPES[name]:
            return f"its array {name!r} is not the expected one"
    if int(arrays["n"].sum(dtype=np.int64)) != ATOMS:
        return "its molecules and atoms do not add up"
    return None


def _keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the archive, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path.parent} could not be made ({error.strerror or error})") from error
    with replacing(path) as temporary:
        np.savez(temporary, format=np.int64(_FORMAT), **arrays)


def _tables() -> list[Path]:
    """The tables of the installed package, which is not imported: it would parse much more than is needed."""
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "QM9 comes with the package qm9pack, which is not installed; install it with: "
            "pip install 'manifold-gen[molecules]'"
        )
    folder = Path(spec.submodule_search_locations[0], "data")
    paths = [folder / f"qm9_part{part}.csv" for part in (1, 2, 3)]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"qm9pack lacks {', '.join(missing)}; reinstall it: pip install --force-reinstall qm9pack")
    return paths


def _parsed(paths: list[Path]) -> dict[str, np.ndarray]:
    """The arrays of the cache from the tables."""
    import pandas as pd

    columns = ["Index", "N_atoms", "Elements", "XYZ_Ang", *(column for column, _ in _PROPERTIES.values())]
    try:
        table = pd.concat([pd.read_csv(path, usecols=columns) for path in paths], ignore_index=True)
    except (OSError, ValueError) as error:
        raise DataError(f"the tables {paths[0]} … cannot be read: {error}; reinstall qm9pack") from error
    table = table.sort_values("Index", ignore_index=True)
    sizes, positions, numbers = table["N_atoms"].to_numpy(), _positions(table), _numbers(table)
    if not len(sizes) == table["Index"].nunique() == MOLECULES or not sizes.sum() == len(positions) == len(numbers):
        raise DataError(
            f"qm9pack holds {len(sizes)} molecules of {sizes.sum()} atoms, {len(positions)} positions and "
            f"{len(numbers)} elements; expected {MOLECULES} molecules of {ATOMS} atoms as in version 1.0.3; install it"
        )
    starts = np.cumsum(sizes) - sizes
    centred = positions - np.repeat(np.add.reduceat(positions, starts) / sizes[:, None], sizes, axis=0)
    arrays = {"x": centred, "z": numbers, "n": sizes, "idx": table["Index"].to_numpy()}
    for name, (column, factor) in _PROPERTIES.items():
        arrays[name] = table[column].to_numpy() * factor
    return {name: values.astype(_TYPES[name]) for name, values in arrays.items()}


def _positions(table: pandas.DataFrame) -> np.ndarray:
    """``(A, 3)`` float64 of texts ``[[x,y,z],[x,y,z],…]``; the reader of tables is the fastest reader of numbers."""
    import pandas as pd

    text = "\n".join(table["XYZ_Ang"]).replace("],[", "\n").replace("[[", "").replace("]]", "")
    return pd.read_csv(io.BytesIO(text.encode()), header=None, dtype=np.float64).to_numpy()


def _numbers(table: pandas.DataFrame) -> np.ndarray:
    """``(A,)`` atomic numbers of texts ``['C','H',…]``, whose symbols all have one letter."""
    known = np.zeros(256, dtype=np.uint8)
    known[[ord(symbol) for symbol in _ELEMENTS]] = list(_ELEMENTS.values())
    found = known[np.frombuffer("".join(table["Elements"]).encode(), dtype=np.uint8)]
    return found[found > 0]
