"""Flow matching: geodesic paths, the laws of a model, and a target that is known."""

import math

import pytest
import torch
from diffeomorphisms import points

from manifold_gen import seeds
from manifold_gen.errors import UsageError
from manifold_gen.geodesics import geodesic
from manifold_gen.manifolds import Sphere, Torus, from_spec
from manifold_gen.models import FlowMatching
from manifold_gen.ode import Solver
from manifold_gen.testing import check_model

SIZE = {"width": 24, "depth": 1, "frequency": 2.0, "waves": 10, "time_waves": 2, "steps": 8}
SPECS = ["sphere:2", "torus:2", "so3", "euclidean:2", "lorentz:2"]


@pytest.mark.parametrize("spec", SPECS)
def test_a_small_model_obeys_every_law(spec):
    manifold = from_spec(spec)
    dtype = torch.float64 if spec.startswith("lorentz") else torch.float32
    size = {**SIZE, "steps": 4} if spec.startswith("lorentz") else SIZE
    check_model(FlowMatching(manifold, **size), points(manifold, 20, dtype=dtype), steps=80, batch=96, samples=2000)


def test_a_conditional_model_obeys_every_law():
    circle = Torus(1)
    context = torch.linspace(-1, 1, 20).unsqueeze(-1)
    model = FlowMatching(circle, context_features=1, **SIZE)
    check_model(model, points(circle, 20, dtype=torch.float32), context, steps=80, samples=600)


@pytest.mark.parametrize("spec", [*SPECS, "so3 x torus:2"])
def test_geodesics_join_their_ends_at_constant_speed(spec):
    manifold = from_spec(spec)
    z, x = points(manifold, 10), points(manifold, 20)[10:]
    t = torch.linspace(0.05, 0.95, 10, dtype=z.dtype)
    here, velocity = geodesic(manifold, z, x, t)
    assert torch.allclose(manifold.dist(z, here), t * manifold.dist(z, x), atol=1e-8)
    assert torch.allclose(manifold.norm(here, velocity), manifold.dist(z, x), atol=1e-8)
    assert torch.allclose(manifold.proju(here, velocity), velocity, atol=1e-8)
    left = (1 - t).reshape(-1, *(1,) * len(manifold.shape))
    assert float(manifold.dist(manifold.expmap(here, left * velocity), x).max()) < 1e-7


def test_the_loss_is_the_distance_from_the_conditional_velocity():
    """An untrained field is zero, so the loss is the squared length of the geodesic."""
    sphere = Sphere(2)
    model, x = FlowMatching(sphere, **SIZE), points(Sphere(2), 30, dtype=torch.float32)
    drawn = model.auxiliary(30, seeds.generator(0))
    terms = model.losses(x, None, drawn)
    assert torch.allclose(terms["matching"], sphere.dist2(drawn["latent"], x), atol=1e-5)


def test_a_constant_field_turns_the_base_and_keeps_its_density():
    """On a torus the field is its own closed form: the latents move by it, and the density stays uniform."""
    torus = Torus(2)
    model = FlowMatching(torus, **SIZE).double()
    turn = torch.tensor([0.3, -1.2], dtype=torch.float64)
    with torch.no_grad():
        model.field.network.last.bias.copy_(turn)
    z = points(torus, 7)
    moved = torus.expmap(z, turn.expand_as(z))
    assert float(torus.dist(model.decode(z).detach(), moved).max()) < 1e-12
    assert torch.allclose(model.log_prob(moved), torch.full((7,), -2 * math.log(2 * math.pi)).double())


def test_forwards_and_backwards_agree_and_too_few_steps_are_noticed():
    model = FlowMatching(Sphere(2), **SIZE).double()
    with torch.no_grad():
        for parameter in model.field.network.last.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeds.generator(1)).to(parameter))
    x = points(Sphere(2), 40)
    record = model.score(x, solver=Solver("rk4", 24))
    assert bool(record.converged.all())
    assert float(record.residual.max()) < 1e-3
    crude = model.score(x, solver=Solver("euler", 1))
    assert bool((~crude.converged).any()), "a single step of Euler's method passes for exact"
    assert bool((crude.log_prob[~crude.converged] == -math.inf).all())


def test_log_prob_has_the_gradients_of_its_own_differences():
    model = FlowMatching(Torus(1), **{**SIZE, "width": 8, "steps": 3}).double()
    with torch.no_grad():
        model.field.network.last.weight.add_(0.3)
    x = points(Torus(1), 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: model.log_prob(p), (x,))


def test_samplers_may_choose_their_solver():
    model = FlowMatching(Sphere(2), **SIZE)
    few, many = (model.sample(6, generator=seeds.generator(2), solver=Solver("euler", n)) for n in (1, 4))
    assert few.shape == many.shape == (6, 3)
    with pytest.raises(UsageError, match="cannot draw n = -1"):
        model.sample(-1)


def test_points_that_do_not_fit_are_refused():
    model = FlowMatching(Sphere(2), **SIZE)
    with pytest.raises(UsageError, match=r"shape \(4, 2\), expected \(..., 3\)"):
        model.log_prob(torch.zeros(4, 2))
    with pytest.raises(UsageError, match=r"points are torch.float64, the model is torch.float32"):
        model.log_prob(torch.zeros(4, 3, dtype=torch.float64))
    with pytest.raises(UsageError, match="1 numbers of the points are NaN"):
        model.score(torch.tensor([[0.0, 0.0, math.nan]]))
