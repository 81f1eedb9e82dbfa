"""Integrators: their order on every manifold, closed-form flows, and failures that speak."""

import functools
import math

import pytest
import torch

from manifold_gen import adaptive, calculus, seeds
from manifold_gen.errors import IntegrationError, UsageError
from manifold_gen.manifolds import Euclidean, Sphere, Torus, from_spec
from manifold_gen.ode import Solver, integrate, integrate_with_volume
from manifold_gen.runge_kutta import TABLEAUX, Tableau, combined

SPECS = ["euclidean:2", "sphere:2", "torus:2", "so3", "poincare:2", "lorentz:2", "so3 x torus:2"]
ORDERS = {name: tableau.order for name, tableau in TABLEAUX.items()}


def field_on(manifold):
    """A smooth field that turns, bends and depends on time, with its divergence."""
    stream = seeds.generator(3)
    mix = torch.randn(manifold.tangent_dim, manifold.embed_dim, generator=stream, dtype=torch.float64)

    def field(x, t):
        def at(p):
            return manifold.tangent(p, torch.sin(manifold.embed(p) @ mix.mT + 2 * t.unsqueeze(-1)))

        v, images = calculus.pushforward(at, x, calculus.frame(manifold, x))
        return v, calculus.divergence_of(manifold, x, v, images)

    return field


def start(manifold, n=5):
    x = manifold.origin(n, dtype=torch.float64)
    return manifold.expmap(x, 0.5 * manifold.random_tangent(x, generator=seeds.generator(4)))


@functools.cache
def problem(spec):
    """Manifold, field, starting points and where they end, to rounding that the tests do not reach."""
    manifold = from_spec(spec)
    field, x = field_on(manifold), start(manifold)
    return manifold, field, x, integrate_with_volume(field, manifold, x, solver=Solver("rk4", 48))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("method", ORDERS)
def test_each_method_has_its_order_on_every_manifold(spec, method):
    manifold, field, x, exact = problem(spec)
    errors = []
    for steps in (6, 12):
        path = integrate_with_volume(field, manifold, x, solver=Solver(method, steps))
        place, volume = manifold.dist(path.x, exact.x), (path.log_volume - exact.log_volume).abs()
        errors.append((float(place.square().mean().sqrt()), float(volume.square().mean().sqrt())))
    for coarse, fine in zip(*errors, strict=True):
        assert fine > 1e-13, "the error is rounding: nothing is measured"
        assert math.log2(coarse / fine) == pytest.approx(ORDERS[method], abs=0.45)


@pytest.mark.parametrize("spec", ["sphere:2", "so3"])
def test_without_pulling_the_stages_back_the_order_is_lost(spec, monkeypatch):
    """Teeth: stages transported by projection alone make Kutta's method one of order two at best."""
    manifold, field, x, exact = problem(spec)

    def careless(field, manifold, x, t, h, tableau):
        slopes, rates = [], []
        for node, row in zip(tableau.nodes, tableau.stages, strict=True):
            y = manifold.expmap(x, h * combined(slopes, row)) if any(row) else x
            v, rate = field(y, t + node * h)
            slopes.append(manifold.proju(x, v))
            rates.append(rate)
        return slopes, rates

    monkeypatch.setattr("manifold_gen.ode.stages", careless)
    errors = [
        float(manifold.dist(integrate_with_volume(field, manifold, x, solver=Solver("rk4", n)).x, exact.x).mean())
        for n in (6, 12)
    ]
    assert math.log2(errors[0] / errors[1]) < 3.5


@pytest.mark.parametrize("spec", SPECS)
def test_the_adaptive_method_keeps_its_tolerance(spec):
    manifold, field, x, exact = problem(spec)
    loose, tight = (
        integrate_with_volume(field, manifold, x, solver=Solver("adaptive", tolerance=tol)) for tol in (1e-3, 1e-6)
    )
    for path, bound in ((loose, 1e-1), (tight, 1e-4)):
        assert float(manifold.dist(path.x, exact.x).max()) < bound
        assert float((path.log_volume - exact.log_volume).abs().max()) < bound
    assert tight.evaluations > loose.evaluations


