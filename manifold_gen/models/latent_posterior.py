r"""The posterior of a decoded distribution, sampled among its latents.

Where x = g(z) with z of the base p₀, the density ∝ p(x) L(x) is that of g(z) with z of density ∝ p₀(z) L(g(z)): no
inverse and no determinant is needed. Latents of the base are weighed by the likelihood; where too few of them carry
the weight, the likelihood is let in by degrees, :math:`L^\lambda` with λ from 0 to 1, each degree as large as half of
the particles can bear, and after each the particles are drawn again and moved by Metropolis' rule.

A move goes from z along a geodesic of normal random velocity. Its density depends on the distance of its ends and on
the volume change of the exponential map between them, both of which are the same in either direction on any complete
Riemannian manifold, so that no Hastings correction is due.

Del Moral, Doucet and Jasra, *Sequential Monte Carlo samplers* (2006), for the ladder; Besse, *Manifolds all of whose
geodesics are closed* (1978), 6.12, for the symmetry of the volume change.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.posterior import PosteriorSample, effective_size, systematic, weighted

if TYPE_CHECKING:
    from manifold_gen.models.decoded import DecodedDistribution

LogDensity = Callable[[Tensor], Tensor]

# A degree of the ladder leaves this share of the particles; more than this share at the start needs no ladder at all.
KEPT, ENOUGH = 0.5, 0.5
LARGEST_LADDER = 100
# Moves stop where no coordinate of the latents remembers its start by more than this correlation, or at the latest.
MOVES, ROUNDS, FORGOTTEN = 10, 6, 0.3
WANTED_ACCEPTANCE = 0.3
_BISECTIONS = 40


@dataclass
class _Particles:
    """Latents, the log-density of the base and the log-likelihood there.

    ``redundancy`` ≥ 1 is n over the effective number of independent particles: drawing again multiplies it, moving
    brings it back towards 1.
    """

    z: Tensor
    prior: Tensor
    likelihood: Tensor
    redundancy: float = 1.0


def sample_latents(
    flow: DecodedDistribution,
    log_likelihood: LogDensity,
    n: int,
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
    least: float = 0.1,
) -> PosteriorSample:
    """``n`` points of the density ∝ p(x) exp(log_likelihood(x)), see ``DecodedDistribution.sample_posterior``.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> from manifold_gen.models import FreeFormFlow
        >>> flow = FreeFormFlow(Torus(1), width=8, depth=1)  # untrained: uniform
        >>> drawn = sample_latents(flow, lambda x: x[..., 0].cos(), 100, generator=torch.Generator().manual_seed(0))
        >>> drawn.x.shape, drawn.effective_sample_size > 50
        (torch.Size([100, 1]), True)
    """
    if n < 2:
        raise UsageError(f"cannot draw n = {n} points of a posterior; n must be 2 or more")
    condition = None if context is None else context.reshape(1, *context.shape[1:]).expand(n, *context.shape[1:])

    def of_latents(z: Tensor) -> Tensor:
        value = log_likelihood(flow.decode(z, condition))
        if value.shape != (n,):
            raise UsageError(f"log_likelihood gave shape {tuple(value.shape)} for {n} points, expected ({n},)")
        return value.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)

    with torch.no_grad():
        z = flow.base.sample(n, generator=generator)
        particles = _Particles(z, flow.base.log_prob(z), of_latents(z))
        if not bool(particles.likelihood.isfinite().any()):
            raise DataError(f"the likelihood is zero at all of {n} points; take more, or widen it")
        if effective_size(particles.likelihood) >= ENOUGH * n:
            x = flow.decode(particles.z, condition)
            return weighted(x, particles.likelihood, _log_mean(particles.likelihood))
        evidence = _anneal(flow, of_latents, particles, generator)
        x = flow.decode(particles.z, condition)
    drawn = PosteriorSample(x, x.new_full((n,), -math.log(n)), n / particles.redundancy, evidence)
    if drawn.effective_sample_size < least * n:
        warnings.warn(
            f"{n} points of the posterior are worth {drawn.effective_sample_size:.0f} independent ones, less than "
            f"{least:.0%}; take more points, or check that the likelihood and the model agree",
            stacklevel=3,
        )
    return drawn


def _anneal(
    flow: DecodedDistribution, of_latents: LogDensity, particles: _Particles, generator: torch.Generator | None
) -> float:
    """Let the likelihood in by degrees; the log-evidence."""
    power, evidence, scale, n = 0.0, 0.0, 1.0, len(particles.z)
    for _ in range(LARGEST_LADDER):
        step = _next_step(particles.likelihood, 1.0 - power)
        gained = torch.where(particles.likelihood.isfinite(), step * particles.likelihood, particles.likelihood)
        evidence += _log_mean(gained)
        power += step
        chosen = systematic(gained, n, generator)
        share = torch.bincount(chosen, minlength=n).square().sum() / n
        particles.redundancy = min(float(n), particles.redundancy * float(share))
        for name in ("z", "prior", "likelihood"):
            setattr(particles, name, getattr(particles, name)[chosen])
        scale = _move(flow, of_latents, particles, power, scale, generator)
        if power >= 1.0:
            return evidence
    raise DataError(
        f"the likelihood is so narrow that {LARGEST_LADDER} degrees let in {power:.2g} of its logarithm; widen it"
    )


def _next_step(likelihood: Tensor, left: float) -> float:
    """The largest part of what is ``left`` at which the weights keep ``KEPT`` of the particles' number."""
    finite = likelihood[likelihood.isfinite()]
    wanted = KEPT * len(finite)
    if effective_size(left * finite) >= wanted:
        return left
    low, high = 0.0, left
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective_size(middle * finite) >= wanted else (low, middle)
    return high


