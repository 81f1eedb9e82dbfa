"""One step of a Runge–Kutta method in the tangent space of a manifold, and the methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from manifold_gen.errors import IntegrationError
from manifold_gen.manifolds.base import Manifold

FieldWithDivergence = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge–Kutta method: stage i starts at time ``nodes[i]`` from the stages before it.

    ``error`` are weights whose combination of the stages estimates the local error; ``None`` for a method without.
    """

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    order: int
    error: tuple[float, ...] | None = None


TABLEAUX = {
    "euler": Tableau((0.0,), ((),), (1.0,), 1),
    "midpoint": Tableau((0.0, 0.5), ((), (0.5,)), (0.0, 1.0), 2),
    "rk4": Tableau((0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4),
}


@dataclass(frozen=True)
class VolumePath:
    """The end of an integration with its volume change.

    Attributes:
        x: points ``(*batch, *shape)``.
        log_volume: ∫ div v dt along the path, ``(*batch,)``: log|det| of the map from start to end.
        evaluations: as in ``Path``.
    """

    x: Tensor
    log_volume: Tensor
    evaluations: float


def stages(
    field: FieldWithDivergence, manifold: Manifold, x: Tensor, t: Tensor, h: Tensor | float, tableau: Tableau
) -> tuple[list[Tensor], list[Tensor]]:
    """Slopes in the tangent space at ``x`` and divergences of every stage of one step.

    ``h`` is a number, or one step size a point, ``(*batch,)``.
    """
    size = h.reshape(*h.shape, *(1,) * len(manifold.shape)) if isinstance(h, Tensor) else h
    slopes, rates = [], []
    for node, row in zip(tableau.nodes, tableau.stages, strict=True):
        if not any(row):
            v, rate = field(x, t + node * h)
        else:
            u = size * combined(slopes, row)
            v, rate = field(manifold.expmap(x, u), t + node * h)
            v = manifold.dexp_inverse(x, u, v)
        slopes.append(v)
        rates.append(rate)
    return slopes, rates


def combined(terms: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    """Σ weightᵢ termᵢ over the weights that are not zero."""
    parts = [weight * term for weight, term in zip(weights, terms, strict=False) if weight]
    return sum(parts[1:], parts[0])


def check_finite(manifold: Manifold, x: Tensor, log_volume: Tensor) -> None:
    """Refuse points or volumes that are not finite.

    Raises:
        IntegrationError: with how many they are.
    """
    fine = x.flatten(x.dim() - len(manifold.shape)).isfinite().all(-1) & log_volume.isfinite()
    if not bool(fine.all()):
        raise IntegrationError(
            f"integration on {manifold} left {int((~fine).sum())} of {fine.numel()} points not finite: the field is "
            "too steep or not finite; take more steps, or train with a lower learning rate"
        )
