"""Places of volcanic eruptions, earthquakes, floods and wildfires: points of S² from latitude and longitude.

Many rows repeat a place (698 of volcano's 827), so a random split tests on places it trained on. Therefore two splits:

* ``distinct`` (default, the one to judge a model on): all rows of one place go to the same part, and every row is moved
  uniformly within the cell its printed digits stand for, so that no two points coincide;
* ``published``: random rows, unmoved, as in the tables of the literature.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch

from manifold_gen.data import draws
from manifold_gen.data.assemble import assemble
from manifold_gen.data.base import Dataset
from manifold_gen.data.formats import PointFormat, make_format
from manifold_gen.data.locations import RemoteFile, fetch
from manifold_gen.data.registry import Source
from manifold_gen.data.tables import Table, read_table
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.sphere import Sphere

_BASE = "https://raw.githubusercontent.com/oxcsml/riemannian-score-sde/b35b739464ca8264e418e400301f5f45cb7a16b3/data/"
_JITTER_SEED = 827
_FILES = {
    "volcano": RemoteFile(
        "earth/volerup.csv",
        _BASE + "volerup.csv",
        "f7bbaf32a412f5fe82350f48e0c55100be260803969c16557343f687fd0593fc",
    ),
    "earthquake": RemoteFile(
        "earth/quakes_all.csv",
        _BASE + "quakes_all.csv",
        "3e5e1a10fb2faf1899106264289334037d039f00f5265d13dad388a93d8ff2f7",
    ),
    "flood": RemoteFile(
        "earth/flood.csv",
        _BASE + "flood.csv",
        "ffb1e3182c3053afcdeceec4727c262a29da10255d20747c08144da5b0963486",
    ),
    "fire": RemoteFile(
        "earth/fire.csv",
        _BASE + "fire.csv",
        "c5c6c9490b1d8c58ba9eb78d9e2f82d1c1e62694ca5cff917c54600d3d83f459",
    ),
}
_ORIGINS = {
    "volcano": (827, "volcanic eruptions, NOAA National Geophysical Data Center"),
    "earthquake": (6120, "significant earthquakes, NOAA National Geophysical Data Center"),
    "flood": (4875, "floods, Dartmouth Flood Observatory"),
    "fire": (12_809, "active fires, NASA FIRMS"),
}
_LICENCE = "public data"


def load_earth(
    name: str, *, split_seed: int = 0, dtype: torch.dtype = torch.float32, split: str = "distinct"
) -> Dataset:
    """One of the four Earth sets; ``split`` is ``"distinct"`` (by place, jittered) or ``"published"`` (random rows)."""
    file = _FILES[name]
    info = {"origin": _ORIGINS[name][1], "licence": _LICENCE, "sha256": file.sha256}
    return places_dataset(name, fetch(file), info, split_seed=split_seed, dtype=dtype, split=split)


def places_dataset(
    name: str, path: Path, info: dict[str, object], *, split_seed: int, dtype: torch.dtype, split: str
) -> Dataset:
    """The data set of a file with latitude in its first and longitude in its second column, in degrees."""
    table = read_table(path)
    degrees = table.numbers(table.columns[:2])
    widths = np.array([rounding_width(table, column) for column in table.columns[:2]])
    if split == "distinct":
        index = draws.split_index(len(degrees), split_seed, place_groups(degrees, widths))
        degrees = jittered(degrees, widths, _JITTER_SEED)
    elif split == "published":
        index = draws.split_index(len(degrees), split_seed)
    else:
        raise UsageError(f"split is {split!r}; expected 'distinct' (by place, jittered) or 'published' (random rows)")
    fmt = earth_format()
    info = {**info, "split": split, "split_seed": split_seed, "format": fmt.to_dict()}
    return assemble(name, Sphere(2), fmt.decode(degrees, dtype=torch.float64), index, dtype=dtype, info=info)


def earth_format() -> PointFormat:
    """Latitude and longitude in degrees."""
    return make_format("sphere:2", representation="latlon", units="degrees")


def rounding_width(table: Table, column: str) -> float:
    """What one unit of the last printed digit stands for: 10 to minus the usual number of decimals of the column.

    Not of the single value: writers drop trailing zeros, so "12" in a column of three decimals is 12.000.
    """
    decimals = Counter(len(cell.strip().partition(".")[2]) for cell in table.cells[column])
    most = max(decimals.values())
    return 10.0 ** -max(digits for digits, count in decimals.items() if count == most)


def place_groups(degrees: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Group number of each row, ``(N,)``: rows whose coordinates round to the same cell are one place."""
    cells = np.rint(degrees / widths).astype(np.int64)
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


def jittered(degrees: np.ndarray, widths: np.ndarray, seed: int) -> np.ndarray:
    """Every row moved uniformly by up to half a ``width`` each way; latitude stays within ±90°."""
    u = np.stack([draws.uniforms(seed, axis, len(degrees)) for axis in (0, 1)], -1)
    moved = degrees + (u - 0.5) * widths
    return np.stack([np.clip(moved[:, 0], -90.0, 90.0), moved[:, 1]], -1)


SOURCES = tuple(
    Source(name, "sphere:2", rows, origin, _LICENCE, partial(load_earth, name), (_FILES[name].place,))
    for name, (rows, origin) in _ORIGINS.items()
)
