"""Flow maps: known flows solve their equation, what is held still is, and a short training finds the teacher's flow."""

import math

import pytest
import torch
from diffeomorphisms import points
from known_flows import KNOWN, KnownFlow, gaussian_flow, spread

from manifold_gen import seeds
from manifold_gen.derivatives import derivative_along
from manifold_gen.errors import UsageError
from manifold_gen.geodesics import geodesic
from manifold_gen.manifolds import Euclidean, Sphere, Torus, from_spec
from manifold_gen.models import FlowMap
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.networks.flow_map import TwoTimeField
from manifold_gen.ode import Solver
from manifold_gen.testing import check_model

SIZE = {"width": 24, "depth": 1, "frequency": 2.0, "waves": 10}
SPECS = ["sphere:2", "torus:2", "so3", "euclidean:2", "poincare:2"]


def nudged(module, size=0.1, seed=1):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=seeds.generator(seed)).to(parameter))
    return module


def known(name, rate_scale=1.0, **options):
    manifold, flow = KNOWN[name]
    model = FlowMap(manifold, **SIZE, **options).to(torch.float64)
    model.field = KnownFlow(manifold, flow, rate_scale)
    return model


def lagrangian(model, n=200):
    model.share, model.origin = 1.0, 0.3
    x = spread(model.manifold, n, seeds.generator(2))
    auxiliary = model.auxiliary(n, seeds.generator(3))
    auxiliary["latent"] = spread(model.manifold, n, seeds.generator(4))
    auxiliary = {name: rows.to(torch.float64) for name, rows in auxiliary.items()}
    return model.losses(x, auxiliary=auxiliary)["lagrangian"]


# ---- the interface --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_a_small_model_obeys_every_law(spec):
    manifold = from_spec(spec)
    dtype = torch.float64 if spec.startswith("poincare") else torch.float32
    check_model(FlowMap(manifold, **SIZE), points(manifold, 20, dtype=dtype), density=False, steps=50, batch=96)


def test_a_conditional_model_obeys_every_law():
    context = torch.linspace(-1, 1, 20).unsqueeze(-1)
    model = FlowMap(Torus(1), context_features=1, **SIZE)
    check_model(model, points(Torus(1), 20, dtype=torch.float32), context, density=False, steps=50, batch=96)


@pytest.mark.parametrize("spec", SPECS)
def test_over_no_time_the_map_is_the_identity(spec):
    manifold = from_spec(spec)
    model = nudged(FlowMap(manifold, **SIZE)).to(torch.float64)
    x = points(manifold, 20)
    assert float(manifold.dist(model.flow(x, 0.3, 0.3), x).max()) < 1e-12
    assert float(manifold.dist(model.flow(x, 0.3, 0.4), x).max()) > 1e-3


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: FlowMap(Torus(1), steps=0), "0 steps; expected at least 1"),
        (lambda: FlowMap(Torus(1), **SIZE).sample(3, steps=0), "0 steps; expected at least 1"),
        (lambda: FlowMap(Torus(1), **SIZE).sample(-1), "n = -1"),
        (lambda: FlowMap(Torus(1), share=0.0), "share = 0"),
        (lambda: FlowMap(Torus(1), origin=1.5), "origin = 1.5"),
        (
            lambda: FlowMap(Torus(1), **SIZE).distil(FlowMap(Torus(2), **SIZE)),
            "torus:2, this model on torus:1",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, reason):
    with pytest.raises(UsageError, match=reason):
        call()


def test_chunks_draw_the_same_sample():
    model = nudged(FlowMap(Sphere(2), **SIZE))
    whole, parts = (model.sample(10, generator=seeds.generator(0), steps=3, chunk=c) for c in (10, 4))
    assert torch.allclose(whole, parts, atol=1e-6)


