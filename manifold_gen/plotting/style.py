"""The look of every figure: a column is 3.5 in wide, no letter is below 7 pt, colours survive colour blindness.

Figures are plain ``matplotlib.figure.Figure`` objects drawn with Agg. ``pyplot`` is never imported, so no backend is
chosen, no window opens and no figure stays behind in a global list; the settings hold inside ``styled`` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.errors import MissingExtraError, RunFolderError

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

COLUMN = 3.5  # inches, the width of one journal column
PAGE = 7.2  # inches, both columns

DATA = "#0072B2"  # Okabe and Ito's colour-blind safe blue, orange and green
MODEL = "#D55E00"
THIRD = "#009E73"
INK = "#1a1a1a"
SAMPLE = "#00A693"
FAINT = "#9a9a9a"

SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same figure on every machine
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "legend.frameon": False,
    "figure.dpi": 150.0,
    "savefig.dpi": 300.0,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "image.origin": "lower",
}


@contextmanager
def styled() -> Iterator[None]:
    """Hold the figure settings while a figure is built or saved, and leave matplotlib as it was.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as cause:
        raise MissingExtraError(
            "figures need matplotlib, which is not installed; install it with: pip install manifold-gen[plot]"
        ) from cause
    with matplotlib.rc_context(SETTINGS):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width × height`` inches whose parts are kept from overlapping; call it inside ``styled``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def density_colours() -> Colormap:
    """White where there is nothing and dark at the peaks, so that lines and points stay visible; even in lightness.

    The upper six sevenths of ``magma``, whose pale end is faded to white.
    """
    import matplotlib
    import numpy as np
    from matplotlib.colors import ListedColormap

    place = np.linspace(0, 1, 256)
    magma = matplotlib.colormaps["magma_r"](np.arange(256))[:, :3].T
    colours = np.stack([np.interp(0.86 * place, place, channel) for channel in magma], 1)
    white = np.clip(1 - place / 0.3, 0, 1)[:, None]
    return ListedColormap(white + (1 - white) * colours, name="density")


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format that ``path`` ends in: ``.pdf`` and ``.svg`` are vectors, ``.png`` has 300 dpi.

    Folders are made as needed.

    Raises:
        RunFolderError: the file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from manifold_gen.plotting import plot_torus, save_figure
        >>> figure = plot_torus(lambda x: torch.cos(x).sum(-1), resolution=20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_figure(figure, folder + "/figures/angles.png").name
        'angles.png'
    """
    path = Path(path)
    with styled():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # without a date two runs of one seed write the same bytes
            figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
        except OSError as cause:
            raise RunFolderError(f"cannot write the figure {path}: {cause}; choose another place") from cause
    return path
