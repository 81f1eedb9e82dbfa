"""Angles: Ramachandran plots of T², panels of pairs for more angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.plotting import regions, style
from manifold_gen.plotting.densities import log_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from manifold_gen.plotting.densities import Density


def plot_torus(
    density: Density,
    *,
    samples: Tensor | None = None,
    data: Tensor | None = None,
    scale: str = "log",
    compare: bool = False,
    labels: Sequence[str] = ("φ", "ψ"),
    titles: Sequence[str] = ("data", "model"),
    resolution: int = 180,
    span: float = 10.0,
) -> Figure:
    """Ramachandran plot of a density on T², with samples and with the contours of the data.

    The contours enclose 98 % (favoured, solid) and 99.95 % (allowed, dashed) of ``data``; see ``plotting.regions``.

    Args:
        density: on angle pairs ``(N, 2)`` in radians: a distribution, a model, or a function that returns log p in nats
            per rad².
        samples: ``(N, 2)`` radians, drawn as points; a few thousand are enough.
        data: ``(N, 2)`` radians, from which the contours are computed.
        scale: ``"log"`` or ``"linear"`` colours; the colour bar says which.
        compare: put the smoothed density of the data beside the model's, in the same colours.
        labels: names of the two angles.
        titles: of the two panels of a comparison.
        resolution: cells an axis.
        span: how many nats below the largest density the logarithmic colours end.

    Raises:
        UsageError: an unknown scale, points that are not angle pairs, or a comparison without data.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> x = 0.5 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> figure = plot_torus(lambda x: 3 * torch.cos(x).sum(-1) - 6.9, samples=x, data=x, compare=True)
        >>> [axes.get_title() for axes in figure.axes]
        ['data', 'model', '']
    """
    if scale not in ("log", "linear"):
        raise UsageError(f"scale is {scale!r}, expected 'log' or 'linear'")
    if compare and data is None:
        raise UsageError("a comparison needs data beside the model's density; pass data=")
    points = None if samples is None else _pairs(samples, "samples")
    observed = None if data is None else _pairs(data, "data")
    smooth = None if observed is None else regions.smoothed_density(observed, resolution)
    panels = [(titles[1] if compare else "", _on_grid(density, resolution), points)]
    if compare and smooth is not None:
        panels.insert(0, (titles[0], smooth, None))
    limits = _limits([values for _, values, _ in panels], scale, span)
    with style.styled():
        figure = style.new_figure(style.PAGE if compare else style.COLUMN, 3.3 if compare else 2.95)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, (title, values, dots) in zip(axes, panels, strict=True):
            image = _density_image(ax, values, scale, limits)
            if dots is not None:
                ax.plot(*np.degrees(dots.T), ".", ms=1.4, mew=0, color=style.SAMPLE, alpha=0.8, rasterized=True)
            if smooth is not None and observed is not None:
                _contours(ax, smooth, regions.levels_of_data(smooth, observed))
            ramachandran_axes(ax, labels)
            ax.set_title(title)
        for ax in axes[1:]:
            ax.set_ylabel("")
        text = "log density (nats, per rad²)" if scale == "log" else "density (rad⁻²)"
        figure.colorbar(image, ax=list(axes), label=text, extend="min" if scale == "log" else "neither", aspect=28)
        _legend(figure, axes[0], observed is not None, points is not None)
    return figure


def ramachandran_axes(ax: Axes, labels: Sequence[str] = ("φ", "ψ"), step: int = 60) -> None:
    """Degrees from −180 to 180 with a tick every ``step``, both axes on one scale."""
    for axis, label in ((ax.xaxis, labels[0]), (ax.yaxis, labels[1])):
        axis.set_ticks(list(range(-180, 181, step)))
        axis.set_label_text(f"{label} (degrees)")
    ax.set(xlim=(-180, 180), ylim=(-180, 180), aspect="equal")


def _pairs(x: Tensor, name: str) -> NDArray[np.float64]:
    if x.dim() != 2 or x.shape[1] != 2 or len(x) == 0:
        raise UsageError(f"{name} has shape {tuple(x.shape)}, expected (N, 2) angles in radians with N at least 1")
    return x.detach().to("cpu", torch.float64).numpy()


def _on_grid(density: Density, resolution: int) -> NDArray[np.float64]:
    centres = torch.as_tensor(regions.cell_centres(resolution), dtype=torch.get_default_dtype())
    grid = torch.cartesian_prod(centres, centres).flip(-1)
    return np.exp(log_values(density, grid)).reshape(resolution, resolution)


def _limits(densities: list[NDArray[np.float64]], scale: str, span: float) -> tuple[float, float]:
    top = max(float(density.max()) for density in densities)
    return (math.log(top) - span, math.log(top)) if scale == "log" else (0.0, top)


def _density_image(ax: Axes, density: NDArray[np.float64], scale: str, limits: tuple[float, float]) -> AxesImage:
    floor = math.exp(limits[0]) if scale == "log" else 0.0
    shown = np.log(np.maximum(density, floor)) if scale == "log" else density
    return ax.imshow(
        shown,
        extent=(-180, 180, -180, 180),
        vmin=limits[0],
        vmax=limits[1],
        cmap=style.density_colours(),
        interpolation="bilinear",
    )


def _contours(ax: Axes, density: NDArray[np.float64], levels: list[float]) -> None:
    # one wrapped cell on every side, so that lines run through to the frame
    centres = np.degrees(regions.cell_centres(len(density)))
    step = centres[1] - centres[0]
    centres = np.concatenate([[centres[0] - step], centres, [centres[-1] + step]])
    wrapped = np.pad(density, 1, mode="wrap")
    for level, dashes in zip(levels, ("solid", (0, (3, 1.5))), strict=True):
        ax.contour(centres, centres, wrapped, levels=[level], colors=style.INK, linewidths=0.8, linestyles=[dashes])


def _legend(figure: Figure, ax: Axes, contours: bool, dots: bool) -> None:
    from matplotlib.lines import Line2D

    entries = []
    if contours:
        entries.append(Line2D([], [], color=style.INK, lw=0.8, label="98 % of data"))
        entries.append(Line2D([], [], color=style.INK, lw=0.8, ls=(0, (3, 1.5)), label="99.95 %"))
    if dots:
        entries.append(Line2D([], [], color=style.SAMPLE, marker=".", ls="", ms=4, label="samples"))
    if entries:
        figure.legend(handles=entries, loc="outside upper center", ncols=len(entries), handlelength=1.8)
