r"""Dormand and Prince's pair of orders 5 and 4 on a manifold, every point with step sizes of its own.

The step of one point never depends on the others in its batch, so a log-density does not either. A point that has
arrived waits for the rest. (Dormand and Prince, *A family of embedded Runge–Kutta formulae*, 1980.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.errors import IntegrationError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.runge_kutta import FieldWithDivergence, Tableau, VolumePath, check_finite, combined, stages

DORMAND_PRINCE = Tableau(
    nodes=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    stages=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    weights=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    order=5,
    error=(71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
)
FIRST_STEP = 0.05
SAFETY, SMALLEST_FACTOR, LARGEST_FACTOR = 0.9, 0.2, 5.0
# A step of this share of the whole interval means that the field cannot be followed.
SMALLEST_STEP = 1e-6


def integrate_adaptively(
    field: FieldWithDivergence, manifold: Manifold, x: Tensor, start: float, end: float, tolerance: float
) -> VolumePath:
    """As ``ode.integrate_with_volume``, with the local error of every step held below ``tolerance``.

    The error is the larger of those of the point, in geodesic length, and of the log-volume. ``evaluations`` counts
    calls of the field for the whole batch.

    Raises:
        IntegrationError: a step falls below ``SMALLEST_STEP`` of the interval, or a value is not finite.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> grow = lambda x, t: (x, torch.ones_like(t))
        >>> path = integrate_adaptively(grow, Euclidean(1), torch.ones(1), 0.0, 1.0, 1e-6)
        >>> path.x, round(float(path.log_volume), 4)
        (tensor([2.7183]), 1.0)
    """
    batch, span = x.shape[: x.dim() - len(manifold.shape)], end - start
    axes = (1,) * len(manifold.shape)
    done, size = x.new_zeros(batch), x.new_full(batch, FIRST_STEP)
    log_volume, calls = x.new_zeros(batch), 0
    while bool((done < 1).any()):
        h = span * torch.minimum(size, 1 - done)
        slopes, rates = stages(field, manifold, x, start + span * done, h, DORMAND_PRINCE)
        calls += len(slopes)
        wide = h.reshape(*batch, *axes)
        with torch.no_grad():
            error = _error(manifold, x, wide, h, slopes, rates) / tolerance
            accepted = (error <= 1) & (done < 1)
            factor = (SAFETY * error.clamp_min(1e-10) ** -0.2).clamp(SMALLEST_FACTOR, LARGEST_FACTOR)
        moved = manifold.expmap(x, wide * combined(slopes, DORMAND_PRINCE.weights))
        x = torch.where(accepted.reshape(*batch, *axes), moved, x)
        log_volume = torch.where(accepted, log_volume + h * combined(rates, DORMAND_PRINCE.weights), log_volume)
        left = 1 - done - h / span
        size = torch.where(done < 1, (h / span) * factor, size)
        done = torch.where(accepted, torch.where(left < SMALLEST_STEP, 1.0, 1 - left), done)
        _check_step(size, done, start, span, manifold)
    check_finite(manifold, x, log_volume)
    return VolumePath(x, log_volume, calls)


def _error(manifold: Manifold, x: Tensor, wide: Tensor, h: Tensor, slopes: list[Tensor], rates: list[Tensor]) -> Tensor:
    """Estimated local error of each point, ``(*batch,)``; infinite where the field is not finite."""
    place = manifold.norm(x, wide * combined(slopes, DORMAND_PRINCE.error))
    volume = (h * combined(rates, DORMAND_PRINCE.error)).abs()
    return torch.nan_to_num(torch.maximum(place, volume), nan=torch.inf)


def _check_step(size: Tensor, done: Tensor, start: float, span: float, manifold: Manifold) -> None:
    stuck = (size < SMALLEST_STEP) & (done < 1)
    if bool(stuck.any()):
        time = start + span * float(done[stuck].min())
        raise IntegrationError(
            f"the step size underflowed at {int(stuck.sum())} of {stuck.numel()} points on {manifold}, first at time "
            f"{time:.4g}: the field is too steep there; raise the tolerance, use a fixed method such as rk4, or train "
            "with a lower learning rate or a larger kinetic penalty"
        )
