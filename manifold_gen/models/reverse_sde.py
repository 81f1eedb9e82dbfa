r"""The reverse process of a diffusion step by step, alone or steered towards a posterior.

A step from s to s' < s is a geodesic one, :math:`x' = \exp_x((s - s')(r + b) + σ ε)`, its variance that of the
transition from s to s' given where the data were, :math:`σ^2 = (s - s')\, s'/s` on a compact manifold: the same limit
as Euler and Maruyama's :math:`s - s'` for ever finer steps, and right at once where the data are a point (Ho et al.,
*Denoising diffusion probabilistic models*, 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.noising import Noising
from manifold_gen.models.posterior import PosteriorSample, effective_size, systematic, weighted

if TYPE_CHECKING:
    from manifold_gen.models.score_flow import ScoreFlow

# log ψ(x̂, v): how likely the observation is where data are expected at x̂ with variance v in each coordinate
Twist = Callable[[Tensor, Tensor], Tensor]

GUIDED_BELOW = 1.0  # noise above which the expected data say nothing and particles run free
LONGEST_PUSH = 2.0  # of the guidance, in standard deviations of the step
UNLIKELIEST = -1e4  # least log ψ before the end: any finite number will do, −∞ − (−∞) would not
_CLOUD = 16


def grid(steps: int, like: Tensor) -> Tensor:
    """Times 0 … 1 of ``steps`` steps.

    Raises:
        UsageError: fewer than one.
    """
    if steps < 1:
        raise UsageError(f"the reverse process takes {steps} steps; expected at least 1")
    return torch.linspace(0.0, 1.0, steps + 1, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Step:
    """One step of ``n`` points between two times.

    Attributes:
        t: time at its start, ``(n,)``.
        noise_before: s at its start, ``(n,)``.
        length: s − s', ``(n,)``.
        spread: standard deviations ``(n, dim)`` of its noise.
    """

    noising: Noising
    t: Tensor
    noise_before: Tensor
    length: Tensor
    spread: Tensor

    @staticmethod
    def between(process: ScoreFlow, start: Tensor, end: Tensor, n: int) -> Step:
        """The step from time ``start`` to ``end``."""
        noising, before, after = process.noising, process.clock.at(start).expand(n), process.clock.at(end).expand(n)
        share = noising.variances(after) / noising.variances(before)
        variance = noising.variances(before - after) * share
        return Step(noising, start.expand(n), before, before - after, variance.sqrt())

    def move(self, x: Tensor, relative: Tensor, noise: Tensor) -> Tensor:
        """New points, ``noise`` being standard normal coordinates ``(n, dim)``, or shifted ones."""
        manifold = self.noising.manifold
        random = manifold.from_coordinates(x, self.spread * noise)
        return manifold.expmap(x, self.noising.back(x, self.length, relative) + random)

    def expected(self, x: Tensor, relative: Tensor) -> Tensor:
        """Where the data of ``x`` are expected."""
        return self.noising.manifold.expmap(x, self.noising.back(x, self.noise_before, relative))


@torch.no_grad()
def twisted(
    process: ScoreFlow,
    twist: Twist,
    n: int,
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
    steps: int = 200,
) -> PosteriorSample:
    r"""Particles of p(x) ψ(x), ψ = exp twist(x, 0), by sequential Monte Carlo along the reverse process.

    Particle x at noise s has the value :math:`ψ_s(x) = ψ(\hat x, v_s)` at the data that are expected from it. Its step
    is pushed along :math:`σ^2 \nabla \log ψ_s`; its weight gains ψ_{s'}(x') / ψ_s(x) and the ratio of the step's
    densities without and with the push, so the result is right for ever more particles whatever ψ_s is, and efficient
    if that is a good guess. Particles are drawn again where fewer than half are effective.
    Wu et al., *Practical and asymptotically exact conditional sampling in diffusion models* (2023).

    Raises:
        DataError: no particle ends where ψ is positive.
    """
    x = process.base.sample(n, generator=generator)
    embedded = process.context(context)
    embedded = None if embedded is None else embedded.expand(n, embedded.shape[-1])
    weights, value, evidence = x.new_zeros(n), x.new_zeros(n), 0.0
    times = grid(steps, x)
    for start, end in pairwise(times):
        step = Step.between(process, start, end, n)
        relative, fresh, push = _guided(process, step, twist, x, embedded)
        weights, value = weights + fresh - value, fresh
        if effective_size(weights) < n / 2:
            kept = systematic(weights, n, generator)
            evidence += float(torch.logsumexp(weights, 0)) - math.log(n)
            x, relative, value, push = x[kept], relative[kept], value[kept], push[kept]
            weights = torch.zeros_like(weights)
        noise = torch.randn(push.shape, generator=generator, dtype=x.dtype, device=x.device)
        weights = weights - (push * noise).sum(-1) - 0.5 * push.square().sum(-1)
        x = step.move(x, relative, noise + push)
    weights = weights + twist(x, torch.zeros_like(step.spread)) - value
    evidence += float(torch.logsumexp(weights, 0)) - math.log(n)
    return weighted(x, weights, evidence)


def _guided(
    process: ScoreFlow, step: Step, twist: Twist, x: Tensor, context: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Relative score, log ψ_s, and the push ``(n, dim)`` in standard deviations of the step."""
    spread = process.noising.variances(step.noise_before)
    if float(step.noise_before[0]) > GUIDED_BELOW:
        return process.relative_score(x, step.t, context), x.new_zeros(len(x)), torch.zeros_like(spread)
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        relative = process.relative_score(point, step.t, context)
        value = twist(step.expected(point, relative), spread)
        value = value.clamp_min(UNLIKELIEST)
        (gradient,) = torch.autograd.grad(value.sum(), point)
    manifold = process.manifold
    push = step.spread * manifold.to_coordinates(x, manifold.egrad2rgrad(x, gradient))
    push = torch.where(push.isfinite().all(-1, keepdim=True), push, 0.0)
    length = torch.linalg.vector_norm(push, dim=-1, keepdim=True)
    return relative.detach(), value.detach(), push * (LONGEST_PUSH / length.clamp_min(LONGEST_PUSH))


