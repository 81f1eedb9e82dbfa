"""Generated sets with an exact density: mixtures and shapes on SO(3), mixtures on H², checkerboards on all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data import draws
from manifold_gen.data.assemble import assemble
from manifold_gen.data.base import Dataset
from manifold_gen.data.formats import make_format
from manifold_gen.data.registry import Source
from manifold_gen.distributions import (
    Distribution,
    SwissRoll,
    hyperbolic_checkerboard,
    hyperbolic_mixture,
    so3_checkerboard,
    so3_cone,
    so3_cube,
    so3_line,
    so3_mixture,
    so3_peak,
    sphere_checkerboard,
    torus_checkerboard,
)

_SPARE = 100
_LICENCE = "generated: none"


@dataclass(frozen=True)
class _Recipe:
    """A density, how many points are drawn from it, and whether it falls to 0 at the edges of cells."""

    density: Callable[[], Distribution]
    manifold: str
    rows: int
    origin: str
    edges: bool = True


_RECIPES = {
    **{
        f"so3_mixture_{k}": _Recipe(
            partial(so3_mixture, k),
            "so3",
            50_000,
            f"mixture of {k} wrapped normals on SO(3), after Rozen et al. 2021",
            edges=False,
        )
        for k in (16, 32, 64)
    },
    "checkerboard_s2": _Recipe(sphere_checkerboard, "sphere:2", 100_000, "every other one of 8 × 4 equal cells of S²"),
    "checkerboard_t2": _Recipe(torus_checkerboard, "torus:2", 100_000, "every other one of 4 × 4 equal cells of T²"),
    "swiss_roll": _Recipe(SwissRoll, "euclidean:2", 50_000, "two-dimensional Swiss roll, noise 0.06", edges=False),
    "checkerboard_so3": _Recipe(so3_checkerboard, "so3", 100_000, "every other one of 4 × 2 × 4 equal cells of SO(3)"),
    **{
        f"so3_{shape}": _Recipe(density, "so3", 50_000, origin, edges=False)
        for shape, density, origin in (
            ("peak", so3_peak, "one narrow peak on SO(3)"),
            ("line", so3_line, "a piece of a geodesic of SO(3), 2° wide"),
            ("cone", so3_cone, "the orientations of a cone, 2° wide: a closed geodesic of SO(3)"),
            ("cube", so3_cube, "the 24 orientations of a cube, 3° wide"),
        )
    },
    **{
        f"hyperbolic_mixture_{letter}": _Recipe(
            partial(hyperbolic_mixture, k), "poincare:2", 50_000, f"mixture of {k} wrapped normals on H²", edges=False
        )
        for letter, k in (("a", 5), ("b", 12))
    },
    "hyperbolic_checkerboard": _Recipe(
        hyperbolic_checkerboard, "poincare:2", 100_000, "every other one of 8 × 4 equal cells of a disc of H²"
    ),
}


def load_generated(
    name: str,
    *,
    split_seed: int = 0,
    dtype: torch.dtype = torch.float32,
    size: int | None = None,
    draw_seed: int = 0,
) -> Dataset:
    """A generated set, with its exact density.

    Args:
        size: number of points; default as listed.
        draw_seed: of the points; the density does not depend on it.
    """
    recipe = _RECIPES[name]
    density = recipe.density()
    rows = recipe.rows if size is None else size
    generator = seeds.generator(draw_seed, *name.encode())
    points = drawn(density, rows, generator, edges=recipe.edges)
    info = {
        "origin": recipe.origin,
        "licence": _LICENCE,
        "draw_seed": draw_seed,
        "split_seed": split_seed,
        "format": make_format(recipe.manifold).to_dict(),
    }
    index = draws.split_index(rows, split_seed)
    return assemble(name, density.manifold, points, index, dtype=dtype, density=density.to(dtype), info=info)


def drawn(density: Distribution, count: int, generator: torch.Generator, *, edges: bool) -> Tensor:
    """``count`` float64 points.

    Where the density has edges, a point within a rounding of one may round into an empty cell, where its log-density is
    −∞; such points, about one in a million, are left out.
    """
    spare = _SPARE if edges else 0
    points = density.to(torch.float64).sample(count + spare, generator=generator)
    points = density.manifold.projx(points)
    if not edges:
        return points
    exact = density.log_prob(points)
    rounded = density.to(torch.float32).log_prob(points.to(torch.float32))
    return points[torch.isfinite(rounded) & torch.isfinite(exact)][:count]


SOURCES = tuple(
    Source(name, recipe.manifold, recipe.rows, recipe.origin, _LICENCE, partial(load_generated, name))
    for name, recipe in _RECIPES.items()
)
