"""Posteriors of decoded distributions: closed forms, quadrature, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import Euclidean, Manifold, Sphere, Torus
from manifold_gen.models import FreeFormFlow
from manifold_gen.models.posterior import PosteriorSample
from manifold_gen.seeds import generator

# standard errors of the effective sample that a mean may be off; a normal one is further off once in 1.7 million times
SIGMAS = 5.0
N = 1500


def identity(manifold: Manifold) -> FreeFormFlow:
    """An untrained flow, whose density is the base's."""
    return FreeFormFlow(manifold, width=8, depth=1, waves=8).double()


def bent(manifold: Manifold) -> FreeFormFlow:
    """A flow with a density of its own."""
    flow = FreeFormFlow(manifold, width=8, depth=1, waves=4, frequency=2.0).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator(3), dtype=parameter.dtype))
    return flow


def assert_mean(drawn: PosteriorSample, values: Tensor, mean: float, variance: float) -> None:
    """The weighted mean of ``values`` is ``mean`` within the error of the effective sample."""
    found = float((drawn.log_weights.exp() * values).sum())
    allowed = SIGMAS * math.sqrt(variance / drawn.effective_sample_size)
    assert abs(found - mean) < allowed, f"mean {found:.4f}, expected {mean:.4f} ± {allowed:.4f}"


@pytest.mark.parametrize("kappa", [1.0, 300.0])  # by weights alone, and by the ladder
def test_uniform_prior_and_von_mises_fisher_likelihood(kappa: float) -> None:
    north = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    drawn = identity(Sphere(2)).sample_posterior(lambda x: kappa * (x @ north), N, generator=generator(0))
    coth = 1 / math.tanh(kappa)
    assert_mean(drawn, drawn.x[:, 2], coth - 1 / kappa, 1 - coth**2 + 1 / kappa**2)
    for axis in (0, 1):
        assert_mean(drawn, drawn.x[:, axis], 0.0, (coth - 1 / kappa) / kappa)
    evidence = kappa + math.log1p(-math.exp(-2 * kappa)) - math.log(2 * kappa)
    assert drawn.log_evidence == pytest.approx(evidence, abs=0.25)
    assert drawn.effective_sample_size > 0.3 * N


def test_normal_prior_and_narrow_normal_likelihood() -> None:
    width, seen = 0.05, torch.tensor([1.0, -2.0], dtype=torch.float64)

    def log_likelihood(x: Tensor) -> Tensor:
        return -0.5 * ((x - seen) / width).square().sum(-1)

    drawn = identity(Euclidean(2)).sample_posterior(log_likelihood, N, generator=generator(1))
    variance = width**2 / (1 + width**2)
    for axis in (0, 1):
        mean = float(seen[axis]) * variance / width**2
        assert_mean(drawn, drawn.x[:, axis], mean, variance)
        assert_mean(drawn, (drawn.x[:, axis] - mean).square(), variance, 2 * variance**2)
    evidence = -0.5 * float(seen.square().sum()) / (1 + width**2) + math.log(width**2 / (1 + width**2))
    assert drawn.log_evidence == pytest.approx(evidence, abs=0.3)


@pytest.mark.parametrize("sharpness", [2.0, 60.0])
def test_a_bent_prior_agrees_with_quadrature(sharpness: float) -> None:
    flow = bent(Torus(1))
    grid = torch.linspace(-math.pi, math.pi, 2001, dtype=torch.float64)[:-1, None]

    def log_likelihood(x: Tensor) -> Tensor:
        return sharpness * torch.cos(2 * x[..., 0] - 0.7)  # two modes

    density = torch.softmax(flow.score(grid).log_prob.detach() + log_likelihood(grid), 0)
    drawn = flow.sample_posterior(log_likelihood, N, generator=generator(2))
    for function in (torch.cos, torch.sin):
        values = function(grid[:, 0])
        mean = float((density * values).sum())
        assert_mean(drawn, function(drawn.x[:, 0]), mean, float((density * (values - mean).square()).sum()))


def test_the_prior_of_another_flow_is_noticed() -> None:
    """Teeth: under a uniform prior the mean of the sine would be 0."""
    drawn = bent(Torus(1)).sample_posterior(lambda x: x[..., 0].cos(), N, generator=generator(2))
    with pytest.raises(AssertionError, match=r"expected 0\.0000"):
        assert_mean(drawn, torch.sin(drawn.x[:, 0]), 0.0, 0.5)


def test_inpainting_keeps_what_is_known() -> None:
    known, mask = torch.tensor([1.0, 9.0], dtype=torch.float64), torch.tensor([True, False])
    drawn = identity(Torus(2)).inpaint(known, mask, N, generator=generator(4), tolerance=0.05)
    assert_mean(drawn, drawn.x[:, 0] - 1.0, 0.0, 0.05**2)
    assert_mean(drawn, (drawn.x[:, 0] - 1.0).square(), 0.05**2, 2 * 0.05**4)
    for function in (torch.cos, torch.sin):
        assert_mean(drawn, function(drawn.x[:, 1]), 0.0, 0.5)


def test_inpainting_refuses_half_a_direction() -> None:
    mask = torch.tensor([True, False, False])
    with pytest.raises(UsageError, match="know it all"):
        identity(Sphere(2)).inpaint(torch.tensor([1.0, 0.0, 0.0]), mask, 10)


def test_the_generator_decides() -> None:
    flow = identity(Torus(1))
    first, second = (
        flow.sample_posterior(lambda x: 200 * x[..., 0].cos(), 200, generator=generator(7)) for _ in range(2)
    )
    assert torch.equal(first.x, second.x)
    assert first.effective_sample_size == second.effective_sample_size


def test_a_small_effective_sample_is_warned_of() -> None:
    flow = identity(Torus(1))
    with pytest.warns(UserWarning, match="worth"):
        flow.sample_posterior(lambda x: 1e4 * x[..., 0].cos(), 50, generator=generator(8), least=0.999)


def test_a_likelihood_that_is_zero_everywhere_is_refused() -> None:
    flow = identity(Torus(1))
    with pytest.raises(DataError, match="zero at all of 20 points"):
        flow.sample_posterior(lambda x: torch.full((len(x),), -torch.inf), 20)


def test_a_likelihood_of_another_shape_is_refused() -> None:
    flow = identity(Torus(1))
    with pytest.raises(UsageError, match="expected \\(20,\\)"):
        flow.sample_posterior(lambda x: x.cos(), 20)
    with pytest.raises(UsageError, match="n must be 2 or more"):
        flow.sample_posterior(lambda x: x[:, 0].cos(), 1)
