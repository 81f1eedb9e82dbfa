"""DW4, LJ13 and LJ55: drawn once, kept whole, split by chains."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from manifold_gen.data import energies, load_dataset
from manifold_gen.data.registry import find_source
from manifold_gen.energies import RECIPES
from manifold_gen.errors import DataError, RunFolderError, UsageError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and recipes that are done in a moment: what is kept and split does not depend on how long."""
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(tmp_path))
    for name, recipe in RECIPES.items():
        apart = 60 if name == "dw4" else 2
        quick = replace(recipe, temperatures=(1.2,), anneal=1, settle=3, apart=apart, together=16)
        monkeypatch.setitem(RECIPES, name, quick)
    return tmp_path


def test_sources_say_what_a_load_gives():
    for name, recipe in RECIPES.items():
        source = find_source(name)
        assert source.manifold == f"points:{recipe.energy.n},{recipe.energy.p},0"
        assert source.available
        half = recipe.chains // 2
        assert source.rows == half * recipe.snapshots + half


@pytest.mark.parametrize("name", RECIPES)
def test_parts_are_centred_clouds_of_their_manifold(name, cache, dtype):
    data = load_dataset(name, dtype=dtype, chains=20, snapshots=3)
    energy = RECIPES[name].energy
    assert [len(part) for part in (data.train, data.val, data.test)] == [30, 5, 5]
    for part in (data.train, data.val, data.test):
        assert part.x.dtype == dtype
        assert part.x.shape[1:] == data.manifold.shape == (energy.n, energy.p)
        assert float(part.x.mean(1).abs().max()) < (1e-12 if dtype == torch.float64 else 1e-5)
    assert data.density is None
    assert data.info["energy"] == energy.name
    assert data.info["floor"] == energy.entropy_floor.value
    assert data.info["format"]["manifold"] == data.manifold.spec


def test_no_chain_is_in_two_parts(cache):
    data = load_dataset("dw4", chains=20, snapshots=3, dtype=torch.float64)
    states = torch.from_numpy(np.load(cache / energies.place("dw4", 20, 3, 0))["x"]).double()
    states = states - states.mean(2, keepdim=True)

    def chains_of(x):
        near = (states.flatten(2)[None] - x.flatten(1)[:, None, None]).abs().amax(-1)
        place = near.flatten(1).argmin(1)
        assert float(near.flatten(1).amin(1).max()) < 1e-12
        return set((place // 3).tolist()), set((place % 3).tolist())

    (train, _), (val, last), (test, same) = (chains_of(part.x) for part in (data.train, data.val, data.test))
    assert (len(train), len(val), len(test)) == (10, 5, 5)
    assert len(train | val | test) == 20
    assert last == same == {2}


def test_the_split_seed_moves_chains_and_draws_nothing(cache):
    one, two = (load_dataset("dw4", chains=20, snapshots=1, split_seed=s) for s in (0, 1))
    assert len(list((cache / "energies").iterdir())) == 1
    assert not torch.equal(one.test.x, two.test.x)
    everything = [torch.cat([d.train.x, d.val.x, d.test.x]).flatten(1).sum(1).sort().values for d in (one, two)]
    assert torch.equal(*everything)
    assert torch.equal(one.test.x, load_dataset("dw4", chains=20, snapshots=1).test.x)
    other = load_dataset("dw4", chains=20, snapshots=1, draw_seed=1)
    assert not torch.equal(one.test.x, other.test.x)


def test_the_kept_file_is_read_not_drawn_again(cache):
    load_dataset("dw4", chains=8, snapshots=1)
    path = cache / energies.place("dw4", 8, 1, 0)
    x = np.load(path)["x"]
    np.savez(path, x=x + np.float32([1.0, 0.0]) * np.arange(4, dtype=np.float32)[:, None])
    changed = load_dataset("dw4", chains=8, snapshots=1)
    assert not np.allclose(np.sort(changed.test.x.numpy().ravel()), np.sort(x[:, -1][:2].ravel()))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: np.savez(path, y=np.zeros(3)),
        lambda path: np.savez(path, x=np.zeros((8, 1, 4, 3), np.float32)),
        lambda path: np.savez(path, x=np.full((8, 1, 4, 2), np.nan, np.float32)),
    ],
)
def test_a_damaged_file_is_named(cache, damage):
    load_dataset("dw4", chains=8, snapshots=1)
    path = cache / energies.place("dw4", 8, 1, 0)
    damage(path)
    with pytest.raises(DataError, match=rf"{path.name} .*remove it"):
        load_dataset("dw4", chains=8, snapshots=1)


def test_a_cache_that_cannot_be_written(cache):
    (cache / "energies").write_text("a file where a folder should be")
    with pytest.raises(RunFolderError, match="could not be written"):
        load_dataset("dw4", chains=8, snapshots=1)


@pytest.mark.parametrize("options", [{"chains": 3}, {"chains": 8, "snapshots": 0}])
def test_senseless_sizes_are_refused(cache, options):
    with pytest.raises(UsageError, match=r"needed at least (4 chains|1 chain)"):
        load_dataset("lj13", **options)
    assert list(cache.iterdir()) == []
