"""SO(3) seen from outside: where one axis of the rotated frame points, and the turn about it as a colour.

Every rotation is R = R_z(λ) R_y(−φ) R_x(τ). Its canonical axis R·e_x = (cos φ cos λ, cos φ sin λ, sin φ) is a place on
the sphere with longitude λ and latitude φ; the tilt τ = atan2(R₃₂, R₃₃) is the turn about that axis, on a circle.
The view is that of Murphy et al. (Implicit-PDF, ICML 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.plotting import style
from manifold_gen.plotting.earth import graticule, longitude_latitude

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


def plot_rotations(
    samples: Tensor, *, data: Tensor | None = None, titles: Sequence[str] = ("data", "model"), size: float = 3.0
) -> Figure:
    """Rotations as dots on Mollweide's map, one dot each: place = canonical axis, colour = tilt about it.

    Args:
        samples: ``(N, 3, 3)`` rotation matrices; a few thousand are enough.
        data: ``(N, 3, 3)``, shown beside the samples on a map of their own.
        titles: of the two maps, where there are two.
        size: area of a dot in square points.

    Raises:
        UsageError: arrays of another shape.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_rotations(torch.eye(3)[None], data=torch.eye(3)[None])
        >>> [axes.get_title() for axes in figure.axes]
        ['data', 'model', '']
    """
    panels = [(titles[1] if data is not None else "", canonical_view(samples, "samples"))]
    if data is not None:
        panels.insert(0, (titles[0], canonical_view(data, "data")))
    with style.styled():
        figure = style.new_figure(style.PAGE if len(panels) == 2 else style.COLUMN, 2.5 if len(panels) == 2 else 2.35)
        axes = figure.subplots(1, len(panels), squeeze=False, subplot_kw={"projection": "mollweide"})[0]
        for ax, (title, (longitude, latitude, tilt)) in zip(axes, panels, strict=True):
            look = {"c": np.degrees(tilt), "cmap": tilt_colours(), "vmin": -180, "vmax": 180}
            dots = ax.scatter(longitude, latitude, s=size, lw=0.0, rasterized=True, zorder=3, **look)
            graticule(ax)
            ax.set_title(title)
        shrink = 0.45 if len(panels) == 2 else 0.8
        bar = figure.colorbar(dots, ax=list(axes), orientation="horizontal", aspect=40, shrink=shrink, pad=0.04)
        bar.set_ticks(list(range(-180, 181, 90)))
        bar.set_label("tilt about the canonical axis (degrees)")
    return figure


def canonical_view(x: Tensor, name: str) -> NDArray[np.float64]:
    """``(3, N)``: longitude and latitude of R·e_x and the tilt τ, in radians; where the map ends, τ jumps by 2π.

    Raises:
        UsageError: arrays that are not ``(N, 3, 3)``.

    Example:
        >>> canonical_view(torch.eye(3)[None], "rotations").ravel().tolist()
        [0.0, 0.0, 0.0]
    """
    if x.dim() != 3 or x.shape[1:] != (3, 3) or len(x) == 0:
        raise UsageError(f"{name} has shape {tuple(x.shape)}, expected (N, 3, 3) rotation matrices with N at least 1")
    place = longitude_latitude(x[:, :, 0], name)
    last = x[:, 2].detach().to("cpu", torch.float64).numpy()
    return np.concatenate([place, np.arctan2(last[:, 1], last[:, 2])[None]])


def tilt_colours() -> Colormap:
    """A closed circle of colours: the ends meet, and quarters differ in lightness or in blue against yellow.

    So the turn can be read by those who confuse red and green: 0° is navy, ±180° yellow, 90° vermilion, −90° sea blue.
    """
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("tilt", ["#F2D13B", "#2FA7B5", "#23205E", "#D55E00", "#F2D13B"])
