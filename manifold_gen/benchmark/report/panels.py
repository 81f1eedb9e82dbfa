"""Density pictures: the truth and every method side by side on one colour scale."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifold_gen.benchmark.pictures import Grid, density_grid
from manifold_gen.benchmark.report.document import Gallery, Image
from manifold_gen.benchmark.report.results import DataResults, Result
from manifold_gen.data.base import Dataset
from manifold_gen.data.registry import list_datasets, load_dataset
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import from_spec
from manifold_gen.plotting import style
from manifold_gen.plotting.earth import longitude_latitude
from manifold_gen.plotting.rotations import canonical_view, tilt_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 110
_MOST_POINTS = 1500
_SPAN = 8.0  # nats below the peak that the colours reach
_SMALL, _WIDE = 190, 270  # CSS pixels of a panel's width
Places = NDArray[np.float64]  # (2 or 3, N): across, up, and a colour


@dataclass(frozen=True)
class Frame:
    """How points of a manifold become places on a panel.

    Attributes:
        places: from points ``(N, *shape)``.
        limits: left, right, bottom, top.
        axes: what the directions are, for the caption.
        wide: whether a panel is twice as wide as high.
    """

    places: Callable[[Tensor], Places]
    limits: tuple[float, float, float, float]
    axes: str
    wide: bool = False


def _angles(x: Tensor) -> Places:
    return np.remainder(x[:, :2].double().numpy().T + math.pi, 2 * math.pi) - math.pi


def _coordinates(x: Tensor) -> Places:
    return x.flatten(1)[:, :2].double().numpy().T


def _frame(spec: str, samples: Tensor) -> Frame | None:
    """The frame of a manifold by its spec; none where points have fewer than two coordinates."""
    name = spec.partition(":")[0]
    half, whole = math.pi / 2, math.pi
    if spec == "sphere:2":
        text = "longitude across, latitude up"
        return Frame(lambda x: longitude_latitude(x, "points"), (-whole, whole, -half, half), text, wide=True)
    if name == "so3":
        text = "place: longitude and latitude of the first axis; colour: turn about it, a full circle of colours"
        return Frame(lambda x: canonical_view(x, "rotations"), (-whole, whole, -half, half), text, wide=True)
    if samples.flatten(1).shape[1] < 2:
        return None
    if name == "torus":
        count = int(spec.partition(":")[2] or 2)
        text = "both angles from −π to π" if count == 2 else f"the first two of {count} angles, from −π to π"
        return Frame(_angles, (-whole, whole, -whole, whole), text)
    if name == "poincare":
        return Frame(_coordinates, (-1.02, 1.02, -1.02, 1.02), "coordinates of the Poincaré ball")
    reach = 1.05 * float(samples.flatten(1)[:, :2].abs().quantile(0.99)) + 1e-9
    return Frame(_coordinates, (-reach, reach, -reach, reach), "the first two coordinates")


def panels(data: DataResults, name: str) -> Gallery | None:
    """A panel of the truth and one a method, each at its first seed. ``name`` begins their file names."""
    groups = [group for group in data.groups if group.first is not None and group.compared]
    drawn = [(group.title, group.first, _points(group.first)) for group in groups]
    drawn = [(title, result, points) for title, result, points in drawn if len(points)]
    frame = _frame(data.manifold, drawn[0][2]) if drawn else None
    if frame is None:
        return None
    dataset = truth(drawn[0][1])
    exact = None if dataset is None or dataset.density is None else density_grid(dataset.density, dataset.manifold)
    scale = _scale([result.record.get("density") for _, result, _ in drawn], exact)
    images = []
    if dataset is not None:
        words = "truth: test points" if exact is None else "truth: exact density"
        images.append(_panel(f"{name}-truth.png", words, exact, dataset.test.x, frame, scale))
    for place, (title, result, points) in enumerate(drawn):
        grid = result.record.get("density")
        words = title if grid or scale is None else f"{title}: samples"
        if result.faults:
            words += " (likelihood invalid)"
        images.append(_panel(f"{name}-{place:02d}.png", words, grid, points, frame, scale))
    if scale is not None:
        images.append(_colour_bar(f"{name}-scale.png", scale, frame))
    return Gallery(images, _caption(frame, scale, drawn[0][1].seed))


def truth(result: Result) -> Dataset | None:
    """The cell's data set where it is registered and on this machine: a report downloads nothing and runs nothing."""
    name = result.spec["data"]
    if not any(source.name == name and source.available for source in list_datasets()):
        return None
    try:
        return load_dataset(name, dtype=torch.float64, **result.spec["settings"].get("data", {}))
    except (DataError, UsageError):
        return None


def _points(result: Result) -> Tensor:
    rows = result.record["samples"]
    shape = from_spec(result.record["manifold"]).shape
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), *shape)


def _scale(grids: Sequence[Grid | None], exact: Grid | None) -> tuple[float, float] | None:
    """Log-densities at both ends of the colours: the exact peak, or the middle one of the methods' peaks."""
    peaks = [np.nanquantile(_values(grid), 0.999) for grid in grids if grid]
    if not peaks:
        return None
    top = float(np.nanmax(_values(exact))) if exact is not None else float(np.median(peaks))
    return top - _SPAN, top


def _values(grid: Grid) -> Places:
    values = np.array([math.nan if v is None else v for v in grid["log_density"]], dtype=float)
    return values.reshape(grid["rows"], grid["columns"])


def _panel(
    name: str, caption: str, grid: Grid | None, points: Tensor, frame: Frame, scale: tuple[float, float] | None
) -> Image:
    with style.styled():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2.7, 1.35) if frame.wide else (1.9, 1.9), dpi=_DPI)
        FigureCanvasAgg(figure)
        ax = figure.add_axes((0.004, 0.004, 0.992, 0.992))
        if grid:
            values = np.nan_to_num(_values(grid), nan=-math.inf)
            colours = {"cmap": style.density_colours(), "vmin": scale[0], "vmax": scale[1]}
            ax.imshow(np.maximum(values, scale[0]), extent=frame.limits, aspect="auto", **colours)
        else:
            _scatter(ax, frame.places(points[:_MOST_POINTS]))
        left, right, bottom, top = frame.limits
        ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return Image(name, stream.getvalue(), caption, caption, _WIDE if frame.wide else _SMALL)


def _colour_bar(name: str, scale: tuple[float, float], frame: Frame) -> Image:
    with style.styled():
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        figure = style.new_figure(2.7 if frame.wide else 1.9, 0.6)
        bar = ScalarMappable(Normalize(*scale), style.density_colours())
        figure.colorbar(bar, cax=figure.subplots(), orientation="horizontal", label="log-density, nats", extend="min")
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=2 * _DPI, metadata={"Software": None})
    words = f"colour scale from {scale[0]:.1f} to {scale[1]:.1f} nats"
    return Image(name, stream.getvalue(), words, "", _WIDE if frame.wide else _SMALL)


def _scatter(ax: Axes, places: Places) -> None:
    look: dict[str, object] = {"color": style.DATA}
    if len(places) == 3:
        look = {"c": places[2], "cmap": tilt_colours(), "vmin": -math.pi, "vmax": math.pi}
    ax.scatter(places[0], places[1], s=1.6, lw=0, alpha=0.75, **look)


def _caption(frame: Frame, scale: tuple[float, float] | None, seed: int) -> str:
    text = f"Seed {seed}; {frame.axes}."
    if scale is None:
        return f"{text} Points: samples."
    return f"{text} One colour scale for every panel: log-density, white where it is below the scale; dots: points."
