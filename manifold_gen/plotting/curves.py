"""How a training went: every term of the loss under its own name, and the validation beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.errors import DataError
from manifold_gen.plotting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = dict[str, tuple[list[float], list[float]]]
Record = Mapping[str, object]

# what a record holds beside terms of the loss
_ASIDE = {"step", "lr", "gradient_norm", "steps_per_second", "elapsed"}
_COLOURS = (style.DATA, style.MODEL, style.THIRD, "#CC79A7", "#56B4E9", "#E69F00", style.INK)
_RATIO = 20.0  # a term whose largest value is this many times its smallest is drawn on a logarithmic axis


def plot_training(metrics: str | Path | Iterable[Record]) -> Figure:
    """Curves over steps: on a linear axis, and on a logarithmic one what falls by more than a factor of 20 to above 0.

    Validation values ("val" before the name) are drawn with dots, because there are few of them.

    Args:
        metrics: a run folder, its ``metrics.jsonl``, or the records themselves: ``step`` and one number a name.

    Raises:
        DataError: the file is missing or malformed (with the line), or holds no numbers.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> records = [{"step": s, "nll": 0.5 - s / 99, "reconstruction": 10.0 ** (-s / 25)} for s in range(100)]
        >>> [axes.get_yscale() for axes in plot_training(records).axes]
        ['linear', 'log']
    """
    records = read_metrics(metrics) if isinstance(metrics, str | Path) else list(metrics)
    series = collect(records)
    if not series:
        raise DataError("there is nothing to draw: no record holds a step and a finite number beside it")
    steep = {name for name, (_, values) in series.items() if min(values) > 0 and max(values) > _RATIO * min(values)}
    panels = [names for names in ([n for n in series if n not in steep], [n for n in series if n in steep]) if names]
    with style.styled():
        figure = style.new_figure(style.COLUMN, 0.5 + 2.0 * len(panels))
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        colour = dict(zip(series, _COLOURS * (1 + len(series) // len(_COLOURS)), strict=False))
        for ax, names in zip(axes, panels, strict=True):
            _curves(ax, {name: series[name] for name in names}, colour)
            ax.set_yscale("log" if names[0] in steep else "linear")
        axes[-1].set_xlabel("optimiser step")
    return figure


def read_metrics(path: str | Path) -> list[dict[str, object]]:
    """Records of a ``metrics.jsonl``, or of the one in a run folder; a last line cut off by a crash is left out.

    Raises:
        DataError: the file is missing, or a line before the last is not a JSON object.
    """
    path = Path(path)
    path = path / "metrics.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a run folder or its metrics.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as cause:
            if number == len(lines):
                break
            raise DataError(f"{path}, line {number}: not a JSON object ({cause}); the file was altered") from cause
        records.append(record)
    return records


def collect(records: Iterable[Record]) -> Series:
    """Steps and values of every finite number by name, in order of first appearance; validation apart from training.

    Example:
        >>> collect([{"step": 1, "nll": 2.0, "lr": 0.1}, {"step": 1, "split": "val", "nll": 2.5}])
        {'nll': ([1.0], [2.0]), 'val nll': ([1.0], [2.5])}
    """
    series: Series = {}
    for record in records:
        for name, value in record.items():
            if name in _ASIDE or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                place = f"val {name}" if record.get("split") == "val" else name
                steps, values = series.setdefault(place, ([], []))
                steps.append(float(record["step"]))
                values.append(float(value))
    return series


def _curves(ax: Axes, series: Series, colour: Mapping[str, str]) -> None:
    for name, (steps, values) in series.items():
        few = name.startswith("val") or len(values) < 20
        ax.plot(steps, values, lw=1.0, marker="o" if few else "", ms=2.5, color=colour[name], label=name)
    ax.set_ylabel("loss terms and NLL (nats)" if ax.get_subplotspec().rowspan.start == 0 else "loss terms")
    ax.margins(x=0.02)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(ncols=2 if len(series) > 3 else 1)
