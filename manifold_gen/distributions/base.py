"""The two things a sampler and a density promise, and the batched families that mixtures are made of."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from manifold_gen.manifolds.base import Manifold


class Sampler(nn.Module, ABC):
    """Something that draws points of a manifold."""

    def __init__(self, manifold: Manifold) -> None:
        super().__init__()
        self.manifold = manifold

    @abstractmethod
    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points; ``context`` is ``(n, c)`` where the sampler takes one."""


@dataclass(frozen=True)
class ScoreRecord:
    """A likelihood with what it rests on, one entry a point, each ``(*batch,)``.

    Attributes:
        log_prob: log-density in nats, −inf where a numerical inversion did not converge.
        residual: how far off the inversion is; zero for a density in closed form.
        converged: whether the residual is within the tolerance of the precision.
        steps: steps of the inversion.
    """

    log_prob: Tensor
    residual: Tensor
    converged: Tensor
    steps: Tensor


class Distribution(Sampler):
    """A sampler with a density with respect to the Riemannian volume, in nats.

    A distribution without conditioning gives the same answer for every ``context``: p(x | context) = p(x).
    """

    @abstractmethod
    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density at ``x``, shape ``(*batch,)``; deterministic."""

    def exact_sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """``n`` points whose density is ``log_prob``: what importance weights need.

        That is ``sample``, unless a model's sampler draws from another law than its density is of.
        """
        return self.sample(n, context, generator)

    def sample_and_log_prob(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """``exact_sample`` and the log-density ``(n,)`` of each point, which a model may know from how it drew it."""
        x = self.exact_sample(n, context, generator)
        return x, self.log_prob(x, context)

    def score(self, x: Tensor, context: Tensor | None = None) -> ScoreRecord:
        """``log_prob`` with its residual and convergence; a density in closed form has nothing to converge."""
        log_prob = self.log_prob(x, context)
        zero = torch.zeros_like(log_prob)
        return ScoreRecord(
            log_prob, zero, torch.ones_like(zero, dtype=torch.bool), torch.zeros_like(zero, dtype=torch.int64)
        )

    def reconstruction_error(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """dist(g(f(x)), x), ``(*batch,)``, of a model that encodes and decodes; zero for one that does neither."""
        return torch.zeros(x.shape[: x.dim() - len(self.manifold.shape)], dtype=x.dtype, device=x.device)

    def round_trip(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """``(n,)`` booleans whose mean estimates ∫ exp(log_prob); all true for a density normalised in closed form."""
        return torch.ones(n, dtype=torch.bool)


class Family(Distribution):
    """A distribution whose parameters may carry one leading axis of K members, evaluated in one tensor operation.

    ``batch_shape`` is ``()`` or ``(K,)``. It broadcasts against the batch axes of x, as in ``torch.distributions``:
    ``log_prob(x[:, None])`` of K members at N points is ``(N, K)``.
    """

    def __init__(self, manifold: Manifold, batch_shape: tuple[int, ...]) -> None:
        super().__init__(manifold)
        if len(batch_shape) > 1:
            raise ValueError(
                f"{type(self).__name__} parameters may carry one batch axis, got batch shape {tuple(batch_shape)}; "
                "flatten the members into one axis"
            )
        self.batch_shape = torch.Size(batch_shape)

    @abstractmethod
    def draw(self, member: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One point of each listed member: indices ``(m,)`` in 0 … K−1 to points ``(m, *shape)``."""

    @abstractmethod
    def widened(self, factors: Sequence[float]) -> Family:
        """The K members once for each of J factors, J·K in all, spread about their centres so many times as wide.

        First all with the first factor. A spread stops where the family does: at the uniform law, or where a wrapped
        normal would overlap itself.
        """

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *batch_shape, *manifold.shape)`` points, n of every member."""
        members = math.prod(self.batch_shape)
        points = self.draw(torch.arange(members).repeat(n), generator)
        return points.reshape(n, *self.batch_shape, *self.manifold.shape)
