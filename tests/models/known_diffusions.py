"""Diffusions whose score is known: mixtures of heat kernels, which the forward process keeps in the family."""

from __future__ import annotations

import torch

from manifold_gen.models.noise_schedule import NoiseClock
from manifold_gen.models.score_flow import ScoreFlow
from manifold_gen.ode import Solver


class KernelMixture(ScoreFlow):
    """Data are Brownian motion after times ``spread`` (K,) from ``centres`` (K, *shape), with the given weights.

    On Rⁿ the process of Ornstein and Uhlenbeck shrinks centres and variances towards the standard normal.
    """

    def __init__(self, manifold, centres, spread, weights, shortest=1e-3, horizon=9.0, steps=24, factor=1.0):
        super().__init__(manifold, NoiseClock(horizon, shortest), solver=Solver("rk4", steps))
        self.centres, self.spread, self.logits = centres, spread, torch.as_tensor(weights).log().to(centres)
        self.factor = factor

    def density(self, x, s):
        """log p_s(x)."""
        s = torch.as_tensor(s, dtype=x.dtype).expand(x.shape[: x.dim() - len(self.manifold.shape)]).unsqueeze(-1)
        centres, times = self.centres, self.spread + s
        if self.manifold.log_volume == torch.inf:
            shrink = torch.exp(-s / 2)
            centres, times = shrink.unsqueeze(-1) * centres, shrink**2 * self.spread + 1 - shrink**2
        parts = self.manifold.heat_kernel(centres, x.unsqueeze(-1 - len(self.manifold.shape)), times)
        return torch.logsumexp(parts + self.logits, -1)

    def relative_score(self, x, t, context=None):
        s = self.clock.at(t)
        gradient = torch.func.grad(lambda p: (self.density(p, s) - self.base.log_prob(p)).sum())(x)
        return self.factor * self.manifold.egrad2rgrad(x, gradient)

    def data(self, n, generator, s=0.0):
        """Exact draws of p_s."""
        which = torch.multinomial(self.logits.exp(), n, replacement=True, generator=generator)
        x = self.manifold.sample_heat_kernel(self.centres[which], self.spread[which], generator)
        return self.noised(x, x.new_full((n,), s), generator) if s else x