def smoothed(
    manifold: Manifold, log_likelihood: Callable[[Tensor], Tensor], like: Tensor, generator: torch.Generator | None
) -> Twist:
    """The likelihood averaged over a normal cloud of the expected data's variance, the same draws at every call."""
    cloud = torch.randn(_CLOUD, 1, manifold.dim, generator=generator, dtype=like.dtype, device=like.device)

    def twist(x: Tensor, variance: Tensor) -> Tensor:
        if not bool(variance.any()):
            return log_likelihood(x)
        centres = x.expand(_CLOUD, *x.shape)
        points = manifold.expmap(centres, manifold.from_coordinates(centres, variance.sqrt() * cloud))
        values = log_likelihood(points.flatten(0, 1)).reshape(_CLOUD, -1)
        return torch.logsumexp(values, 0) - math.log(_CLOUD)

    return twist


def observed(manifold: Manifold, known: Tensor, mask: Tensor, tolerance: float) -> Twist:
    """A normal observation of the coordinates of ``known`` in ``mask``.

    Raises:
        UsageError: shapes do not fit, the mask splits a curved factor, or the tolerance is not positive.
    """
    if known.shape != manifold.shape or mask.shape != manifold.shape or mask.dtype != torch.bool:
        raise UsageError(
            f"known {tuple(known.shape)} and mask {tuple(mask.shape)} ({mask.dtype}) must be one point of {manifold} "
            f"and booleans, both of shape {manifold.shape}"
        )
    if not tolerance > 0:
        raise UsageError(f"the tolerance of the known coordinates is {tolerance}; expected a positive number")
    parts = manifold.split(mask) if len(manifold.factors) > 1 else [mask]
    for factor, part in zip(manifold.factors, parts, strict=True):
        if factor.curvature != 0.0 and bool(part.any()) != bool(part.all()):
            raise UsageError(f"the mask takes a part of a point of {factor}: know it all or not at all")
    count = torch.cat(
        [
            part if factor.curvature == 0.0 else part.flatten()[:1].expand(factor.dim)
            for factor, part in zip(manifold.factors, parts, strict=True)
        ]
    )

    def twist(x: Tensor, variance: Tensor) -> Tensor:
        gap = manifold.to_coordinates(x, manifold.logmap(x, known.to(x).expand_as(x)))
        total = variance + tolerance**2
        density = -0.5 * (gap.square() / total + torch.log(2 * torch.pi * total))
        return (density * count).sum(-1)

    return twist