def _move(
    flow: DecodedDistribution,
    of_latents: LogDensity,
    particles: _Particles,
    power: float,
    scale: float,
    generator: torch.Generator | None,
) -> float:
    """Metropolis moves until the latents have forgotten where they were; the scale that the last ones had."""
    start = particles.z
    memory = 1.0
    for _ in range(ROUNDS):
        for _ in range(MOVES):
            accepted = _metropolis(flow, of_latents, particles, power, scale, generator)
            scale = min(math.pi, max(1e-4, scale * math.exp(accepted - WANTED_ACCEPTANCE)))
        memory = _correlation(flow.manifold, start, particles.z)
        if memory <= FORGOTTEN:
            break
    particles.redundancy = 1.0 + (particles.redundancy - 1.0) * memory**2
    return scale


def _metropolis(
    flow: DecodedDistribution,
    of_latents: LogDensity,
    particles: _Particles,
    power: float,
    scale: float,
    generator: torch.Generator | None,
) -> float:
    """One move of every particle; the share that was accepted."""
    z, manifold = particles.z, flow.manifold
    moved = manifold.expmap(z, scale * manifold.random_tangent(z, generator=generator))
    prior, likelihood = flow.base.log_prob(moved), of_latents(moved)
    gain = prior - particles.prior + power * (likelihood - particles.likelihood)
    draw = torch.rand(len(z), generator=generator, dtype=gain.dtype, device=gain.device)
    better = draw.log() < gain
    wide = better.reshape(-1, *(1,) * len(manifold.shape))
    particles.z = torch.where(wide, moved, z)
    particles.prior = torch.where(better, prior, particles.prior)
    particles.likelihood = torch.where(better, likelihood, particles.likelihood)
    return float(better.to(gain.dtype).mean())


def _correlation(manifold: Manifold, start: Tensor, end: Tensor) -> float:
    """Largest correlation between where the particles were and are, over the coordinates of the embedding."""
    before, after = (manifold.embed(z) - manifold.embed(z).mean(0) for z in (start, end))
    spread = before.square().sum(0) * after.square().sum(0)
    rho = (before * after).sum(0) / spread.sqrt().clamp_min(torch.finfo(spread.dtype).tiny)
    return float(rho.abs().amax().clamp_max(1.0))


def _log_mean(log_weights: Tensor) -> float:
    return float(torch.logsumexp(log_weights, 0)) - math.log(len(log_weights))
