"""S² as a map: density, samples and data on Mollweide's equal-area projection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.plotting import style
from manifold_gen.plotting.densities import log_values
from manifold_gen.plotting.earth import graticule, longitude_latitude

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from manifold_gen.plotting.densities import Density


def plot_sphere(
    density: Density,
    *,
    samples: Tensor | None = None,
    data: Tensor | None = None,
    scale: str = "log",
    resolution: int = 120,
    span: float = 10.0,
) -> Figure:
    """Map of a density on S² with samples and data as points; equal areas on the sphere are equal on the page.

    Args:
        density: on unit vectors ``(N, 3)``: a distribution, a model, or a function that returns log p in nats per
            steradian.
        samples: ``(N, 3)``, drawn as small points.
        data: ``(N, 3)``, drawn as small white discs.
        scale: ``"log"`` or ``"linear"`` colours; the colour bar says which.
        resolution: cells from pole to pole.
        span: how many nats below the largest density the logarithmic colours end.

    Raises:
        UsageError: an unknown scale, or points that are not vectors of length 3.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_sphere(lambda x: 4 * x[:, 2] - 4.7, data=torch.eye(3), resolution=20)
        >>> figure.axes[0].name
        'mollweide'
    """
    if scale not in ("log", "linear"):
        raise UsageError(f"scale is {scale!r}, expected 'log' or 'linear'")
    dots = [
        (longitude_latitude(points, name), look)
        for points, name, look in (
            (samples, "samples", {"marker": ".", "ms": 1.6, "mew": 0, "color": style.SAMPLE, "alpha": 0.8}),
            (data, "data", {"marker": "o", "ms": 1.7, "mew": 0.3, "mfc": "white", "mec": style.INK}),
        )
        if points is not None
    ]
    with style.styled():
        figure = style.new_figure(style.COLUMN, 2.45 if dots else 2.25)
        ax = figure.add_subplot(projection="mollweide")
        edges, values = _on_map(density, resolution, scale, span)
        mesh = ax.pcolormesh(*edges, values, cmap=style.density_colours(), rasterized=True, zorder=0)
        for points, look in dots:
            ax.plot(*points, ls="", rasterized=True, zorder=3, **look)
        graticule(ax)
        text = "log density (nats, per sr)" if scale == "log" else "density (sr⁻¹)"
        bar = {"orientation": "horizontal", "aspect": 40, "shrink": 0.8, "pad": 0.04}
        figure.colorbar(mesh, ax=ax, label=text, extend="min" if scale == "log" else "neither", **bar)
        names = [name for points, name in ((samples, "samples"), (data, "data")) if points is not None]
        if names:
            _legend(figure, names)
    return figure


def _on_map(
    density: Density, resolution: int, scale: str, span: float
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    longitude = np.linspace(-math.pi, math.pi, 2 * resolution + 1)
    latitude = np.linspace(-math.pi / 2, math.pi / 2, resolution + 1)
    middle = torch.as_tensor((longitude[1:] + longitude[:-1]) / 2), torch.as_tensor((latitude[1:] + latitude[:-1]) / 2)
    up, around = torch.meshgrid(middle[1], middle[0], indexing="ij")
    x = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], -1).reshape(-1, 3)
    values = log_values(density, x.to(torch.get_default_dtype()))
    values = np.maximum(values, values.max() - span) if scale == "log" else np.exp(values)
    return (longitude, latitude), values.reshape(up.shape)


def _legend(figure: Figure, names: list[str]) -> None:
    from matplotlib.lines import Line2D

    looks = {
        "samples": {"marker": ".", "ms": 5, "mew": 0, "color": style.SAMPLE},
        "data": {"marker": "o", "ms": 3, "mew": 0.6, "mfc": "white", "mec": style.INK},
    }
    entries = [Line2D([], [], ls="", label=name, **looks[name]) for name in names]
    figure.legend(handles=entries, loc="outside upper center", ncols=len(entries))
