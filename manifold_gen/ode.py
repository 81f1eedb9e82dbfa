r"""Integration of vector fields on manifolds, with the change of volume along the way.

A step of size h from x solves the equation in the chart exp_x of the tangent space at x. There the field reads
:math:`\dot u = (d\exp_x)_u^{-1}\, v(\exp_x(u), t),\ u(0) = 0`, an equation in a vector space, to which any classical
Runge–Kutta method applies with its order unchanged; the result exp_x(u) lies on the manifold whatever the step was.
Stages of a method are joined by geodesics, so Euler's method is the geodesic step exp_x(h v).
(Munthe-Kaas, *High order Runge–Kutta methods on manifolds*, 1999, for the same idea on Lie groups.)

The volume change of the flow obeys d/dt log|det| = div v, which is integrated by the same stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.adaptive import integrate_adaptively
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.runge_kutta import TABLEAUX, FieldWithDivergence, VolumePath, check_finite, combined, stages

Field = Callable[[Tensor, Tensor], Tensor]


METHODS = (*TABLEAUX, "adaptive")


@dataclass(frozen=True)
class Solver:
    """How to integrate.

    Attributes:
        method: ``"euler"``, ``"midpoint"``, ``"rk4"`` with a fixed number of ``steps``, or ``"adaptive"`` (Dormand and
            Prince's pair of orders 5 and 4, each point with steps of its own).
        steps: equal steps of the fixed methods.
        tolerance: local error of the adaptive method, in geodesic distance and in log-volume.

    Raises:
        UsageError: an unknown method, no step, or a tolerance that is not positive.

    Example:
        >>> Solver("midpoint", steps=10).evaluations
        20
    """

    method: str = "rk4"
    steps: int = 32
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"the solver's method is {self.method!r}; expected one of {', '.join(METHODS)}")
        if self.steps < 1:
            raise UsageError(f"the solver takes {self.steps} steps; expected at least 1")
        if not self.tolerance > 0:
            raise UsageError(f"the solver's tolerance is {self.tolerance}; expected a positive number")

    @property
    def evaluations(self) -> int | None:
        """Evaluations of the field for one integration; ``None`` where the method decides as it goes."""
        return None if self.method == "adaptive" else self.steps * len(TABLEAUX[self.method].nodes)


@dataclass(frozen=True)
class Path:
    """The end of an integration.

    Attributes:
        x: points ``(*batch, *shape)``.
        evaluations: evaluations of the field, the mean over the points where each has its own steps.
    """

    x: Tensor
    evaluations: float


def integrate(
    field: Field, manifold: Manifold, x: Tensor, start: float = 0.0, end: float = 1.0, solver: Solver | None = None
) -> Path:
    """Follow ``field`` from ``x`` at time ``start`` to time ``end``, which may lie before it.

    Args:
        field: tangent vectors at points ``(*batch, *shape)`` and times ``(*batch,)``.
        manifold: where the points live.
        x: points ``(*batch, *shape)``.
        start, end: times.
        solver: method and steps.

    Raises:
        IntegrationError: a value is not finite, or the adaptive step underflows.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> turn = lambda x, t: torch.ones_like(x)
        >>> integrate(turn, Torus(1), torch.zeros(1)).x
        tensor([1.])
    """

    def without(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return field(x, t), torch.zeros_like(t)

    path = integrate_with_volume(without, manifold, x, start, end, solver)
    return Path(path.x, path.evaluations)


def integrate_with_volume(
    field: FieldWithDivergence,
    manifold: Manifold,
    x: Tensor,
    start: float = 0.0,
    end: float = 1.0,
    solver: Solver | None = None,
) -> VolumePath:
    """``integrate`` for a field that returns its divergence ``(*batch,)`` beside itself.

    Raises:
        IntegrationError: as ``integrate``.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> grow = lambda x, t: (x, torch.full_like(t, 2.0))
        >>> path = integrate_with_volume(grow, Euclidean(2), torch.ones(2))
        >>> path.x, path.log_volume  # e, and 2
        (tensor([2.7183, 2.7183]), tensor(2.))
    """
    solver = solver or Solver()
    if solver.method == "adaptive":
        return integrate_adaptively(field, manifold, x, start, end, solver.tolerance)
    batch = x.shape[: x.dim() - len(manifold.shape)]
    tableau, h = TABLEAUX[solver.method], (end - start) / solver.steps
    log_volume = x.new_zeros(batch)
    for step in range(solver.steps):
        slopes, rates = stages(field, manifold, x, x.new_full(batch, start + step * h), h, tableau)
        x = manifold.expmap(x, h * combined(slopes, tableau.weights))
        log_volume = log_volume + h * combined(rates, tableau.weights)
    check_finite(manifold, x, log_volume)
    return VolumePath(x, log_volume, solver.evaluations)
