r"""The distribution of a base carried along a vector field, and its likelihood by integrating the divergence.

With :math:`\dot x = v(x, t)` from t = 0 (base) to t = 1 (data),

.. math:: \log p(x_1) = \log p_0(x_0) - \int_0^1 \operatorname{div} v(x_t, t)\, dt,

along the path that ends in x₁ (Chen et al., *Neural ordinary differential equations*, 2018; on manifolds Mathieu and
Nickel, *Riemannian continuous normalizing flows*, 2020).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from manifold_gen import calculus
from manifold_gen.distributions import default_base
from manifold_gen.distributions.base import Distribution, ScoreRecord
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.chunks import CHUNK, at_once, in_chunks
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.networks.velocity import VelocityField
from manifold_gen.ode import Solver, VolumePath, integrate, integrate_with_volume

# How far a point may lie from itself after going to the base and back, in radians or units: beyond it the steps were
# too long for its likelihood to mean anything.
RETURNED = 1e-2
# Points that the steps of the model's solver lose are tried once more with so many for each.
FINER = 4


class ContinuousDistribution(Distribution):
    """What a vector field makes of a base.

    ``solver`` is what every call uses unless it names its own. ``score`` goes to the base and back: its residual is
    how far from itself a point then lies; points that do not return are tried again with shorter steps.

    Args:
        manifold: where data and latents live.
        context: what the field is conditioned on.
        solver: method and steps.
    """

    def __init__(self, manifold: Manifold, context: ContextEmbedding, solver: Solver) -> None:
        super().__init__(manifold)
        self.context, self.solver = context, solver
        self.base = default_base(manifold)

    @abstractmethod
    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Tangent vectors at ``x`` and times ``t`` ``(*batch,)``; ``context`` is embedded already."""

    def velocity_and_divergence(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The field and its Riemannian divergence ``(*batch,)``, exact."""
        return calculus.divergence_by_rows(lambda p: self.velocity(p, t, context), self.manifold, x)

    def coupled(self, z: Tensor, x: Tensor) -> Tensor:
        """Latents ``z`` as training joins them to the data ``x``: as they are, unless a model says otherwise."""
        return z

    # ---- the flow -----------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, context: Tensor | None = None, solver: Solver | None = None) -> Tensor:
        """Data points that the latents ``z`` flow to, shape as ``z``."""
        return self._transport(z, context, solver, 0.0, 1.0)

    def encode(self, x: Tensor, context: Tensor | None = None, solver: Solver | None = None) -> Tensor:
        """Latents that the points ``x`` came from, shape as ``x``."""
        return self._transport(x, context, solver, 1.0, 0.0)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        solver: Solver | None = None,
        chunk: int = CHUNK,
    ) -> Tensor:
        """Draw ``(n, *shape)`` points, ``chunk`` at a time."""
        if n < 0:
            raise UsageError(f"cannot draw n = {n} points; n must be 0 or more")
        z = self.base.sample(n, generator=generator)
        return in_chunks(lambda rows, here: self.decode(rows, here, solver), z, context, chunk)

    def _transport(self, x: Tensor, context: Tensor | None, solver: Solver | None, start: float, end: float) -> Tensor:
        embedded = self.context(context)

        def field(x: Tensor, t: Tensor) -> Tensor:
            return self.velocity(x, t, embedded)

        return integrate(field, self.manifold, x, start, end, solver or self.solver).x

    # ---- likelihood ---------------------------------------------------------------------------------------------

    def log_prob(self, x: Tensor, context: Tensor | None = None, solver: Solver | None = None) -> Tensor:
        """Log-density in nats, ``(*batch,)``, differentiable in ``x`` and the parameters through the solver."""
        path = self.pull_back(x, context, solver)
        return self.base.log_prob(path.x) + path.log_volume

    def pull_back(self, x: Tensor, context: Tensor | None = None, solver: Solver | None = None) -> VolumePath:
        """Latents of ``x`` with the volume change of the way back, data to base."""
        x = self._checked(x)
        embedded = self._matched(x, context)

        def field(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            return self.velocity_and_divergence(x, t, embedded)

        return integrate_with_volume(field, self.manifold, x, 1.0, 0.0, solver or self.solver)

    def score(
        self, x: Tensor, context: Tensor | None = None, solver: Solver | None = None, chunk: int = CHUNK
    ) -> ScoreRecord:
        """``log_prob`` with how far the flow there and back leads away from each point; −inf beyond ``RETURNED``.

        Points that lie further are tried again with ``FINER`` steps for one, unless ``solver`` is given.
        """
        batch = x.shape[: x.dim() - len(self.manifold.shape)]
        rows, chunk = x.reshape(-1, *self.manifold.shape), at_once(self.manifold.shape, chunk)
        context = None if context is None else context.reshape(len(rows), *context.shape[len(batch) :])
        parts = [
            self._score_rows(rows[i : i + chunk], None if context is None else context[i : i + chunk], solver)
            for i in range(0, max(len(rows), 1), chunk)
        ]
        return ScoreRecord(*(torch.cat(column).reshape(batch) for column in zip(*parts, strict=True)))

    @torch.no_grad()
    def round_trip(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Whether data points of ``n`` latents, followed to the base and back, return: ``(n,)`` booleans.

        ``score`` gives −inf to a point that does not, so ∫ exp(log_prob) is the probability that one does. The paths
        alone are followed, without a divergence, which in many dimensions is nearly all of the work.
        """
        z, chunk = self.base.sample(n, generator=generator), at_once(self.manifold.shape)
        returned = []
        for i in range(0, n, chunk):
            here = None if context is None else context[i : i + chunk]
            returned.append(self._returns(self.decode(z[i : i + chunk], here), here))
        return torch.cat(returned) if returned else torch.ones(0, dtype=torch.bool)

    def _returns(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Whether the points ``x`` come back from the base, in the model's steps or in finer ones."""
        returned = self._residual(x, context) <= self._tolerance(x)
        lost = ~returned
        if bool(lost.any()):
            here = None if context is None else context[lost]
            returned[lost] = self._residual(x[lost], here, self._finer()) <= self._tolerance(x[lost])
        return returned

    def _residual(self, x: Tensor, context: Tensor | None, solver: Solver | None = None) -> Tensor:
        """How far from the points ``x`` the flow to the base and back ends, ``(n,)``."""
        return self.manifold.dist(self.decode(self.encode(x, context, solver), context, solver), x)

    def _finer(self) -> Solver:
        return replace(self.solver, steps=FINER * self.solver.steps)

    def _score_rows(self, x: Tensor, context: Tensor | None, solver: Solver | None) -> tuple[Tensor, ...]:
        log_prob, residual, steps = self._there_and_back(x, context, solver)
        lost = residual > self._tolerance(x)
        if solver is None and bool(lost.any()):
            here = None if context is None else context[lost]
            again = self._there_and_back(x[lost], here, self._finer())
            log_prob, residual, steps = (
                old.index_put((lost,), new) for old, new in zip((log_prob, residual, steps), again, strict=True)
            )
        converged = residual <= self._tolerance(x)
        return torch.where(converged, log_prob, -torch.inf), residual, converged, steps

    def _there_and_back(
        self, x: Tensor, context: Tensor | None, solver: Solver | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-density, how far from itself a point returns, and evaluations of the way to the base."""
        path = self.pull_back(x, context, solver)
        with torch.no_grad():
            residual = self.manifold.dist(self.decode(path.x, context, solver), x)
        log_prob = self.base.log_prob(path.x) + path.log_volume
        return log_prob, residual, torch.full_like(residual, path.evaluations).to(torch.int64)

    def _tolerance(self, x: Tensor) -> Tensor:
        tol = x.new_full(x.shape[: x.dim() - len(self.manifold.shape)], RETURNED)
        if self.manifold.log_volume < torch.inf:
            return tol
        return tol * self.manifold.dist(self.manifold.origin(1).to(x), x).detach().clamp_min(1.0)

    def _checked(self, x: Tensor) -> Tensor:
        shape, dtypes = self.manifold.shape, {parameter.dtype for parameter in self.parameters()}
        if tuple(x.shape[max(0, x.dim() - len(shape)) :]) != shape:
            raise UsageError(f"points have shape {tuple(x.shape)}, expected (..., {', '.join(map(str, shape))})")
        if dtypes and x.dtype not in dtypes:
            raise UsageError(f"points are {x.dtype}, the model is {dtypes.pop()}; convert one with .to(...)")
        if not bool(x.isfinite().all()):
            raise UsageError(f"{int((~x.isfinite()).sum())} numbers of the points are NaN or infinite; drop those rows")
        return x

    def _matched(self, x: Tensor, context: Tensor | None) -> Tensor | None:
        """The embedded context, one row a point."""
        embedded = self.context(context)
        if embedded is None:
            return None
        batch = x.shape[: x.dim() - len(self.manifold.shape)]
        return embedded.expand(*batch, embedded.shape[-1])


class NetworkFlow(ContinuousDistribution):
    """The flow of a ``VelocityField``, whose derivatives are carried along by hand.

    Args:
        manifold: where data and latents live.
        field: the network.
        context: what it is conditioned on.
        solver: method and steps.
    """

    def __init__(self, manifold: Manifold, field: VelocityField, context: ContextEmbedding, solver: Solver) -> None:
        super().__init__(manifold, context, solver)
        self.field = field

    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """The network's field."""
        return self.field(x, t, context)

    def velocity_and_divergence(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The field and its divergence in one pass that carries n tangents along; on clouds, in reverse mode."""
        if self.manifold.symmetry == "euclidean":
            return super().velocity_and_divergence(x, t, context)
        v, images = self.field.pushforward(x, calculus.frame(self.manifold, x), t, context)
        return v, calculus.divergence_of(self.manifold, x, v, images)
