"""The whole sphere on one equal-area map: Mollweide's projection with a labelled graticule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.plotting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def longitude_latitude(x: Tensor, name: str) -> NDArray[np.float64]:
    """``(2, N)`` longitudes and latitudes in radians of unit vectors ``(N, 3)``; the north pole is (0, 0, 1).

    λ = atan2(y, x), φ = atan2(z, √(x² + y²)), which is as accurate at the poles as at the equator.

    Raises:
        UsageError: points of another shape.

    Example:
        >>> longitude_latitude(torch.tensor([[0.0, 1.0, 0.0]]), "points").round(4).tolist()
        [[1.5708], [0.0]]
    """
    if x.dim() != 2 or x.shape[1] != 3 or len(x) == 0:
        raise UsageError(f"{name} has shape {tuple(x.shape)}, expected (N, 3) unit vectors with N at least 1")
    east, north, up = x.detach().to("cpu", torch.float64).numpy().T
    return np.stack([np.arctan2(north, east), np.arctan2(up, np.hypot(east, north))])


def graticule(ax: Axes, step: int = 30, label_every: int = 60) -> None:
    """Meridians and parallels every ``step`` degrees; longitudes along the equator, latitudes at the rim."""
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import NullFormatter

    ax.set_longitude_grid(step)
    ax.set_latitude_grid(step)
    ax.set_longitude_grid_ends(90)
    ax.xaxis.set_major_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(lambda angle, _: degree_label(math.degrees(angle), "N", "S"))
    ax.grid(True, color=style.FAINT, linewidth=0.35, alpha=0.8)
    ax.tick_params(length=0)
    for longitude in range(-180 + label_every, 180, label_every):
        text = ax.text(
            math.radians(longitude), 0.0, degree_label(longitude, "E", "W"), ha="center", va="center", size=7
        )
        text.set(color=style.INK, zorder=4, path_effects=[withStroke(linewidth=1.6, foreground="white")])


def degree_label(angle: float, positive: str, negative: str) -> str:
    """``60°N``, ``60°S`` or ``0°``.

    Example:
        >>> degree_label(-60.0, "N", "S"), degree_label(0.0, "E", "W")
        ('60°S', '0°')
    """
    whole = round(angle)
    return f"{abs(whole)}°" + (positive if whole > 0 else negative if whole < 0 else "")
