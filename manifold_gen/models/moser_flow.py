r"""Moser flow: a density that is the base minus a divergence.

For a vector field w and a base density p₀,

.. math:: p = p_0 - \operatorname{div}(p_0 w) = p_0\,(1 - s),\qquad s = \operatorname{div} w + w(\log p_0),

integrates to 1 whatever w is, and is a density where s < 1. No equation is solved to score or to train; sampling
follows :math:`\dot x = w / (1 - t s)` from the base at t = 0 to p at t = 1, which carries (1 − t) p₀ + t p along.
Rozen, Grover, Nickel and Lipman, *Moser flow* (2021), for a uniform base, where w(log p₀) = 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen import calculus
from manifold_gen.distributions.base import ScoreRecord
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.networks.velocity import VelocityField
from manifold_gen.ode import Solver


class MoserFlow(GenerativeModel, ContinuousDistribution):
    """A density in closed form from the divergence of a network, held positive by a penalty; an ODE samples it.

    ``score`` counts a point where 1 − s fell below ``floor`` as unconverged: there the field is no density.

    Args:
        manifold: where data and base live.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, and how their amplitudes fall.
        penalty: weight λ of the negative part of 1 − s at points of the base.
        kinetic: weight of the squared length of w at those points: of all fields with one divergence, the gentlest.
        floor: ε, the least 1 − s that counts as positive.
        method, steps, tolerance: the ``Solver`` of sampling.
        context_features, context_categories: length of a continuous or number of categories of a categorical context.
        seed: of the random wave vectors and of the initial weights.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> flow = MoserFlow(Torus(1), width=16, depth=1)
        >>> flow.log_prob(torch.zeros(1, 1)).detach()  # untrained: uniform, −log 2π
        tensor([-1.8379])
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        width: int = 128,
        depth: int = 3,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        penalty: float = 10.0,
        kinetic: float = 1e-3,
        floor: float = 1e-3,
        method: str = "rk4",
        steps: int = 32,
        tolerance: float = 1e-5,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        embedding = ContextEmbedding(context_features, context_categories)
        super().__init__(manifold, embedding, Solver(method, steps, tolerance))
        self.field = VelocityField(manifold, width, depth, frequency, waves, decay, 0, embedding.out_features, seed)
        self.floor, self.hyperparameters = floor, hyperparameters

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Points of the base, at which the density is kept positive."""
        return {"latent": self.base.sample(n, generator=generator)}

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``nll``; at points of the base ``negative``, λ times the part of 1 − s below ε, and ``kinetic``."""
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        embedded = self.context(context)
        latent = drawn["latent"]
        points = torch.cat([x, latent])
        rows = None if embedded is None else torch.cat([embedded, embedded])
        w, source = self._field_and_source(points, rows)
        here, beside = (1 - source).split([len(x), len(latent)])
        nll = -self.base.log_prob(x) - here.clamp_min(self.floor).log()
        energy = self.manifold.inner(latent, w[len(x) :])
        return {
            "nll": nll,
            "negative": self.hyperparameters["penalty"] * torch.relu(self.floor - beside),
            "kinetic": self.hyperparameters["kinetic"] * energy,
        }

    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """w / (1 − t s), the denominator kept above ε."""
        w, source = self._field_and_source(x, context)
        return w / (1 - t * source).clamp_min(self.floor).reshape(*t.shape, *(1,) * len(self.manifold.shape))

    def log_prob(self, x: Tensor, context: Tensor | None = None, solver: Solver | None = None) -> Tensor:
        """log p₀ + log max(1 − s, ε), ``(*batch,)``: two rows of network passes, no integration."""
        x = self._checked(x)
        source = self._field_and_source(x, self._matched(x, context))[1]
        return self.base.log_prob(x) + (1 - source).clamp_min(self.floor).log()

    def score(
        self, x: Tensor, context: Tensor | None = None, solver: Solver | None = None, chunk: int = 16_384
    ) -> ScoreRecord:
        """``log_prob`` with the shortfall of 1 − s below ε as the residual."""
        x = self._checked(x)
        source = self._field_and_source(x, self._matched(x, context))[1]
        share = 1 - source
        converged = share > self.floor
        log_prob = self.base.log_prob(x) + share.clamp_min(self.floor).log()
        steps = torch.ones_like(share, dtype=torch.int64)
        return ScoreRecord(
            torch.where(converged, log_prob, -torch.inf), torch.relu(self.floor - share), converged, steps
        )

    def _field_and_source(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """w and s, the divergence of p₀ w divided by p₀."""
        t = x.new_ones(x.shape[: x.dim() - len(self.manifold.shape)])
        w, images = self.field.pushforward(x, calculus.frame(self.manifold, x), t, context)
        _, climb = torch.func.jvp(self.base.log_prob, (x,), (w,))
        return w, calculus.divergence_of(self.manifold, x, w, images) + climb
