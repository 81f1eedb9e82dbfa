r"""Laws that every distribution obeys, as one public function.

The statistical laws compare the distribution's sampler and its density with the help of a proposal q, made of kernel
densities around points of the sampler and, where that exists, the uniform distribution.

- *integral*: ∫ p = E_q[p / q] = 1.
- *agreement*: for samples x of the distribution and z of q, E[q(x) / (p(x) + q(x))] = E[p(z) / (p(z) + q(z))]. Both
  means are of numbers in [0, 1], so nothing is heavy-tailed; a factor in the density, a shift and a missing volume term
  all unbalance them, because the left side weighs where the sampler has more mass than the density claims.
- *neighbours*: with r the distance from a fresh query point x to the nearest of N samples, N p(x) vol B(r) is
  exponentially distributed. Valid where p hardly varies over B(r): smooth densities of dimension up to 3.

Each statistical law fails a correct distribution with probability at most ``FAILURE_RATE``, for a fixed seed never or
always.
"""

from __future__ import annotations

import math

import torch
from scipy import stats
from torch import Tensor

from manifold_gen.distributions.base import Distribution
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.tails import admissible_scale
from manifold_gen.distributions.uniform import Uniform
from manifold_gen.distributions.wrapped_normal import MASS_LIMIT, WrappedNormal
from manifold_gen.seeds import generator
from manifold_gen.testing.tolerances import FAILURE_RATE

_CENTRES = 200


def check_distribution(
    distribution: Distribution, *, seed: int = 0, samples: int = 8000, queries: int = 1500, smooth: bool = True
) -> None:
    """Assert every law; the message of the ``AssertionError`` names the law and the numbers.

    Args:
        distribution: unconditional, its parameters on one device; the laws run in the dtype it samples in.
        seed: of every draw.
        samples: points of each source.
        queries: fresh points for the law of neighbours.
        smooth: False for densities with jumps, to which the law of neighbours does not apply.

    Raises:
        AssertionError: a law is broken.

    Example:
        >>> from manifold_gen.distributions import VonMisesFisher
        >>> check_distribution(VonMisesFisher([0.0, 0.0, 1.0], 5.0), samples=2000, queries=200)
    """
    check_shapes(distribution, seed)
    check_reproducible(distribution, seed)
    with torch.no_grad():
        check_integral_and_agreement(distribution, seed, samples)
        if smooth and distribution.manifold.dim <= 3:
            check_neighbours(distribution, seed, samples, queries)


def check_shapes(distribution: Distribution, seed: int = 0) -> None:
    """Samples lie on the manifold; ``log_prob`` has the batch's shape, x's dtype, and treats every point alone."""
    shape = distribution.manifold.shape
    x = distribution.sample(6, generator=generator(seed, 0))
    assert x.shape == (6, *shape), f"shapes: sample(6) has shape {tuple(x.shape)}, expected {(6, *shape)}"
    inside, reason = distribution.manifold._check_point_on_manifold(x)
    assert inside, f"shapes: samples leave the manifold: {reason}"
    empty = distribution.sample(0, generator=generator(seed, 0))
    assert empty.shape == (0, *shape), f"shapes: sample(0) has shape {tuple(empty.shape)}"
    flat = distribution.log_prob(x)
    assert flat.shape == (6,), f"shapes: log_prob of 6 points has shape {tuple(flat.shape)}"
    assert bool(torch.isfinite(flat).all()), f"shapes: log_prob of own samples is not finite: {flat.tolist()}"
    tolerance = 100 * torch.finfo(x.dtype).eps * (1 + flat.abs().max())
    for batch, points, values in (((), x[0], flat[0]), ((2, 3), x.reshape(2, 3, *shape), flat.reshape(2, 3))):
        got = distribution.log_prob(points)
        assert got.shape == batch, f"shapes: batch {batch} gave log_prob of shape {tuple(got.shape)}"
        assert bool(((got - values).abs() <= tolerance).all()), f"shapes: batch {batch} changes the value of log_prob"
    for dtype in (torch.float32, torch.float64):
        given = distribution.log_prob(x.to(dtype)).dtype
        assert given == dtype, f"dtype: log_prob of {dtype} points is {given}"