def test_an_adaptive_point_does_not_depend_on_its_batch():
    manifold = Sphere(2)
    x = start(manifold, 6)

    def steep(x, t):
        speed = torch.where(x[..., :1] > 0, 3.0, 0.1)
        return speed * manifold.proju(x, torch.tensor([0.0, 1.0, 0.0]).to(x).expand_as(x)) * torch.cos(4 * x[..., 2:])

    solver = Solver("adaptive", tolerance=1e-4)
    together = integrate(steep, manifold, x, solver=solver).x
    alone = torch.cat([integrate(steep, manifold, x[i : i + 1], solver=solver).x for i in range(6)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", ["rk4", "adaptive"])
def test_climbing_to_the_pole_has_its_closed_form(method):
    """x' = grad of the height: tan(θ/2) shrinks by e^{-t}, a conformal map of volume factor (sin θ(t) / sin θ)²."""
    sphere, up = Sphere(2), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    x = start(sphere, 8)

    def field(x, t):
        return sphere.proju(x, up.expand_as(x)), -2 * x[..., 2]

    path = integrate_with_volume(field, sphere, x, solver=Solver(method, steps=64, tolerance=1e-9))
    before = torch.acos(x[:, 2])
    after = 2 * torch.atan(torch.tan(before / 2) * math.exp(-1))
    assert torch.allclose(torch.acos(path.x[:, 2]), after, atol=1e-7)
    assert torch.allclose(path.log_volume, 2 * torch.log(torch.sin(after) / torch.sin(before)), atol=1e-7)


def test_backwards_undoes_forwards():
    manifold, field, x, _ = problem("so3")
    there = integrate_with_volume(field, manifold, x, 0.0, 1.0, Solver("rk4", 24))
    back = integrate_with_volume(field, manifold, there.x, 1.0, 0.0, Solver("rk4", 24))
    assert float(manifold.dist(back.x, x).max()) < 1e-4
    assert torch.allclose(back.log_volume, -there.log_volume, atol=1e-4)


def test_gradients_flow_through_every_method():
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    for method in ("euler", "midpoint", "rk4", "adaptive"):
        path = integrate(
            lambda x, t: rate * x, Euclidean(1), torch.ones(1, dtype=torch.float64), solver=Solver(method, 64)
        )
        (slope,) = torch.autograd.grad(path.x.sum(), rate)
        assert float(slope) == pytest.approx(math.exp(0.7), rel={"euler": 2e-2}.get(method, 1e-3))


def test_a_step_that_underflows_is_one_clear_error():
    def wall(x, t):
        return 1 / (0.5 - t).unsqueeze(-1) ** 3

    with pytest.raises(IntegrationError, match=r"the step size underflowed at 2 of 2 points on euclidean:1.*at time"):
        integrate(wall, Euclidean(1), torch.zeros(2, 1, dtype=torch.float64), solver=Solver("adaptive"))


def test_a_field_that_is_not_finite_is_an_error():
    with pytest.raises(IntegrationError, match="left 3 of 3 points not finite"):
        integrate(lambda x, t: x / 0, Torus(1), torch.ones(3, 1))
    with pytest.raises(IntegrationError, match="underflowed at 3 of 3"):
        integrate(lambda x, t: x / 0, Torus(1), torch.ones(3, 1), solver=Solver("adaptive"))


def test_solvers_refuse_what_makes_no_sense():
    with pytest.raises(UsageError, match=r"method is 'rk5'; expected one of euler, midpoint, rk4, adaptive"):
        Solver("rk5")
    with pytest.raises(UsageError, match="takes 0 steps; expected at least 1"):
        Solver(steps=0)
    with pytest.raises(UsageError, match="tolerance is 0"):
        Solver(tolerance=0.0)


@pytest.mark.parametrize("tableau", [adaptive.DORMAND_PRINCE])
def test_the_tableau_is_consistent(tableau: Tableau):
    assert sum(tableau.weights) == pytest.approx(1, abs=1e-14)
    assert sum(tableau.error) == pytest.approx(0, abs=1e-14)
    for node, row in zip(tableau.nodes, tableau.stages, strict=True):
        assert sum(row) == pytest.approx(node, abs=1e-14)
