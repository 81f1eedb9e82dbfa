"""Charts of one data set: quality against evaluations, likelihood against training time."""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from manifold_gen.benchmark.methods import METHODS
from manifold_gen.benchmark.report.document import Gallery, Image
from manifold_gen.benchmark.report.results import DataResults, Group
from manifold_gen.benchmark.report.statistics import summarise
from manifold_gen.plotting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (5.2, 3.9)
_WIDTH = 540  # CSS pixels
# Okabe and Ito's colours without yellow, then again with another line: no two methods look alike
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#1a1a1a")
_LINES, _MARKERS = ("-", "--"), "osD^vPX*<>phd8"


def charts(data: DataResults, name: str) -> Gallery | None:
    """Both charts, those that have something to show. ``name`` begins their file names."""
    groups = [group for group in data.groups if group.done and group.compared]
    images = []
    if any(group.pairs("mmd", str(k)) for group in groups for k in group.done[0].mmd_evaluations):
        caption = "MMD against network evaluations per sample; mean over seeds, bars: standard deviation."
        images.append(_image(f"{name}-evaluations.svg", _evaluations(groups), caption, data.name))
    timed = [group for group in groups if _curve(group)]
    if timed:
        caption = "Negative log-likelihood on validation points against training time; mean over seeds."
        images.append(_image(f"{name}-training.svg", _training(timed), caption, data.name))
    return Gallery(images) if images else None


def _image(name: str, figure: Figure, caption: str, data: str, width: int = _WIDTH) -> Image:
    import matplotlib

    stream = io.BytesIO()
    with style.styled(), matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return Image(name, stream.getvalue(), f"{data}: {caption}", caption, width)


def _look(method: str) -> dict[str, object]:
    """A method looks the same on every data set."""
    place = list(METHODS).index(method) if method in METHODS else len(METHODS)
    line = _LINES[place // len(_COLOURS) % len(_LINES)]
    return {"color": _COLOURS[place % len(_COLOURS)], "ls": line, "marker": _MARKERS[place % len(_MARKERS)], "ms": 4.5}


def _evaluations(groups: Sequence[Group]) -> Figure:
    with style.styled():
        figure = style.new_figure(*_SIZE)
        ax = figure.subplots()
        largest = 1
        for place, group in enumerate(groups):
            keys = sorted({k for result in group.done for k in result.mmd_evaluations})
            found = [(k, summarise(group.pairs("mmd", str(k)))) for k in keys]
            found = [(k, summary) for k, summary in found if summary is not None]
            if not found:
                continue
            largest = max(largest, found[-1][0])
            # methods of one evaluation side by side, or one would hide the others
            shift = 1.0 if len(found) > 1 else 1.028 ** (place - len(groups) / 2)
            xs, ys = [k * shift for k, _ in found], [summary.mean for _, summary in found]
            bars = [summary.sd or 0.0 for _, summary in found]
            look = _look(group.method) if len(found) > 1 else {**_look(group.method), "ls": "none"}
            ax.errorbar(xs, ys, bars, lw=1.1, elinewidth=0.7, label=group.title, **look)
        _floor(ax, groups)
        ax.set_xscale("log", base=2)
        ax.set_xlim(0.7, 1.35 * largest)
        ax.set_xticks([2**i for i in range(largest.bit_length())], [str(2**i) for i in range(largest.bit_length())])
        ax.set(xlabel="network evaluations per sample", ylabel="MMD")
        _finish(figure, ax)
    return figure


def molecule_chart(data: DataResults, name: str) -> Image:
    """Share of stable atoms and of strict success against evaluations a molecule."""
    parts = {"atom_stable": "atoms stable, %", "strict": "strict success, %"}
    with style.styled():
        figure = style.new_figure(2 * _SIZE[0], _SIZE[1])
        for ax, (share, label) in zip(figure.subplots(1, 2), parts.items(), strict=True):
            for group in data.groups:
                keys = sorted({k for result in group.done for k in result.molecules})
                found = [summarise(group.molecules(share, k)) for k in keys]
                bars = [100 * (one.se if one.sd is None else one.sd) for one in found]
                ax.errorbar(keys, [100 * one.mean for one in found], bars, lw=1.1, elinewidth=0.7, label=group.title,
                            **_look(group.method))  # fmt: skip
            ax.set_xscale("log")
            ax.set_xticks([1, 2, 4, 8, 20, 100], ["1", "2", "4", "8", "20", "100"])
            ax.minorticks_off()
            ax.set_ylim(0, max(1.0, ax.get_ylim()[1]))
            ax.set(xlabel="network evaluations a molecule", ylabel=label)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(True, color="#e6e6e6", lw=0.5, zorder=-1)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1.0)
    caption = "Mean over seeds, bars: standard deviation, for one seed the standard error over molecules."
    return _image(f"{name}-evaluations.svg", figure, caption, data.name, 2 * _WIDTH)


def _floor(ax: Axes, groups: Sequence[Group]) -> None:
    floors = [pair[0] for group in groups for result in group.done if (pair := result.pair("mmd_floor")) is not None]
    if floors:
        ax.axhline(statistics.fmean(floors), color=style.FAINT, lw=0.8, ls=":", label="training points", zorder=0)


def _training(groups: Sequence[Group]) -> Figure:
    with style.styled():
        figure = style.new_figure(*_SIZE)
        ax = figure.subplots()
        for group in groups:
            xs, ys = zip(*_curve(group), strict=True)
            ax.plot(xs, ys, lw=1.1, label=group.title, **_look(group.method))
        ends = [y for group in groups for _, y in _curve(group)]
        # the first points of a training may lie far above all others
        top = statistics.quantiles(ends, n=20)[-1] if len(ends) > 1 else ends[0]
        low = min(ends)
        ax.set_ylim(low - 0.05 * (top - low) - 1e-3, top + 0.1 * (top - low) + 1e-3)
        ax.set(xlabel="training time, s", ylabel="validation NLL, nats")
        _finish(figure, ax)
    return figure


def _curve(group: Group) -> list[tuple[float, float]]:
    """Mean seconds and mean NLL by the place on the curve, over seeds."""
    curves = [[p for p in r.record["train"].get("curve") or [] if p["nll"] is not None] for r in group.done]
    curves = [points for points in curves if points]
    if not curves:
        return []
    points = zip(*(points[: min(map(len, curves))] for points in curves), strict=True)
    return [(statistics.fmean(p["seconds"] for p in at), statistics.fmean(p["nll"] for p in at)) for at in points]


def _finish(figure: Figure, ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#e6e6e6", lw=0.5, zorder=-1)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1.0)
