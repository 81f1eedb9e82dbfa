"""Densities on a grid, for the pictures of a report."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen.distributions.base import Distribution, Sampler
from manifold_gen.manifolds.base import Manifold

ROWS = 48
Grid = dict[str, object]


def density_grid(model: Sampler, manifold: Manifold) -> Grid | None:
    """Log-density at the centres of equal cells, where the manifold has a flat picture and the model a density.

    ``kind`` is ``"angles"`` (T², both from −π to π; rows are the second angle) or ``"lonlat"`` (S², longitude −π to π
    along a row, rows from latitude −π/2 to π/2); ``log_density`` is row by row, in nats with respect to the manifold's
    volume, ``None`` where it is not finite.

    Example:
        >>> from manifold_gen.distributions import Uniform
        >>> from manifold_gen.manifolds import Torus
        >>> found = density_grid(Uniform(Torus(2)), Torus(2))
        >>> found["kind"], found["rows"], found["columns"], found["log_density"][0]
        ('angles', 48, 48, -3.676)
    """
    chart = _CHARTS.get(manifold.spec)
    if chart is None or not isinstance(model, Distribution):
        return None
    kind, columns, points = chart
    with torch.no_grad():
        values = model.score(points(columns)).log_prob
    shown = [round(value, 3) if math.isfinite(value) else None for value in values.tolist()]
    return {"kind": kind, "rows": ROWS, "columns": columns, "log_density": shown}


def _angles(columns: int) -> Tensor:
    second, first = torch.meshgrid(_centres(ROWS, math.pi), _centres(columns, math.pi), indexing="ij")
    return torch.stack([first, second], -1).reshape(-1, 2)


def _places(columns: int) -> Tensor:
    latitude, longitude = torch.meshgrid(_centres(ROWS, math.pi / 2), _centres(columns, math.pi), indexing="ij")
    x, y = latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin()
    return torch.stack([x, y, latitude.sin()], -1).reshape(-1, 3)


def _centres(count: int, end: float) -> Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (2 * end / count) - end


_CHARTS: dict[str, tuple[str, int, Callable[[int], Tensor]]] = {
    "torus:2": ("angles", ROWS, _angles),
    "sphere:2": ("lonlat", 2 * ROWS, _places),
}
