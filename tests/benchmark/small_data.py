"""A small data set with an exact density."""

from __future__ import annotations

import torch

from manifold_gen import seeds
from manifold_gen.data import load_dataset
from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Mixture, VonMisesProduct


def truth():
    """Two von Mises bumps on the torus."""
    return Mixture(VonMisesProduct(torch.tensor([[-1.0, 0.5], [1.5, -1.0]]), torch.full((2, 2), 4.0)), torch.zeros(2))


def bumps(split_seed=0, dtype=torch.float32):
    """640 points of ``truth``."""
    density = truth().to(dtype)
    x = density.sample(640, generator=seeds.generator(split_seed))
    return Dataset("bumps", density.manifold, Split(x[:200]), Split(x[200:240]), Split(x[240:]), density=density)


def small_molecules(split_seed=0, dtype=torch.float32):
    """The molecules of QM9 of at most four heavy atoms."""
    return load_dataset("qm9", max_heavy=4, dtype=dtype)
