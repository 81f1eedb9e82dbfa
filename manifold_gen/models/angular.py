"""What the models of points made of angles have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen.distributions.base import Distribution
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.base import GenerativeModel
from manifold_gen.networks.context import ContextEmbedding

CHUNK = 16_384


class AngularModel(GenerativeModel, Distribution):
    """A density of n angles in closed form, trained by maximum likelihood.

    A derived class gives the two methods on rows of angles, ``_log_prob_rows`` and ``_sample_rows``; shapes, contexts
    and chunks are taken care of here.

    Args:
        manifold: a torus, or a product of tori: its ``period`` is 2π.
        context: what the model is conditioned on.

    Raises:
        UsageError: a manifold whose points are not angles.
    """

    def __init__(self, manifold: Manifold, context: ContextEmbedding) -> None:
        super().__init__(manifold)
        if manifold.period is None or not math.isclose(manifold.period, 2 * math.pi):
            raise UsageError(
                f"{type(self).__name__} models angles, and points of {manifold} are not (all) angles; give it "
                "torus:n, or take a model for every manifold, such as free-form-flow or flow-matching"
            )
        self.context = context

    @property
    @abstractmethod
    def evaluations(self) -> int:
        """Network evaluations, one after the other, that a sample takes."""

    @abstractmethod
    def _log_prob_rows(self, x: Tensor, context: Tensor | None) -> Tensor:
        """``(rows,)`` from angles ``(rows, n)`` and the embedded context."""

    @abstractmethod
    def _sample_rows(self, rows: int, context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """``(rows, n)`` angles in [−π, π)."""

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``nll``: the negative log-likelihood."""
        return {"nll": -self.log_prob(x, context)}

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density in nats, ``(*batch,)``, of angles ``(*batch, n)``; exact.

        Raises:
            UsageError: points of another shape or precision than the model's, or not finite; a context that is
                missing, superfluous or of another shape.
        """
        self._check(x)
        rows, here = self._rows(x, context)
        return self._log_prob_rows(rows, here).reshape(x.shape[:-1])

    @torch.no_grad()
    def sample(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None, chunk: int = CHUNK
    ) -> Tensor:
        """Draw ``(n, angles)`` points, ``chunk`` at a time so that memory is bounded; exact."""
        if n < 0:
            raise UsageError(f"cannot draw n = {n} points; n must be 0 or more")
        here = self.context(context)
        if here is not None:
            here = here.expand(n, here.shape[-1])
        parts = [
            self._sample_rows(min(chunk, n - i), None if here is None else here[i : i + chunk], generator)
            for i in range(0, max(n, 1), chunk)
        ]
        return torch.cat(parts)

    def _rows(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Points and embedded context as rows."""
        here = self.context(context)
        if here is not None:
            here = here.expand(*x.shape[:-1], here.shape[-1]).reshape(-1, here.shape[-1])
        return x.reshape(-1, x.shape[-1]), here

    def _check(self, x: Tensor) -> None:
        shape, dtype = self.manifold.shape, next(self.parameters()).dtype
        if tuple(x.shape[max(0, x.dim() - 1) :]) != shape:
            raise UsageError(f"points have shape {tuple(x.shape)}, expected (..., {shape[0]})")
        if x.dtype != dtype:
            raise UsageError(f"points are {x.dtype}, the model is {dtype}; convert one with .to(...)")
        if not bool(x.isfinite().all()):
            raise UsageError(f"{int((~x.isfinite()).sum())} numbers of the points are NaN or infinite; drop those rows")
