"""Checks of points before anything is trained or scored on them. Each failure is one ``DataError``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from manifold_gen.data.faults import Fault, Rows, all_rows, nonfinite
from manifold_gen.errors import DataError
from manifold_gen.manifolds.base import Manifold

# How far off the manifold a coordinate may be, relative to max(1, largest coordinate of the point): mended in silence
# up to here, an error beyond.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
_MANY_REPEATS = 0.01
_SMALLEST_SET = 3
_SPREADS = (0.02, 50.0)  # standard deviations of flat coordinates that training from a unit normal copes with


def check_points(
    x: Tensor | np.ndarray | Sequence[object],
    manifold: Manifold,
    *,
    project: bool = False,
    on_bad_row: str = "error",
    name: Callable[[int], str] | None = None,
) -> Tensor:
    """Points ``(N, *manifold.shape)`` that are finite and on the manifold.

    Integers become the default floating type; half precision is refused. Deviations from the manifold up to 1e-3
    (float32) or 1e-6 (float64) are mended by projection, larger ones with ``project=True`` only. Angles of a torus are
    wrapped to [−π, π).

    Args:
        x: array or tensor.
        manifold: where the points should lie.
        project: put points that are far off onto the manifold instead of refusing them.
        on_bad_row: ``"error"``, or ``"drop"`` to leave bad rows out with a warning.
        name: how to call row i in messages.

    Raises:
        DataError: what was given, what was expected, what to do.

    Example:
        >>> from manifold_gen.manifolds.torus import Torus
        >>> check_points([[0.0, 4.0]], Torus(2))
        tensor([[ 0.0000, -2.2832]])
        >>> check_points([[0.0, float("nan")]], Torus(2))
        Traceback (most recent call last):
        ...
        manifold_gen.errors.DataError: 1 of 1 rows have NaN, infinite or missing values (row 0); ...
    """
    points = as_float(x)
    check_shape(points, manifold)
    rows = all_rows(len(points), name, on_bad_row)
    keep = rows.settle(nonfinite(points))
    return clean(points[keep], manifold, rows.keep(keep), TOLERANCE[points.dtype], project=project)[0]


def as_float(x: Tensor | np.ndarray | Sequence[object]) -> Tensor:
    """A float32 or float64 tensor; integers become the default type, anything else is a ``DataError``."""
    if not isinstance(x, Tensor):
        array = np.asarray(x)
        if array.dtype.kind not in "biufc":
            raise DataError(f"points have dtype {array.dtype} (text or objects); expected numbers")
        listed = not isinstance(x, np.ndarray) and array.dtype.kind == "f"
        x = torch.from_numpy(array.copy()).to(torch.get_default_dtype() if listed else None)
    if x.dtype in TOLERANCE:
        return x
    if x.dtype in (torch.float16, torch.bfloat16):
        raise DataError(f"points have dtype {x.dtype}, which keeps 2 to 3 digits; convert them with x.float()")
    if x.dtype == torch.bool or x.is_complex() or x.is_floating_point():
        raise DataError(f"points have dtype {x.dtype}; expected float32 or float64")
    return x.to(torch.get_default_dtype())


def check_shape(points: Tensor, manifold: Manifold) -> None:
    """``DataError`` unless ``points`` is ``(N, *manifold.shape)`` with N ≥ 1."""
    given, shape = tuple(points.shape), tuple(manifold.shape)
    if points.dim() >= 1 and given[1:] == shape:
        if given[0] == 0:
            raise DataError(f"0 points were given (shape {given}); expected at least one")
        return
    wanted = ", ".join(["N", *map(str, shape)])
    fits = points.numel() > 0 and points.numel() % math.prod(shape) == 0
    remedy = f"reshape with x.reshape({', '.join(['-1', *map(str, shape)])})" if fits else "check the columns"
    raise DataError(f"points of {manifold} have shape {given}, expected ({wanted}); {remedy}")


def clean(points: Tensor, manifold: Manifold, rows: Rows, tolerance: float, *, project: bool) -> tuple[Tensor, Rows]:
    """Points put onto the manifold, and the rows they came from; see ``check_points``."""
    for fault in _faults(points, manifold, tolerance, project=project):
        if bool(fault.bad.any()):
            keep = rows.settle(fault)
            return clean(points[keep], manifold, rows.keep(keep), tolerance, project=project)
    return manifold.projx(points), rows


def _faults(points: Tensor, manifold: Manifold, tolerance: float, *, project: bool) -> list[Fault]:
    """What is wrong with the points, factor by factor; the first fault with bad rows is the one to report."""
    faults = []
    flat, start = points.flatten(1), 0
    for factor in manifold.factors:
        size = math.prod(factor.shape)
        part = flat[:, start : start + size].reshape(len(points), *factor.shape)
        start += size
        family = factor.spec.partition(":")[0]
        if family == "torus":  # every angle is a point: wrapping mends all
            warn_if_degrees(part)
            continue
        if family == "so3":
            faults.append(_reflections(part))
        faults.extend(_deviations(part, factor, tolerance, project=project))
    return faults


def _reflections(matrices: Tensor) -> Fault:
    determinant = torch.linalg.det(matrices)
    what = f"a matrix of negative determinant, a reflection and no rotation (lowest {float(determinant.min()):.3g})"
    return Fault(determinant < 0, what, "a rotation has determinant +1: check the handedness of the axes")


def _deviations(points: Tensor, manifold: Manifold, tolerance: float, *, project: bool) -> list[Fault]:
    nearest = manifold.projx(points)
    nowhere = ~torch.isfinite(nearest).flatten(1).all(1)
    lost = Fault(nowhere, f"a zero vector or another array that has no nearest point on {manifold}", "correct them")
    if project:
        return [lost]
    scale = points.flatten(1).abs().amax(1).clamp(min=1.0)
    deviation = (nearest - points).flatten(1).abs().amax(1) / scale
    bad = deviation > tolerance
    largest = float(deviation[~nowhere].max()) if bool((~nowhere).any()) else 0.0
    what = f"a point off {manifold} (largest deviation {largest:.3g}, allowed {tolerance:.0e})"
    return [lost, Fault(bad, what, "check the columns and units, put them on it with project=True (--project)")]


def warn_if_degrees(angles: Tensor) -> None:
    """Warn where angles that were said to be radians are larger than 2π: they look like degrees."""
    largest = float(angles.abs().max()) if angles.numel() else 0.0
    if largest > 2 * math.pi:
        warnings.warn(
            f"angles up to {largest:.4g} in radians look like degrees; if they are, say units='degrees' "
            "(--units degrees)",
            stacklevel=2,
        )


def warn_if_repeated(points: Tensor) -> None:
    """Warn where all points are equal, or where more than 1 % of them repeat another one."""
    total = len(points)
    distinct = len(torch.unique(points.flatten(1), dim=0))
    if total > 1 and distinct == 1:
        warnings.warn(f"all {total} points are equal; a density fitted to them has no limit", stacklevel=2)
    elif total - distinct > _MANY_REPEATS * total:
        warnings.warn(
            f"{total - distinct} of {total} points repeat another point: a likelihood on them has no upper limit and "
            "training and test parts share points; remove the repeats or add noise of the rounding width",
            stacklevel=2,
        )


def warn_if_out_of_scale(points: Tensor, manifold: Manifold) -> None:
    """Warn where flat coordinates are spread far more or less than the unit normal that models start from."""
    start, spreads = 0, []
    for factor in manifold.factors:
        size = math.prod(factor.shape)
        if factor.spec.partition(":")[0] == "euclidean":
            spreads += points.flatten(1)[:, start : start + size].double().std(0).tolist()
        start += size
    if spreads and not (_SPREADS[0] <= min(spreads) and max(spreads) <= _SPREADS[1]):
        warnings.warn(
            f"coordinates of {manifold} have standard deviations from {min(spreads):.3g} to {max(spreads):.3g}; models "
            "start from 1 and may not reach them: shift and scale the columns to about 1 (densities are per unit of "
            "the columns as given)",
            stacklevel=2,
        )


def check_splittable(count: int) -> None:
    """``DataError`` where there are too few rows for a training, a validation and a test part."""
    if count < _SMALLEST_SET:
        rows = "1 row" if count == 1 else f"{count} rows"
        raise DataError(f"{rows} cannot be split into training, validation and test parts; give at least 3")
