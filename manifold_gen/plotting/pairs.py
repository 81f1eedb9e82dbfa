"""Many angles at once: every pair of torsions as a small map, data below the diagonal and samples above."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.plotting import regions, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPAN = 7.0  # nats from the darkest colour to white


def plot_angle_pairs(
    samples: Tensor, *, data: Tensor | None = None, labels: Sequence[str] | None = None, resolution: int = 60
) -> Figure:
    """Marginal densities of all pairs of n angles: data below the diagonal, samples above, single angles on it.

    Without data both triangles would show the same, so only the lower one is drawn. Colours are logarithmic and span
    7 nats; they are set by the largest density of each pair, the same for data and samples.

    Args:
        samples: ``(N, n)`` radians.
        data: ``(N', n)`` radians.
        labels: names of the angles; ``angle 1`` and so on where nothing is given.
        resolution: cells an axis.

    Raises:
        UsageError: arrays that are not ``(N, n)``, or that differ in n.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
        >>> len(plot_angle_pairs(x, data=x, labels=["φ", "ψ", "χ₁"]).axes)
        9
    """
    drawn = _angles(samples, "samples")
    observed = None if data is None else _angles(data, "data")
    n = drawn.shape[1]
    if observed is not None and observed.shape[1] != n:
        raise UsageError(f"samples have {n} angles and data {observed.shape[1]}; expected the same number")
    names = list(labels) if labels is not None else [f"angle {i + 1}" for i in range(n)]
    with style.styled():
        side = min(style.PAGE, max(style.COLUMN, 1.05 * n + 0.4))
        figure = style.new_figure(side, side)
        figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0.0, hspace=0.0)
        grid = figure.subplots(n, n, squeeze=False)
        for row, column in itertools.product(range(n), repeat=2):
            ax = grid[row, column]
            if row < column and observed is None:
                ax.remove()
                continue
            if row == column:
                _single(ax, drawn[:, row], None if observed is None else observed[:, row], resolution)
            else:
                _pair(ax, drawn[:, [column, row]], None if observed is None else observed[:, [column, row]], resolution)
            _edge_labels(ax, (row, column), n, names)
        _legend(figure, observed is not None, n)
    return figure


def _angles(x: Tensor, name: str) -> NDArray[np.float64]:
    if x.dim() != 2 or 0 in x.shape:
        raise UsageError(f"{name} has shape {tuple(x.shape)}, expected (N, n) angles in radians with N at least 1")
    return x.detach().to("cpu", torch.float64).numpy()


def _pair(ax: Axes, drawn: NDArray[np.float64], observed: NDArray[np.float64] | None, resolution: int) -> None:
    """Show ``observed`` below the diagonal and ``drawn`` above; colours end at the larger of the two peaks."""
    densities = [regions.smoothed_density(x, resolution) for x in (drawn, observed) if x is not None]
    top = math.log(max(float(density.max()) for density in densities))
    place = ax.get_subplotspec()
    shown = densities[-1] if place.rowspan.start > place.colspan.start else densities[0]
    shown = np.log(np.maximum(shown, math.exp(top - _SPAN)))
    extent = (-180, 180, -180, 180)
    ax.imshow(shown, extent=extent, vmin=top - _SPAN, vmax=top, cmap=style.density_colours(), interpolation="bilinear")


def _single(ax: Axes, drawn: NDArray[np.float64], observed: NDArray[np.float64] | None, resolution: int) -> None:
    edges = np.linspace(-180, 180, resolution + 1)
    ax.stairs(np.histogram(np.degrees(drawn), edges, density=True)[0], edges, color=style.MODEL, lw=0.8)
    if observed is not None:
        ax.stairs(np.histogram(np.degrees(observed), edges, density=True)[0], edges, color=style.DATA, lw=0.8)
    ax.set(xlim=(-180, 180), yticks=[], box_aspect=1)
    ax.set_ylim(bottom=0)


def _edge_labels(ax: Axes, place: tuple[int, int], n: int, names: Sequence[str]) -> None:
    row, column = place
    ax.set_xticks([-120, 0, 120])
    if row == n - 1:
        ax.set_xlabel(f"{names[column]} (°)", labelpad=1.5)
    else:
        ax.tick_params(labelbottom=False)
    if row != column:
        ax.set_yticks([-120, 0, 120])
    if column == 0 and row > 0:
        ax.set_ylabel(f"{names[row]} (°)", labelpad=1.5)
    else:
        ax.tick_params(labelleft=False)


def _legend(figure: Figure, compared: bool, n: int) -> None:
    from matplotlib.lines import Line2D

    above, below = (" (above)", " (below the diagonal)") if compared and n > 1 else ("", "")
    entries = [Line2D([], [], color=style.MODEL, label="samples" + above)]
    if compared:
        entries.insert(0, Line2D([], [], color=style.DATA, label="data" + below))
    figure.legend(handles=entries, loc="outside upper center", ncols=2)