# ---- derivatives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_derivatives_agree_with_forward_mode(spec):
    manifold = from_spec(spec)
    x, y = points(manifold, 20), points(manifold, 20).flip(0)
    u = manifold.logmap(x, y)
    w = manifold.proju(x, torch.cos(3 * u))
    value, along = derivative_along(lambda u: manifold.expmap(x, u), (u,), (w,))
    expected = torch.func.jvp(lambda u: manifold.expmap(x, u), (u,), (w,))
    assert torch.allclose(value, expected[0])
    assert torch.allclose(along, expected[1], atol=1e-10)
    t = torch.linspace(0, 1, 20, dtype=torch.float64)
    scale = t.reshape(-1, *(1,) * len(manifold.shape))
    expected = torch.func.jvp(lambda s: manifold.expmap(x, s * u), (scale,), (torch.ones_like(scale),))
    for ours, theirs in zip(geodesic(manifold, x, y, t), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("velocity", [False, True])
def test_the_network_pushes_times_and_points_forward(velocity):
    sphere = Sphere(2)
    field = nudged(TwoTimeField(sphere, **SIZE, context_features=1)).to(torch.float64)
    x, context = points(sphere, 9), torch.linspace(0, 1, 9, dtype=torch.float64).unsqueeze(-1)
    s, t = torch.linspace(0, 0.5, 9, dtype=torch.float64), torch.linspace(0.5, 1, 9, dtype=torch.float64)
    v = sphere.proju(x, torch.ones_like(x)) if velocity else None
    y, rate = field.pushforward(x, s, t, (0.7, -1.3), v, context)
    h = 1e-6
    moved = [0.0 if v is None else h * v, 0.7 * h, -1.3 * h]
    after = field.pushforward(x + moved[0], s + moved[1], t + moved[2], (0.0, 0.0), None, context)[0]
    before = field.pushforward(x - moved[0], s - moved[1], t - moved[2], (0.0, 0.0), None, context)[0]
    assert torch.allclose(rate, (after - before) / (2 * h), atol=1e-7)
    assert torch.allclose(sphere.tangent(x, y), field(x, s, t, context))


# ---- known flows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_flow_solves_the_equation(name):
    model = known(name)
    loss = lagrangian(model)
    assert float(loss.detach().max()) < 1e-9
    loss.mean().backward()
    assert abs(float(model.field.error.grad)) < 1e-4


@pytest.mark.parametrize("name", KNOWN)
def test_a_wrong_derivative_and_a_wrong_map_are_noticed(name):
    if name != "euclidean":  # where the average velocity is constant in s and t a scale of its rate says nothing
        assert float(lagrangian(known(name, rate_scale=0.8)).mean()) > 1e-4
    model = known(name)
    with torch.no_grad():
        model.field.error.fill_(0.2)
    loss = lagrangian(model).mean()
    loss.backward()
    assert float(loss.detach()) > 1e-3
    assert float(model.field.error.grad) > 1e-3  # descent leads back


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_flow_is_a_semigroup(name):
    model = known(name)
    x = spread(model.manifold, 50, seeds.generator(5))
    whole, parts = model.flow(x, 0.1, 0.9), model.flow(model.flow(x, 0.1, 0.4), 0.4, 0.9)
    assert float(model.manifold.dist(whole, parts).max()) < 1e-6
    one, four = (model.decode(x, steps=k) for k in (1, 4))
    assert float(model.manifold.dist(one, four).max()) < 1e-6
    start = torch.zeros(50, dtype=torch.float64)
    assert float(model.manifold.dist(one, KNOWN[name][1](x, start, start + 1)).max()) < 1e-6


def test_the_field_teaches_and_does_not_learn_from_the_map():
    model = FlowMap(Euclidean(1), share=1.0, origin=0.0, **SIZE).to(torch.float64)

    class Line(torch.nn.Module):
        """c + e (t − s): its map moves at c + 2 e (t − s), its diagonal is c."""

        def __init__(self):
            super().__init__()
            self.c = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

        def forward(self, x, s, t, context=None):
            return (self.c + 0.5 * (t - s)).unsqueeze(-1)

        def pushforward(self, x, s, t, rates, velocity=None, context=None):
            return self(x, s, t), torch.full_like(x, 0.5 * (rates[1] - rates[0]))

    model.field = Line()
    auxiliary = {k: v.double() for k, v in model.auxiliary(50, seeds.generator(0)).items()}
    loss = model.losses(torch.zeros(50, 1).double(), auxiliary=auxiliary)["lagrangian"]
    (gradient,) = torch.autograd.grad(loss.mean(), model.field.c)
    span = auxiliary["span"][:, 1] - auxiliary["span"][:, 0]
    assert torch.allclose(loss, span**2)
    assert math.isclose(float(gradient), float(2 * span.mean()), rel_tol=1e-9)  # were the field to learn: 0


def test_the_flow_of_flow_matching_between_normals_is_a_stationary_point(failure_rate):
    line, n = Euclidean(1), 20_000
    model = FlowMap(line, share=1.0, **SIZE).to(torch.float64)
    model.field = KnownFlow(line, gaussian_flow(2.0))
    auxiliary = {k: v.double() for k, v in model.auxiliary(n, seeds.generator(6)).items()}
    x = 2 * torch.randn(n, 1, generator=seeds.generator(7), dtype=torch.float64)
    loss = model.losses(x, auxiliary=auxiliary)
    assert float(loss["lagrangian"].detach().max()) < 1e-9
    x_t, velocity = geodesic(line, auxiliary["latent"], x, auxiliary["time"])
    v = model.field(x_t, auxiliary["time"], auxiliary["time"]).detach()
    slope = (v - velocity) * x_t  # of the matching term where v grows along x
    bound = 5 * float(slope.std()) / math.sqrt(n)
    assert failure_rate >= 6e-7  # of five standard errors
    assert abs(float(slope.mean())) < bound
    assert abs(float((slope + 0.1 * x_t**2).mean())) > bound  # a field a tenth too steep is noticed


# ---- learning -------------------------------------------------------------------------------------------------------


class Waves(ContinuousDistribution):
    """A field on the torus that bends every path."""

    def __init__(self):
        super().__init__(Torus(2), ContextEmbedding(), Solver(steps=16))

    def velocity(self, x, t, context=None):
        time = t.unsqueeze(-1)
        return torch.stack([torch.sin(x[..., 1]), 0.8 * torch.cos(x[..., 0])], -1) + 0.5 * time


def test_a_teachers_flow_is_learned_in_one_step_and_in_four():
    torus, teacher = Torus(2), Waves()
    model = FlowMap(torus, width=48, depth=1, frequency=2.0, waves=12, share=1.0)
    before = set(model.state_dict())
    model.distil(teacher)
    assert set(model.state_dict()) == before
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - step / 300)
        stream = seeds.generator(0, step)
        loss = model.loss(torus.random_uniform(128, generator=stream), generator=stream).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    z = torus.random_uniform(200, generator=seeds.generator(9))
    with torch.no_grad():
        exact = teacher.decode(z)
        far = float(torus.dist(exact, z).mean())
        for steps in (1, 2, 4):
            assert float(torus.dist(model.decode(z, steps=steps), exact).mean()) < 0.1 * far
