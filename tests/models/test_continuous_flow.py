"""Continuous and Moser flows: the laws of a model, gradients by two ways, and failures that speak."""

import math

import pytest
import torch
from diffeomorphisms import points

from manifold_gen import seeds
from manifold_gen.errors import IntegrationError, UsageError
from manifold_gen.manifolds import Sphere, Torus, from_spec
from manifold_gen.models import ContinuousFlow, MoserFlow
from manifold_gen.testing import check_model

FIELD = {"width": 24, "depth": 1, "frequency": 2.0, "waves": 10}
SPECS = ["sphere:2", "torus:2", "so3", "euclidean:2", "lorentz:2"]


def dtype_of(spec):
    return torch.float64 if spec.startswith("lorentz") else torch.float32


def nudged(model, size=0.3):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=seeds.generator(1)).to(parameter))
    return model


@pytest.mark.parametrize("spec", SPECS)
def test_a_small_continuous_flow_obeys_every_law(spec):
    manifold = from_spec(spec)
    model = ContinuousFlow(manifold, **FIELD, steps=4, training_steps=2)
    data = points(manifold, 20, dtype=dtype_of(spec))
    check_model(model, data, steps=40, batch=64, lr=1e-2, samples=2500)


@pytest.mark.parametrize("spec", SPECS)
def test_a_small_moser_flow_obeys_every_law(spec):
    manifold = from_spec(spec)
    data = points(manifold, 20, dtype=dtype_of(spec))
    check_model(MoserFlow(manifold, **FIELD, steps=6), data, steps=60, batch=96, samples=600)


def test_training_and_the_likelihood_agree():
    """With one solver the loss without the penalty is the negative log-likelihood, and so are its gradients."""
    options = {"steps": 3, "method": "midpoint", "training_method": "midpoint", "training_steps": 3}
    model = nudged(ContinuousFlow(Sphere(2), **FIELD, **options, kinetic=0.0).double())
    x = points(Sphere(2), 6)
    nll = model.losses(x)["nll"]
    assert torch.allclose(nll, -model.log_prob(x))


def test_the_adjoint_has_the_gradients_of_the_steps():
    x = points(Sphere(2), 8)
    slopes = []
    for gradient in ("backprop", "adjoint"):
        options = {"training_method": "rk4", "training_steps": 16, "gradient": gradient, "kinetic": 0.0}
        model = nudged(ContinuousFlow(Sphere(2), **FIELD, **options).double(), 0.15)
        loss = model.losses(x)["nll"].mean()
        slopes.append((loss.detach(), torch.autograd.grad(loss, [*model.field.network.parameters()])))
    (value, direct), (other, adjoint) = slopes
    assert float(other) == pytest.approx(float(value), abs=1e-4)
    for one, two in zip(direct, adjoint, strict=True):
        assert torch.allclose(one, two, atol=2e-3 * float(one.abs().max() + 0.1))


def test_the_kinetic_penalty_is_the_mean_energy():
    model = ContinuousFlow(Torus(1), **FIELD, kinetic=2.0).double()
    with torch.no_grad():
        model.field.network.last.bias.fill_(0.5)
    assert torch.allclose(model.losses(points(Torus(1), 4))["kinetic"], torch.full((4,), 0.5).double())


def test_choices_that_do_not_go_together_are_refused():
    with pytest.raises(UsageError, match="gradient is 'magic'; expected one of backprop, adjoint"):
        ContinuousFlow(Torus(1), gradient="magic")
    with pytest.raises(UsageError, match=r"no kinetic penalty, got kinetic = 0.01; set kinetic = 0"):
        ContinuousFlow(Torus(1), gradient="adjoint")


@pytest.mark.parametrize("gradient", ["backprop", "adjoint"])
def test_a_field_too_steep_to_follow_is_one_error(gradient):
    options = {"training_method": "adaptive", "kinetic": 0.0, "gradient": gradient, "tolerance": 1e-9}
    model = nudged(ContinuousFlow(Sphere(2), **FIELD, **options).double())
    with torch.no_grad():
        model.field.network.last.bias.fill_(math.nan)
    with pytest.raises(IntegrationError, match="underflow"):
        model.losses(points(Sphere(2), 3))


def test_a_moser_flow_integrates_to_one_whatever_its_field_is():
    torus = Torus(2)
    model = nudged(MoserFlow(torus, **FIELD).double(), 0.05)
    grid = torch.linspace(-math.pi, math.pi, 65, dtype=torch.float64)[:-1]
    x = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    source = model._field_and_source(x, None)[1].detach()
    assert float(source.abs().max()) > 0.1, "the field is trivial: nothing is tested"
    assert float(source.mean()) == pytest.approx(0, abs=1e-12)


def test_a_moser_field_that_is_no_density_is_not_scored():
    model = nudged(MoserFlow(Sphere(2), **FIELD).double(), 0.6)
    record = model.score(points(Sphere(2), 200))
    bad = ~record.converged
    assert bool(bad.any())
    assert bool((record.log_prob[bad] == -math.inf).all())
    assert bool((record.residual[bad] > 0).all())
    assert bool(record.log_prob[~bad].isfinite().all())


@pytest.mark.parametrize(("method", "steps"), [("rk4", 4), ("euler", 8), ("adaptive", 4)])
def test_a_round_trip_is_what_the_likelihood_says_of_the_same_points(method, steps):
    """Without a divergence; with few steps of Euler's method some points are lost, some return in finer steps only."""
    model = nudged(ContinuousFlow(Sphere(2), **FIELD, method=method, steps=steps).double(), 0.15)
    count = 60
    returned = model.round_trip(count, generator=seeds.generator(5))
    with torch.no_grad():
        x = model.sample(count, generator=seeds.generator(5))
        record, coarse = model.score(x), model.score(x, solver=model.solver)
    assert torch.equal(returned, record.converged)
    if method == "euler":
        assert 0 < int(coarse.converged.sum()) < int(returned.sum()) < count


def test_a_moser_flow_returns_from_its_round_trip():
    model = nudged(MoserFlow(Sphere(2), **FIELD).double(), 0.02)
    assert bool(model.round_trip(16).all())
