"""DW4, LJ13 and LJ55: clouds drawn from their energies by Markov chains on this machine, and kept.

Half of the chains give the training part, several states each; a quarter each the other two, of which only the last
state is taken. So no state of the test part has a relative from its own chain in the training part.
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from manifold_gen.chemistry.files import replacing
from manifold_gen.data import draws
from manifold_gen.data.base import Dataset, Split
from manifold_gen.data.formats import make_format
from manifold_gen.data.locations import cache_folder, find
from manifold_gen.data.registry import Source
from manifold_gen.energies import RECIPES, Recipe
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.specs import from_spec

_LICENCE = "generated: none"
# Of the recipes: a file of another version is not read.
_VERSION = 1
_ORIGINS = {
    "dw4": "four particles in the plane, a double well in each distance; made by Metropolis chains on first use",
    "lj13": "13 Lennard-Jones particles (factor 2) in a trap; made by Metropolis chains on first use",
    "lj55": "55 Lennard-Jones particles (factor 2) in a trap; made by Metropolis chains on first use",
}


def load_energy_set(
    name: str,
    *,
    split_seed: int = 0,
    dtype: torch.dtype = torch.float32,
    chains: int | None = None,
    snapshots: int | None = None,
    draw_seed: int = 0,
) -> Dataset:
    """One of the three sets; the first call draws it, in one to three minutes of one core, and keeps it in the cache.

    Its law has no normalised density, so ``density`` is ``None``; ``info["energy"]`` and ``info["floor"]`` hold the
    name of the energy and the least mean negative log-likelihood, in nats.

    Args:
        split_seed: which chains go to which part.
        chains: number of chains, at least 4; default as the recipe says.
        snapshots: states kept of each chain for training; default as the recipe says.
        draw_seed: of the chains.

    Raises:
        UsageError: fewer than four chains, or no snapshot.
        DataError: the kept file is damaged.
        RunFolderError: the cache cannot be written.
    """
    recipe = RECIPES[name]
    chains = recipe.chains if chains is None else chains
    snapshots = recipe.snapshots if snapshots is None else snapshots
    if chains < 4:
        raise UsageError(f"{name} is split by chains into three parts: needed at least 4 chains, got {chains}")
    x = torch.from_numpy(_states(name, recipe, chains, snapshots, draw_seed)).to(dtype)
    x = x - x.mean(-2, keepdim=True)
    order, held = torch.from_numpy(draws.permutation(split_seed, 0, chains)), chains // 4
    val, test, train = (part.sort().values for part in order.split([held, held, chains - 2 * held]))
    spec = manifold_spec(recipe)
    floor = recipe.energy.entropy_floor
    info: dict[str, object] = {
        "origin": _ORIGINS[name],
        "licence": _LICENCE,
        "energy": recipe.energy.name,
        "floor": None if floor is None else floor.value,
        "chains": chains,
        "snapshots": snapshots,
        "draw_seed": draw_seed,
        "split_seed": split_seed,
        "format": make_format(spec).to_dict(),
    }
    parts = (x[train].flatten(0, 1), x[val, -1], x[test, -1])
    return Dataset(name, from_spec(spec), *map(Split, parts), None, info)


def manifold_spec(recipe: Recipe) -> str:
    """The clouds that a recipe draws: ``points:n,p,0``."""
    return f"points:{recipe.energy.n},{recipe.energy.p},0"


def place(name: str, chains: int, snapshots: int, draw_seed: int) -> str:
    """Where the states lie in the data folder or the cache.

    >>> place("dw4", 20_000, 5, 0)
    'energies/dw4-20000x5-seed0-v1.npz'
    """
    return f"energies/{name}-{chains}x{snapshots}-seed{draw_seed}-v{_VERSION}.npz"


def _states(name: str, recipe: Recipe, chains: int, snapshots: int, draw_seed: int) -> np.ndarray:
    """``(chains, snapshots, n, p)`` float32, from the file where there is one, else drawn and written."""
    where = place(name, chains, snapshots, draw_seed)
    found = find(where)
    if found is not None:
        return _read(found, (chains, snapshots, recipe.energy.n, recipe.energy.p))
    x = recipe.draw(chains, snapshots, seed=draw_seed).numpy()
    target = cache_folder() / where
    with replacing(target) as temporary:
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, x=x)
    return x


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            x = file["x"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error}); remove it, so that the states are drawn again") from error
    if x.shape != shape or x.dtype != np.float32 or not np.isfinite(x).all():
        raise DataError(
            f"{path} holds {x.dtype} of shape {x.shape}, expected finite float32 of shape {shape}; remove it, so that "
            "the states are drawn again"
        )
    return x


def _rows(recipe: Recipe) -> int:
    held = recipe.chains // 4
    return (recipe.chains - 2 * held) * recipe.snapshots + 2 * held


SOURCES = tuple(
    Source(name, manifold_spec(recipe), _rows(recipe), _ORIGINS[name], _LICENCE, partial(load_energy_set, name))
    for name, recipe in RECIPES.items()
)
