"""Highest-density regions of angles in the plane: where 98 % and 99.95 % of the data lie.

For a density p the region of share s is {p ≥ t} with the threshold t for which its mass is s; of all regions of that
mass it is the smallest. MolProbity calls the regions of the reference data with s = 0.98 "favoured" and s = 0.9995
"allowed" (Lovell et al., Proteins 50, 2003, 437).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FAVOURED, ALLOWED = 0.98, 0.9995


def cell_centres(resolution: int) -> NDArray[np.float64]:
    """Centres of ``resolution`` equal cells of [−π, π)."""
    return (np.arange(resolution) + 0.5) * (2 * math.pi / resolution) - math.pi


def smoothed_density(
    angles: NDArray[np.float64], resolution: int = 180, width: float = math.radians(5.0), stages: int = 8
) -> NDArray[np.float64]:
    """Density of angle pairs ``(N, 2)`` per rad² on a grid ``[j, i]`` (second angle, first angle) of cell centres.

    A normal kernel on the torus, in two passes: the first has one width, the second has at each observation the width
    h·(p/g)^(−1/2), p the density of the first pass and g its geometric mean over the data, kept within h/2 and 5h/2
    (Abramson, Ann. Stat. 10, 1982, 1217). So peaks stay sharp and the sparse rim, where the outer contour runs, is not
    broken into islands around single observations. The second pass sorts observations into ``stages`` widths.

    Example:
        >>> import numpy as np
        >>> angles = np.random.default_rng(0).normal(0, 0.5, (2000, 2))
        >>> density = smoothed_density(angles)
        >>> round(float(density.sum() * (2 * np.pi / 180) ** 2), 6)
        1.0
    """
    from scipy.ndimage import gaussian_filter

    cell = 2 * math.pi / resolution
    row, column = _cells(angles, resolution)
    counts = np.zeros((resolution, resolution))
    np.add.at(counts, (row, column), 1.0)
    pilot = gaussian_filter(counts, width / cell, mode="wrap")
    at_data = pilot[row, column]
    widths = width * np.clip((at_data / np.exp(np.log(at_data).mean())) ** -0.5, 0.5, 2.5)
    levels = np.geomspace(0.5 * width, 2.5 * width, stages)
    nearest = np.abs(np.log(widths)[:, None] - np.log(levels)).argmin(1)
    density = np.zeros_like(counts)
    for stage, level in enumerate(levels):
        part = np.zeros_like(counts)
        chosen = nearest == stage
        np.add.at(part, (row[chosen], column[chosen]), 1.0)
        density += gaussian_filter(part, level / cell, mode="wrap")
    return density / (len(angles) * cell**2)


def levels_of_mass(density: NDArray[np.float64], shares: Sequence[float] = (FAVOURED, ALLOWED)) -> list[float]:
    """Thresholds t of a density on equal cells with mass{density ≥ t} = share, one for each share."""
    ordered = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    return [float(ordered[min(np.searchsorted(mass, share), len(ordered) - 1)]) for share in shares]


def levels_of_data(
    density: NDArray[np.float64], angles: NDArray[np.float64], shares: Sequence[float] = (FAVOURED, ALLOWED)
) -> list[float]:
    """Thresholds t for which the given shares of the angle pairs ``(N, 2)`` lie where ``density`` is at least t.

    The contour drawn at t then encloses that share of the observations themselves, as the reference contours do.
    """
    from scipy.ndimage import map_coordinates

    resolution = len(density)
    place = (np.asarray(angles)[:, ::-1].T + math.pi) / (2 * math.pi) * resolution - 0.5
    at_data = map_coordinates(density, place, order=1, mode="grid-wrap")
    return [float(np.quantile(at_data, 1 - share)) for share in shares]


def _cells(angles: NDArray[np.float64], resolution: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    index = np.floor((np.asarray(angles) + math.pi) / (2 * math.pi) * resolution).astype(np.int64) % resolution
    return index[:, 1], index[:, 0]
