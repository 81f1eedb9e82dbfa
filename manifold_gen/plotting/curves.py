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
_ASIDE = {"step", "lr", "gradient_norm", "steps_per_second", "rows_per_second", "elapsed"}
_COLOURS = (style.DATA, style.MODEL, style.THIRD, "#CC79A7", "#56B4E9", "#E69F00", style.INK)
_RATIO = 20.0  # a term whose largest value is this many times its smallest is drawn on a logarithmic axis
_LINEAR = ("loss", "nll")  # in nats, and only by chance positive
_VAL = "val "


def plot_training(metrics: str | Path | Iterable[Record]) -> Figure:
    """Curves over steps: likelihood and loss on a linear axis, what spans orders of magnitude on a logarithmic one.

    A term and its value on the validation rows ("val" before the name, dashed, with dots) have one colour and one axis.
    A term that is 0 throughout is named in the legend only.

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
    terms = list(dict.fromkeys(name.removeprefix(_VAL) for name in series))
    steep = {term for term in terms if _is_steep(term, series)}
    panels = [names for names in ([t for t in terms if t not in steep], [t for t in terms if t in steep]) if names]
    colour = dict(zip(terms, _COLOURS * (1 + len(terms) // len(_COLOURS)), strict=False))
    with style.styled():
        figure = style.new_figure(style.COLUMN, 0.5 + 2.0 * len(panels))
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for ax, names in zip(axes, panels, strict=True):
            _curves(ax, {name: series[name] for name in series if name.removeprefix(_VAL) in names}, colour)
            ax.set_yscale("log" if names[0] in steep else "linear")
            ax.set_ylabel("loss terms" if names[0] in steep else "nats")
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


def _is_steep(term: str, series: Series) -> bool:
    values = [value for name in (term, _VAL + term) if name in series for value in series[name][1]]
    return term not in _LINEAR and min(values) >= 0 and max(values) >= _RATIO * min(values)


def _curves(ax: Axes, series: Series, colour: Mapping[str, str]) -> None:
    for name, (steps, values) in series.items():
        if not any(values):
            ax.plot([], [], lw=0, label=f"{name}: 0")
            continue
        look = {"ls": "--", "marker": "o", "ms": 2.5} if name.startswith(_VAL) else {"ls": "-"}
        ax.plot(steps, values, lw=1.0, color=colour[name.removeprefix(_VAL)], label=name, **look)
    ax.margins(x=0.02)
    ax.spines[["top", "right"]].set_visible(False)
    # above the axes, where no curve runs; the constrained layout makes room
    ax.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1), handlelength=1.4, columnspacing=0.9, borderaxespad=0.2)
