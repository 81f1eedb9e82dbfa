"""Which figure belongs to which manifold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.errors import UsageError
from manifold_gen.plotting import pairs, rotations, sphere, style, torus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from manifold_gen.data.base import Dataset
    from manifold_gen.distributions.base import Distribution

Picture = Callable[["Distribution", "Dataset", Tensor], "Figure"]

_PICTURES: dict[str, Picture] = {}
_MOST_DATA = 5000  # data points drawn as dots; contours and histograms use all


def register(name: str, picture: Picture) -> None:
    """Give manifolds with this ``name`` a figure: a function of the model, the data set and fresh samples.

    Example:
        >>> from manifold_gen.plotting import plot_angle_pairs
        >>> register("cylinder", lambda model, dataset, samples: plot_angle_pairs(samples, data=dataset.train.x))
    """
    _PICTURES[name] = picture


def plot(
    model: Distribution, dataset: Dataset, path: str | Path | None = None, *, samples: int = 3000, seed: int = 0
) -> Figure:
    """The figure of the model's manifold: density, ``samples`` fresh draws and the data; written to ``path`` if given.

    T² gets a Ramachandran plot beside the data's, other tori a panel of all pairs, S² and SO(3) a map.

    Raises:
        UsageError: the manifold has no figure; the message lists those that have.
        RunFolderError: ``path`` cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    manifold = model.manifold
    if manifold.name not in _PICTURES:
        raise UsageError(
            f"there is no figure for {manifold}; there is one for {', '.join(sorted(_PICTURES))}, "
            "and plotting.register adds another"
        )
    with torch.no_grad():
        drawn = model.sample(samples, generator=seeds.generator(seed))
    figure = _PICTURES[manifold.name](model, dataset, drawn)
    if path is not None:
        style.save_figure(figure, path)
    return figure


def _some(x: Tensor) -> Tensor:
    return x[torch.randperm(len(x), generator=seeds.generator(0))[:_MOST_DATA]]


def _of_torus(model: Distribution, dataset: Dataset, samples: Tensor) -> Figure:
    data = torch.cat([dataset.train.x, dataset.val.x, dataset.test.x])
    if model.manifold.dim == 2:
        return torus.plot_torus(model.log_prob, samples=samples, data=data, compare=True, resolution=90)
    return pairs.plot_angle_pairs(samples, data=data)


def _of_sphere(model: Distribution, dataset: Dataset, samples: Tensor) -> Figure:
    if model.manifold.dim != 2:
        raise UsageError(f"there is no figure for {model.manifold}; of the spheres only sphere:2 has one")
    return sphere.plot_sphere(model.log_prob, samples=samples, data=_some(dataset.test.x), resolution=90)


def _of_rotations(model: Distribution, dataset: Dataset, samples: Tensor) -> Figure:
    return rotations.plot_rotations(samples, data=_some(dataset.train.x)[: len(samples)])


for _name, _picture in (("torus", _of_torus), ("sphere", _of_sphere), ("so3", _of_rotations)):
    register(_name, _picture)
