r"""What a diffusion does with a score, learned or known: its flow, its reverse process, its bound, its posteriors.

Data diffuse towards the base π with generator :math:`\tfrac12 Δ + b\cdot\nabla`, :math:`b = \tfrac12\nabla\log π`
(see ``noising``); p_s is their density after a time s, and the clock s(t) falls from S at the model's time t = 0 to
s₁ at t = 1. Everything is written with the **relative score** :math:`r = \nabla \log(p_s / π)`, in which b drops out:

.. math::
   \dot x = \tfrac12 |\dot s|\, r \quad\text{(probability flow)}, \qquad
   dX = |\dot s|\, (r + b)\, dt + \sqrt{|\dot s|}\, dB \quad\text{(reverse process)},

.. math::
   \log p(x) \ge \log π(x) - \int_{s_1}^{S} E\left[\tfrac12 |r|^2 + \langle r, \nabla\log π\rangle + \mathrm{div}\, r
   \right]_{X_s}\, ds, \qquad X_{s_1} = x.

Both processes end in p_{s₁}, the data with noise of variance s₁ on them: that is the density of this distribution, and
no step removes the rest of the noise. On Rⁿ, r + 2b is the score of Song et al., *Score-based generative modeling
through stochastic differential equations* (2021); the bound on manifolds is that of Huang et al., *Riemannian diffusion
models* (2022), whose terms in b integrate to log π(x).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from manifold_gen import calculus
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models import reverse_sde
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.models.noise_schedule import NoiseClock
from manifold_gen.models.noising import noising_of
from manifold_gen.models.posterior import PosteriorSample
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.ode import Solver


@dataclass(frozen=True)
class Bound:
    """A lower bound of a log-density, estimated.

    Attributes:
        value: mean over the draws, ``(*batch,)``, nats.
        se: its standard error, ``(*batch,)``.
    """

    value: Tensor
    se: Tensor


class ScoreFlow(ContinuousDistribution):
    """A diffusion whose relative score is known.

    Args:
        manifold: where data and noise live.
        clock: how much noise there is at each time.
        context: what the score is conditioned on.
        solver: of the probability flow.
        walk_steps: steps of the forward process where its transitions are not known.
    """

    def __init__(
        self,
        manifold: Manifold,
        clock: NoiseClock,
        context: ContextEmbedding | None = None,
        solver: Solver | None = None,
        walk_steps: int = 32,
    ) -> None:
        super().__init__(manifold, context or ContextEmbedding(), solver or Solver())
        self.clock, self.walk_steps = clock, walk_steps
        self.noising = noising_of(manifold)

    @abstractmethod
    def relative_score(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """∇log(p_s(t) / π), tangent at ``x``; ``context`` is embedded already."""

    def relative_score_and_divergence(
        self, x: Tensor, t: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``relative_score`` and its divergence ``(*batch,)``, exact."""
        basis = calculus.frame(self.manifold, x)
        r, images = calculus.pushforward(lambda p: self.relative_score(p, t, context), x, basis)
        return r, calculus.divergence_of(self.manifold, x, r, images)

    def score_field(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """∇log p_s(t), tangent at ``x``."""
        return self.relative_score(x, t, context) + 2 * self.noising.pull(x)

    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """The probability flow, half the rate of the noise times the relative score."""
        return self._half_rate(t) * self.relative_score(x, t, context)

    def velocity_and_divergence(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``velocity`` and its divergence ``(*batch,)``."""
        r, divergence = self.relative_score_and_divergence(x, t, context)
        return self._half_rate(t) * r, 0.5 * self.clock.rate(t) * divergence

    # ---- the processes ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def noised(self, x: Tensor, s: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The forward process from ``x`` after times ``s`` ``(*batch,)``."""
        return self._forward(x, s, self._noise(s, generator))

    def sample_sde(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None, steps: int = 200
    ) -> Tensor:
        """``(n, *shape)`` points by the reverse process, a geodesic random walk of ``steps`` steps from the base."""
        *_, (_, x) = self.walk_back(n, context, generator, steps)
        return x

    def walk_back(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None, steps: int = 200
    ) -> Iterator[tuple[float, Tensor]]:
        """Times from 0 to 1 and where the ``n`` points of ``sample_sde`` then are: ``steps`` + 1 pairs."""
        embedded, x = self.context(context), self.base.sample(n, generator=generator)
        times = reverse_sde.grid(steps, x)
        yield 0.0, x
        for start, end in pairwise(times):
            step = reverse_sde.Step.between(self, start, end, n)
            noise = torch.randn(n, self.manifold.dim, generator=generator, dtype=x.dtype, device=x.device)
            with torch.no_grad():
                x = step.move(x, self.relative_score(x, step.t, embedded), noise)
            yield float(end), x

    @torch.no_grad()
    def variational_bound(
        self,
        x: Tensor,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        draws: int = 64,
    ) -> Bound:
        """A bound of the log-density of ``sample_sde`` at ``x`` for ever finer steps, one entry a point.

        ``draws`` noised copies of each point at times spread evenly. Where the forward process is simulated, the bound
        is that of the simulation.
        """
        batch = x.shape[: x.dim() - len(self.manifold.shape)]
        embedded = self._matched(self._checked(x), context)
        values = []
        for k in range(draws):
            t = (k + torch.rand(batch, generator=generator, dtype=x.dtype, device=x.device)) / draws
            y = self.noised(x, self.clock.at(t) - self.clock.shortest, generator)
            r, divergence = self.relative_score_and_divergence(y, t, embedded)
            values.append(self.base.log_prob(x) - self.clock.rate(t) * self.implicit(y, r, divergence))
        stacked = torch.stack(values)
        return Bound(stacked.mean(0), stacked.std(0) / draws**0.5)

    def implicit(self, y: Tensor, r: Tensor, divergence: Tensor) -> Tensor:
        """½|r|² + ⟨r, ∇log π⟩ + div r at ``y``, ``(*batch,)``: least in the mean where r is the relative score."""
        inner = self.manifold.inner
        return 0.5 * inner(y, r) + 2 * inner(y, r, self.noising.pull(y)) + divergence

    # ---- posteriors ---------------------------------------------------------------------------------------------

    def sample_posterior(
        self,
        log_likelihood: Callable[[Tensor], Tensor],
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        steps: int = 200,
    ) -> PosteriorSample:
        """``n`` weighted points of the density ∝ p(x) exp(log_likelihood(x)), see ``reverse_sde.twisted``.

        Args:
            log_likelihood: ``(m, *shape)`` points to ``(m,)`` numbers, differentiable; −inf where impossible.
            n: particles; the more, the nearer to the posterior.
            context: one condition for all of them, one row.
            generator: of every draw.
            steps: of the reverse process.

        Raises:
            DataError: no particle ends where the likelihood is positive.
        """
        twist = reverse_sde.smoothed(self.manifold, log_likelihood, self.base.sample(1, generator=generator), generator)
        return reverse_sde.twisted(self, twist, n, context, generator, steps)

    def inpaint(
        self,
        known: Tensor,
        mask: Tensor,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        steps: int = 200,
        tolerance: float = 0.02,
    ) -> PosteriorSample:
        """``n`` weighted points that have the coordinates of ``known`` in ``mask``, the others distributed given them.

        Args:
            known: one point ``(*shape)``; what it has outside the mask does not matter.
            mask: booleans ``(*shape)``: any coordinates of a flat factor, all or none of a curved one.
            n, context, generator, steps: as in ``sample_posterior``.
            tolerance: width of the normal observation that stands for knowing exactly, radians or units.

        Raises:
            UsageError: the mask splits a curved factor, or shapes do not fit.
        """
        twist = reverse_sde.observed(self.manifold, known, mask, tolerance)
        drawn = reverse_sde.twisted(self, twist, n, context, generator, steps)
        return PosteriorSample(
            torch.where(mask, known.to(drawn.x), drawn.x),
            drawn.log_weights,
            drawn.effective_sample_size,
            drawn.log_evidence,
        )

    # ---- inside -------------------------------------------------------------------------------------------------

    def _noise(self, s: Tensor, generator: torch.Generator | None) -> Tensor:
        """Random input of ``_forward`` for times ``s``."""
        if self.noising.exact:
            return self.noising.from_origin(s, generator)
        size = (*s.shape, self.walk_steps, self.manifold.dim)
        return torch.randn(size, generator=generator, dtype=s.dtype, device=s.device)

    def _forward(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        return self.noising.transition(x, s, noise) if self.noising.exact else self.noising.walk(x, s, noise)

    def _half_rate(self, t: Tensor) -> Tensor:
        return 0.5 * self.clock.rate(t).reshape(*t.shape, *(1,) * len(self.manifold.shape))
