"""Riemannian diffusion obeys the laws of a model on every kind of space, and its parts fit together."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from manifold_gen.errors import UsageError
from manifold_gen.manifolds import SO3, Euclidean, PoincareBall, Product, Sphere, Torus
from manifold_gen.models.diffusion import Diffusion
from manifold_gen.testing import FAILURE_RATE, check_model

SMALL = dict(width=24, depth=1, frequency=2.0, steps=6, smoothing=0.15, walk_steps=8)
SPACES = {"s2": (Sphere(2), 1500), "t2": (Torus(2), 1500), "so3": (SO3(), 2000), "r2": (Euclidean(2), 1000)}


def points(manifold, n=24, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    origin = manifold.origin(n, dtype=dtype)
    return manifold.expmap(origin, 0.7 * manifold.random_tangent(origin, generator=generator))


@pytest.mark.parametrize("name", SPACES)
def test_it_obeys_the_laws_of_a_model(name):
    manifold, samples = SPACES[name]
    check_model(Diffusion(manifold, **SMALL), points(manifold), samples=samples, steps=120)


def test_it_obeys_the_laws_of_a_model_in_hyperbolic_space():
    ball = PoincareBall(2)
    check_model(Diffusion(ball, **SMALL), points(ball, dtype=torch.float64), samples=500, steps=120, batch=64)


def test_it_takes_a_context():
    torus = Torus(2)
    context = torch.arange(24) % 2
    model = Diffusion(torus, context_categories=2, **SMALL)
    check_model(model, points(torus), context, samples=1000, steps=120)
    drawn = model.sample_posterior(lambda x: -x.square().sum(-1), 20, context[:1], torch.Generator(), steps=4)
    assert drawn.x.shape == (20, 2)


@pytest.mark.parametrize("manifold", [Torus(2), Euclidean(2), Product(Torus(1), Euclidean(2))], ids=str)
def test_denoising_and_implicit_score_matching_are_one_loss_in_the_mean(manifold):
    denoising, implicit = (Diffusion(manifold, objective=objective, **SMALL) for objective in ("denoising", "implicit"))
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for ours, theirs in zip(denoising.parameters(), implicit.parameters(), strict=True):
            ours.add_(0.1 * torch.randn(ours.shape, generator=stream))
            theirs.copy_(ours)
    data = points(manifold, 4000, seed=2)
    auxiliary = denoising.auxiliary(len(data), stream)
    gap = denoising.losses(data, None, auxiliary)["bound"] - implicit.losses(data, None, auxiliary)["bound"]
    gap = gap.detach()
    assert float(gap.std()) > 0.1
    assert abs(float(gap.mean())) < stats.norm.isf(FAILURE_RATE / 2) * float(gap.std()) / len(gap) ** 0.5


def test_one_random_direction_gives_the_divergence_in_the_mean():
    manifold = Product(Torus(2), PoincareBall(2))
    model = Diffusion(manifold, **SMALL).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    x = points(manifold, 1, dtype=torch.float64).repeat(8000, 1)
    t = x.new_full((len(x),), 0.6)
    probe = torch.randn(len(x), 4, generator=torch.Generator().manual_seed(4), dtype=x.dtype)
    _, estimate = model._probed(x, t, None, probe)
    _, exact = model.relative_score_and_divergence(x[:1], t[:1])
    error = float(estimate.std()) / len(x) ** 0.5
    assert abs(float(estimate.mean() - exact)) < stats.norm.isf(FAILURE_RATE / 2) * error
    assert "probe" in model.auxiliary(3)


def test_untrained_it_is_the_base():
    manifold = Product(Torus(1), Euclidean(2))
    model = Diffusion(manifold, **SMALL)
    x = points(manifold)
    assert torch.allclose(model.log_prob(x), model.base.log_prob(x), atol=1e-5)
    bound = model.variational_bound(x, draws=3, generator=torch.Generator())
    assert torch.allclose(bound.value, model.base.log_prob(x), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(objective="denoise"), "denoise"),
        (dict(smoothing=4.0), "noise goes from"),
        (dict(method="heun"), "heun"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        Diffusion(Torus(1), **settings)


def test_denoising_needs_transitions():
    with pytest.raises(UsageError, match="no transition density"):
        Diffusion(PoincareBall(2), objective="denoising")
