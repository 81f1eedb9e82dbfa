"""Which figure belongs to which manifold."""

from __future__ import annotations

import copy
import math
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

LogDensity = Callable[[Tensor], Tensor]
Picture = Callable[[LogDensity, "Dataset", Tensor], "Figure"]

_PICTURES: dict[str, Picture] = {}
_MOST_DATA = 5000  # data points drawn as dots; contours and histograms use all
_CONTEXTS = 8  # a conditional density is shown as its mean over so many contexts of the data
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "chi": "χ", "phi": "φ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def register(name: str, picture: Picture) -> None:
    """Give manifolds with this ``name`` a figure: a function of log-density, data set and fresh samples.

    Example:
        >>> from manifold_gen.plotting import plot_angle_pairs
        >>> register("cylinder", lambda log_density, dataset, samples: plot_angle_pairs(samples, data=dataset.train.x))
    """
    _PICTURES[name] = picture


def plot(
    model: Distribution, dataset: Dataset, path: str | Path | None = None, *, samples: int = 3000, seed: int = 0
) -> Figure:
    """The figure of the data's manifold: density, ``samples`` fresh draws and the data; written to ``path`` if given.

    T² gets a Ramachandran plot beside the data's, other tori a panel of all pairs, S² and SO(3) a map. A conditional
    model is drawn under contexts of the training rows: samples each under one, the density as a mean over eight.

    Raises:
        UsageError: the manifold has no figure; the message lists those that have.
        RunFolderError: ``path`` cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    name = dataset.manifold.name
    if name not in _PICTURES:
        raise UsageError(
            f"there is no figure for {dataset.manifold}; there is one for {', '.join(sorted(_PICTURES))}, "
            "and plotting.register adds another"
        )
    model = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
    context = _contexts(dataset, samples, seed)
    with torch.no_grad():
        drawn = model.sample(samples, context=context, generator=seeds.generator(seed))
    log_density = _alone(model) if context is None else _averaged(model, context[:_CONTEXTS])
    figure = _PICTURES[name](log_density, dataset, drawn)
    if path is not None:
        style.save_figure(figure, path)
    return figure


def _contexts(dataset: Dataset, count: int, seed: int) -> Tensor | None:
    context = dataset.train.context
    if context is None:
        return None
    rows = context[torch.randint(len(context), (count,), generator=seeds.generator(seed, 1))].cpu()
    return rows.double() if rows.is_floating_point() else rows


def _alone(model: Distribution) -> LogDensity:
    return lambda x: model.log_prob(x.double())


def _averaged(model: Distribution, contexts: Tensor) -> LogDensity:
    """x ↦ log of the mean of p(x | c) over the rows c."""

    def log_density(x: Tensor) -> Tensor:
        x = x.double()
        parts = [model.log_prob(x, row.expand(len(x), *row.shape)) for row in contexts]
        return torch.logsumexp(torch.stack(parts), 0) - math.log(len(contexts))

    return log_density


def angle_labels(dataset: Dataset) -> list[str]:
    """Names of the angles for axes: the data's columns, with Greek names as letters.

    Example:
        >>> from types import SimpleNamespace
        >>> info = {"format": {"columns": ["phi", "chi1"]}}
        >>> angle_labels(SimpleNamespace(manifold=SimpleNamespace(dim=2), info=info))
        ['φ', 'χ₁']
    """
    columns = dataset.info.get("format", {}).get("columns", [])
    if len(columns) != dataset.manifold.dim:
        return [f"angle {i + 1}" for i in range(dataset.manifold.dim)]
    return [_letter(column) for column in columns]


def _letter(column: str) -> str:
    word = column.rstrip("0123456789")
    return _GREEK[word] + column[len(word) :].translate(_SUBSCRIPTS) if word in _GREEK else column


def _some(x: Tensor) -> Tensor:
    return x[torch.randperm(len(x), generator=seeds.generator(0))[:_MOST_DATA]]


def _of_torus(log_density: LogDensity, dataset: Dataset, samples: Tensor) -> Figure:
    data = torch.cat([dataset.train.x, dataset.val.x, dataset.test.x])
    labels = angle_labels(dataset)
    if dataset.manifold.dim == 2:
        options = {"compare": True, "resolution": 90, "labels": labels}
        return torus.plot_torus(log_density, samples=samples, data=data, **options)
    return pairs.plot_angle_pairs(samples, data=data, labels=labels)


def _of_sphere(log_density: LogDensity, dataset: Dataset, samples: Tensor) -> Figure:
    if dataset.manifold.dim != 2:
        raise UsageError(f"there is no figure for {dataset.manifold}; of the spheres only sphere:2 has one")
    return sphere.plot_sphere(log_density, samples=samples, data=_some(dataset.test.x), resolution=90)


def _of_rotations(log_density: LogDensity, dataset: Dataset, samples: Tensor) -> Figure:
    return rotations.plot_rotations(samples, data=_some(dataset.train.x)[: len(samples)])


for _name, _picture in (("torus", _of_torus), ("sphere", _of_sphere), ("so3", _of_rotations)):
    register(_name, _picture)