def check_reproducible(distribution: Distribution, seed: int = 0) -> None:
    """``log_prob`` draws nothing, and a generator decides ``sample`` without touching the global state."""
    before = torch.get_rng_state()
    x = distribution.sample(5, generator=generator(seed, 1))
    again = distribution.sample(5, generator=generator(seed, 1))
    other = distribution.sample(5, generator=generator(seed, 2))
    first, second = distribution.log_prob(x), distribution.log_prob(x)
    assert torch.equal(first, second), "determinism: two calls of log_prob differ"
    assert torch.equal(x, again), "reproducibility: equal generators give different samples"
    assert not torch.equal(x, other), "reproducibility: different generators give the same samples"
    assert torch.equal(before, torch.get_rng_state()), "reproducibility: the global random state was touched"


def check_integral_and_agreement(distribution: Distribution, seed: int = 0, samples: int = 8000) -> None:
    """∫ p = 1, and the sampler draws what the density says."""
    proposal = _Proposal(distribution, seed)
    z = proposal.sample(samples, seed)
    p_z, q_z = distribution.log_prob(z).double(), proposal.log_prob(z)
    weight = torch.exp(p_z - q_z)
    integral, error = float(weight.mean()), float(weight.std()) / math.sqrt(samples)
    limit = stats.norm.isf(FAILURE_RATE / 2)
    if distribution.manifold.dim <= 3:
        assert error < 0.05, f"integral: its standard error is {error:.3g}, too large to judge; take more samples"
    assert abs(integral - 1) <= limit * error + 1e-4, f"integral: {integral:.4f} ± {error:.4f} instead of 1"

    x = distribution.sample(samples, generator=generator(seed, 3))
    p_x, q_x = distribution.log_prob(x).double(), proposal.log_prob(x)
    left, right = torch.sigmoid(q_x - p_x), torch.sigmoid(p_z - q_z)
    gap = float(left.mean() - right.mean())
    error = math.sqrt(float(left.var() + right.var()) / samples)
    assert abs(gap) <= limit * error + 1e-6, (
        f"agreement: samples and density differ, {gap:.4f} ± {error:.4f} instead of 0"
    )


def check_neighbours(distribution: Distribution, seed: int = 0, samples: int = 8000, queries: int = 1500) -> None:
    """Kolmogorov and Smirnov's test of exp(−N p(x) vol B(r)) against the uniform distribution."""
    manifold, n = distribution.manifold, distribution.manifold.dim
    cloud = distribution.sample(samples, generator=generator(seed, 4))
    query = distribution.sample(queries, generator=generator(seed, 5))
    radius = torch.cat([manifold.dist(part.unsqueeze(1), cloud).amin(1) for part in query.split(50)]).double()
    unit_ball = math.pi ** (n / 2) / math.gamma(n / 2 + 1)
    level = torch.exp(-samples * distribution.log_prob(query).double().exp() * unit_ball * radius**n)
    p = stats.kstest(level.cpu().numpy(), "uniform").pvalue
    assert p > FAILURE_RATE, f"neighbours: nearest-neighbour distances contradict log_prob, p = {p:.2g}"


class _Proposal:
    """Equal parts of two kernel densities around samples, narrow and wide, and the uniform where that exists."""

    def __init__(self, distribution: Distribution, seed: int) -> None:
        manifold = distribution.manifold
        centres = distribution.sample(_CENTRES, generator=generator(seed, 6))
        distance = manifold.dist(centres.unsqueeze(1), centres)
        # as wide as the spacing of the cloud, and as wide as the cloud, which covers the tails
        widths = [float(distance.kthvalue(5, dim=-1).values.median()), float(distance.median())]
        for factor in manifold.factors:
            if factor.period is None and math.isfinite(factor.injectivity_radius):
                largest = admissible_scale(factor.injectivity_radius, factor.dim, MASS_LIMIT)
                widths = [min(width, largest) for width in widths]
        weights = torch.zeros(_CENTRES).to(centres)
        parts: list[Distribution] = [Mixture(WrappedNormal(manifold, centres, w), weights) for w in widths]
        if math.isfinite(manifold.log_volume):
            parts.append(Uniform(manifold).to(centres))
        self.parts = parts

    def sample(self, n: int, seed: int) -> Tensor:
        share = n // len(self.parts)
        return torch.cat([part.sample(share, generator=generator(seed, 7, i)) for i, part in enumerate(self.parts)])

    def log_prob(self, x: Tensor) -> Tensor:
        values = [torch.cat([part.log_prob(piece) for piece in x.split(500)]).double() for part in self.parts]
        return torch.logsumexp(torch.stack(values), 0) - math.log(len(self.parts))
