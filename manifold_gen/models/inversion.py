r"""Solving g(z) = x on a manifold, by damped Newton steps in tangent coordinates.

A Jacobian takes n derivatives, which in many dimensions is most of the work. There an encoder f that nearly inverts g
comes first: :math:`z \leftarrow z + f(x) - f(g(z))` takes two evaluations a round and shrinks the error by the size of
:math:`1 - Df\,Dg`, until the residual is small enough or falls no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.calculus import TangentMap, jacobian, jacobian_by_rows, log_abs_det, solve
from manifold_gen.manifolds.base import Manifold

# Solved points cost no further step, so that only those without a preimage take many. With 8 steps of 3 halvings 18 of
# 80 test points of a flow were given up whose preimages 16 steps find (docs/benchmarks.md, "The main rivals").
MAX_STEPS = 40
LONGEST_STEP = 1.0
HALVINGS = 8
SHRINK = 0.4
# Dimensions up to which Newton's method costs no more than the fixed point that saves it steps elsewhere.
LARGEST_NEWTON_DIM = 16
ROUNDS = 40  # of the fixed point
SLOWEST = 0.9  # a round that leaves more of the residual than this was the last
CHORDS = 4  # rounds with one Jacobian
BLOCK = 2**16  # numbers of all tangents together that are carried along at once


def tolerance(dtype: torch.dtype) -> float:
    """Largest distance dist(g(z), x) that counts as solved: 1e-5 in single, 1e-10 in double precision."""
    return 1e-10 if dtype == torch.float64 else 1e-5


@dataclass(frozen=True)
class Inverse:
    """What an inversion found, one entry a point.

    Attributes:
        z: the preimages, ``(*batch, *shape)``; the best point seen where not converged.
        log_det: log|det Dg(z)|, ``(*batch,)``.
        residual: dist(g(z), x), ``(*batch,)``.
        steps: Newton steps taken, ``(*batch,)``.
    """

    z: Tensor
    log_det: Tensor
    residual: Tensor
    steps: Tensor


@torch.no_grad()
def invert(
    g: TangentMap,
    manifold: Manifold,
    x: Tensor,
    start: Tensor,
    context: Tensor | None = None,
    max_steps: int = MAX_STEPS,
    tol: Tensor | None = None,
    halvings: int = HALVINGS,
) -> Inverse:
    """Solve g(z) = x from ``start``, for points ``(n, *shape)``.

    Each step solves Dg(z) s = log_{g(z)}(x) in tangent frames, cuts s to length ``LONGEST_STEP`` and shortens it up to
    ``halvings`` times until the residual falls; a point whose residual cannot be lowered stays where it is. Only points
    that are not solved yet are evaluated. ``tol`` ``(n,)`` is the residual that counts as solved, by default
    ``tolerance`` of the precision.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> class Cube:
        ...     def __call__(self, z, context=None):
        ...         return z**3
        ...     def pushforward(self, z, tangents, context=None):
        ...         return z**3, 3 * z**2 * tangents
        >>> found = invert(Cube(), Euclidean(1), torch.tensor([[8.0]]), torch.tensor([[1.8]]))
        >>> found.z, found.steps
        (tensor([[2.]]), tensor([3]))
    """
    z = start.clone()
    y, matrix = blockwise_jacobian(g, manifold, z, context)
    residual, log_det = manifold.dist(y, x), log_abs_det(matrix)
    tol = torch.full_like(residual, tolerance(x.dtype)) if tol is None else tol
    steps = torch.zeros_like(residual, dtype=torch.int64)
    active = torch.arange(len(x), device=x.device)
    lowered = torch.ones_like(active, dtype=torch.bool)  # the others would try the same steps again
    for _ in range(max_steps):
        wanted = lowered & (residual[active] > tol[active])
        active, y, matrix = active[wanted], y[wanted], matrix[wanted]
        if len(active) == 0:
            break
        here = None if context is None else context[active]
        step = _direction(manifold, y, x[active], matrix)
        moved = manifold.expmap(z[active], manifold.from_coordinates(z[active], step))
        y, matrix = blockwise_jacobian(g, manifold, moved, here)
        worse = (~(manifold.dist(y, x[active]) < residual[active])).nonzero().squeeze(-1)
        if len(worse):
            rows, there = active[worse], None if here is None else here[worse]
            shorter = _shortened(g, manifold, z[rows], x[rows], SHRINK * step[worse], residual[rows], there, halvings)
            moved[worse] = shorter
            y[worse], matrix[worse] = blockwise_jacobian(g, manifold, shorter, there)
        found, before = manifold.dist(y, x[active]), residual[active]
        z[active], residual[active], log_det[active] = moved, found, log_abs_det(matrix)
        steps[active] += 1
        lowered = found < before
    return Inverse(z, log_det, residual, steps)


@torch.no_grad()
def chord(
    g: TangentMap,
    manifold: Manifold,
    x: Tensor,
    start: Tensor,
    tol: Tensor,
    context: Tensor | None = None,
    rounds: int = CHORDS,
) -> tuple[Tensor, Tensor]:
    """Latents z ``(n, *shape)`` that g maps near ``x``, and their residuals, from one Jacobian at ``start``.

    Newton's method with that Jacobian held: a round takes one evaluation in place of n + 1, and shrinks the error by
    how much the Jacobian differs at the solution. Each point goes as far as its residual falls.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> from manifold_gen.networks.free_form import FreeFormMap
        >>> g, x = FreeFormMap(Euclidean(2), width=8, depth=1), torch.ones(1, 2)
        >>> z, residual = chord(g, Euclidean(2), x, 0.9 * x, torch.tensor([1e-6]))
        >>> z, residual
        (tensor([[1., 1.]]), tensor([0.]))
    """
    z = start.clone()
    y, matrix = blockwise_jacobian(g, manifold, z, context)
    residual, active = manifold.dist(y, x), torch.arange(len(x), device=x.device)
    for _ in range(rounds):
        wanted = residual[active] > tol[active]
        active, y, matrix = active[wanted], y[wanted], matrix[wanted]
        if len(active) == 0:
            break
        step = _direction(manifold, y, x[active], matrix)
        moved = manifold.expmap(z[active], manifold.from_coordinates(z[active], step))
        y = g(moved, None if context is None else context[active])
        found = manifold.dist(y, x[active])
        better = found < residual[active]
        rows = active[better]
        z[rows], residual[rows] = moved[better], found[better]
        active, y, matrix = rows, y[better], matrix[better]
    return z, residual


@torch.no_grad()
def approach(
    f: TangentMap, g: TangentMap, manifold: Manifold, x: Tensor, tol: Tensor, context: Tensor | None = None
) -> Tensor:
    """Latents z ``(n, *shape)`` that g maps near ``x``: rounds of the fixed point from f(x).

    Each point goes as far as its residual falls.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> g, f = (lambda z, context: 2 * z), (lambda x, context: 0.45 * x)
        >>> x = torch.tensor([[1.0]])
        >>> approach(f, g, Euclidean(1), x, torch.tensor([1e-6]))
        tensor([[0.5000]])
    """
    target = f(x, context)
    z = target.clone()
    y = g(z, context)
    residual, active = manifold.dist(y, x), torch.arange(len(x), device=x.device)
    for _ in range(ROUNDS):
        wanted = residual[active] > tol[active]
        active, y = active[wanted], y[wanted]
        if len(active) == 0:
            break
        here = None if context is None else context[active]
        seen, start = f(y, here), z[active]
        step = manifold.transp(seen, start, manifold.logmap(seen, target[active]))
        moved = manifold.expmap(start, step)
        y = g(moved, here)
        found = manifold.dist(y, x[active])
        better, fast = found < residual[active], found < SLOWEST * residual[active]
        rows = active[better]
        z[rows], residual[rows] = moved[better], found[better]
        active, y = active[fast], y[fast]
    return z


def blockwise_jacobian(
    g: TangentMap, manifold: Manifold, x: Tensor, context: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Images and Jacobians at points ``(n, *shape)``, without gradient, a bounded number of points at a time.

    Above ``LARGEST_NEWTON_DIM`` dimensions in reverse mode.
    """
    if manifold.dim <= LARGEST_NEWTON_DIM or len(x) == 0:
        return jacobian(g, manifold, x, context)
    rows = max(1, BLOCK // (manifold.dim * x[0].numel()))
    parts = [
        jacobian_by_rows(g, manifold, x[i : i + rows], None if context is None else context[i : i + rows])
        for i in range(0, len(x), rows)
    ]
    y, matrix = zip(*parts, strict=True)
    return torch.cat(y), torch.cat(matrix)


def _direction(manifold: Manifold, y: Tensor, x: Tensor, matrix: Tensor) -> Tensor:
    step = solve(matrix, manifold.to_coordinates(y, manifold.logmap(y, x)))
    step = torch.where(step.isfinite().all(-1, keepdim=True), step, torch.zeros_like(step))
    length = torch.linalg.vector_norm(step, dim=-1, keepdim=True)
    return step * (LONGEST_STEP / length.clamp_min(LONGEST_STEP))


def _shortened(
    g: TangentMap,
    manifold: Manifold,
    z: Tensor,
    x: Tensor,
    step: Tensor,
    residual: Tensor,
    context: Tensor | None,
    halvings: int,
) -> Tensor:
    """The first of the points along ``step`` that lowers the residual, else ``z``."""
    moved = z.clone()
    open_ = torch.arange(len(z), device=z.device)
    for _ in range(halvings):
        trial = manifold.expmap(z[open_], manifold.from_coordinates(z[open_], step[open_]))
        image = g(trial, None if context is None else context[open_])
        better = manifold.dist(image, x[open_]) < residual[open_]
        moved[open_[better]] = trial[better]
        open_ = open_[~better]
        if len(open_) == 0:
            break
        step = step * SHRINK
    return moved


def differentiable(
    g: TangentMap, manifold: Manifold, x: Tensor, z: Tensor, context: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The preimage ``z`` and the Jacobian Dg(z) ``(*batch, n, n)`` again, with gradients in x and in the parameters.

    One Newton step from the solved z with the Jacobian held still: it moves nothing, and its derivative is that of the
    implicit function, dz = Dg⁻¹ (dx − ∂g).
    """
    with torch.no_grad():
        _, matrix = jacobian(g, manifold, z, context)
    y = g(z, context)
    step = solve(matrix, manifold.to_coordinates(y, manifold.logmap(y, x)))
    z = manifold.expmap(z, manifold.from_coordinates(z, step))
    return z, jacobian(g, manifold, z, context)[1]
