"""Newton inversion on maps whose inverse is known, on maps that fold, and through its differentiable step."""

import itertools
import math
import warnings

import pytest
import torch
from diffeomorphisms import SPECS, Function, double_cover, flow_of, folded_sine, nudged, pair, points

from manifold_gen import calculus, seeds
from manifold_gen.manifolds import Euclidean
from manifold_gen.models import FreeFormFlow, inversion


@pytest.mark.parametrize("spec", SPECS)
def test_a_diffeomorphism_is_inverted_from_a_rough_start(spec, dtype):
    manifold, encoder, decoder = pair(spec, dtype)
    x = points(manifold, 200, dtype=dtype)
    with torch.no_grad():
        truth = encoder(x)
        found = inversion.invert(decoder, manifold, x, nudged(manifold, truth, 0.15))
        image, matrix = calculus.jacobian(decoder, manifold, found.z)
    assert float(found.residual.max()) <= inversion.tolerance(dtype)
    assert float(manifold.dist(found.z, truth).max()) <= 20 * inversion.tolerance(dtype)
    torch.testing.assert_close(found.residual, manifold.dist(image, x), rtol=1e-3, atol=inversion.tolerance(dtype) / 10)
    torch.testing.assert_close(found.log_det, calculus.log_abs_det(matrix), rtol=1e-4, atol=1e-4)
    assert 1 <= int(found.steps.min()) <= int(found.steps.max()) <= inversion.MAX_STEPS
    assert found.z.dtype == dtype


@pytest.mark.parametrize("spec", SPECS)
def test_a_solved_start_takes_no_step(spec):
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 20)
    start = encoder(x).detach()
    found = inversion.invert(decoder, manifold, x, start)
    assert torch.equal(found.z, start)
    assert int(found.steps.max()) == 0


@pytest.mark.parametrize("spec", SPECS)
def test_convergence_is_quadratic(spec):
    """One more step squares the residual up to a constant, until rounding takes over."""
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 50)
    with torch.no_grad():
        start = nudged(manifold, encoder(x), 0.03)
        errors = [
            float(inversion.invert(decoder, manifold, x, start, max_steps=steps).residual.max()) for steps in range(4)
        ]
    for before, after in itertools.pairwise(errors):
        if before > 1e-6:
            assert after <= 20 * before**2


@pytest.mark.parametrize("spec", SPECS)
def test_chords_shrink_the_residual_by_one_factor_a_round(spec):
    """Linear convergence with one Jacobian for all rounds; residuals are those of the latents, and never rise."""
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 50)
    never = torch.zeros(50).double()
    counted = Counted(decoder)
    with torch.no_grad():
        start = nudged(manifold, encoder(x), 0.03)
        found = [inversion.chord(counted, manifold, x, start, never, rounds=rounds) for rounds in range(5)]
        torch.testing.assert_close(found[4][1], manifold.dist(decoder(found[4][0]), x))
    assert counted.jacobians == 5
    for (_, before), (_, after) in itertools.pairwise(found):
        assert bool((after <= before).all())
        assert float(after.median()) <= 0.3 * float(before.median())
    assert torch.equal(found[0][0], start)


def test_points_that_chords_have_solved_move_no_more():
    manifold, encoder, decoder = pair("sphere:2")
    x = points(manifold, 50)
    start = encoder(x).detach()
    z, residual = inversion.chord(decoder, manifold, x, start, torch.full((50,), 1e-6).double())
    assert torch.equal(z, start)
    assert float(residual.max()) < 1e-6


class Counted:
    """A map that counts how often its differential is asked for."""

    def __init__(self, g):
        self.g, self.jacobians = g, 0

    def __call__(self, z, context=None):
        return self.g(z, context)

    def pushforward(self, z, tangents, context=None):
        self.jacobians += 1
        return self.g.pushforward(z, tangents, context)


def test_points_are_inverted_each_on_its_own():
    manifold, encoder, decoder = pair("sphere:2")
    x = points(manifold, 30)
    start = nudged(manifold, encoder(x).detach(), 0.3)
    whole = inversion.invert(decoder, manifold, x, start)
    single = [inversion.invert(decoder, manifold, x[i : i + 1], start[i : i + 1]) for i in range(len(x))]
    torch.testing.assert_close(whole.z, torch.cat([one.z for one in single]), rtol=0, atol=1e-9)
    assert torch.equal(whole.steps, torch.cat([one.steps for one in single]))


def test_a_far_start_arrives_by_many_short_steps(dtype):
    """Steps are cut to length 1, so twelve units take twelve of them; a bound of eight would report no preimage."""

    class Stretch:
        def __call__(self, z, context=None):
            return z + 0.5 * torch.sin(z)

        def pushforward(self, z, tangents, context=None):
            return self(z), (1 + 0.5 * torch.cos(z)) * tangents

    z = torch.linspace(12, 15, 7, dtype=dtype).unsqueeze(-1)
    found = inversion.invert(Stretch(), Euclidean(1), Stretch()(z), torch.zeros_like(z))
    assert float(found.residual.max()) <= inversion.tolerance(dtype)
    torch.testing.assert_close(found.z, z, rtol=0, atol=4 * inversion.tolerance(dtype))
    assert int(found.steps.min()) >= 12


def test_points_without_a_preimage_are_reported(dtype):
    circle, encoder, decoder = folded_sine(1.2)
    x = torch.linspace(-3, 3, 61, dtype=dtype).unsqueeze(-1)
    reachable = x[:, 0].abs() < 1.19
    beyond = x[:, 0].abs() > 1.21
    found = inversion.invert(decoder, circle, x, encoder(x) * 0.9)
    tol = inversion.tolerance(dtype)
    assert bool((found.residual[reachable] <= tol).all())
    assert bool((found.residual[beyond] > tol).all())
    flow = flow_of(circle, encoder, decoder, dtype)
    record = flow.score(x)
    assert bool((record.log_prob[beyond] == -math.inf).all())
    assert bool((record.residual[beyond] >= (x[beyond, 0].abs() - 1.2) * 0.99).all()), "no nearer than the image's edge"
    assert torch.equal(record.converged, record.residual <= tol)
    with pytest.warns(UserWarning, match=f"at {int((~record.converged).sum())} of 61 points") as caught:
        assert torch.equal(flow.log_prob(x), record.log_prob)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bool(flow.log_prob(x[reachable]).isfinite().all())


def test_a_fold_of_degree_one_still_reaches_everything():
    """x ↦ x + 1.5 sin x turns back twice, but is homotopic to the identity."""
    circle, _, _ = double_cover()
    x = torch.linspace(-3.1, 3.1, 101).double().unsqueeze(-1)
    decoder = Function(lambda z: circle.projx(z + 1.5 * torch.sin(z)))
    found = inversion.invert(decoder, circle, x, 0.4 * x)  # the branch around 0 alone covers the circle
    assert float(found.residual.max()) <= 1e-10
    torch.testing.assert_close(decoder(found.z), x, rtol=0, atol=1e-9)


def test_a_singular_jacobian_stops_a_point_without_raising():
    line = Euclidean(3)
    collapse = Function(lambda z: z * torch.tensor([1.0, 1.0, 0.0]).to(z))
    x = torch.ones(4, 3).double()
    found = inversion.invert(collapse, line, x, torch.zeros(4, 3).double())
    assert bool((found.residual >= 1.0 - 1e-9).all())
    assert bool(found.z.isfinite().all())
    assert bool((found.log_det == -math.inf).all())


def slope_in_points(manifold, flow, x):
    """Derivatives of log_prob along the tangent frame, by autograd and by central differences."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(flow.log_prob(x).sum(), x)
    x = x.detach()
    found, expected = [], []
    for b in calculus.frame(manifold, x):
        with torch.no_grad():
            forth, back = (flow.log_prob(manifold.expmap(x, s * 1e-5 * b)) for s in (1, -1))
        found.append((gradient * b).flatten(1).sum(1))
        expected.append((forth - back) / 2e-5)
    return torch.stack(found), torch.stack(expected)


def slope_in_parameters(flow, module, x, seed=0):
    """The derivative of Σ log_prob along a random direction of the parameters of ``module``, both ways."""
    thetas = list(module.parameters())
    generator = seeds.generator(seed, 9)
    directions = [torch.randn(t.shape, generator=generator, dtype=t.dtype) / math.sqrt(t.numel()) for t in thetas]
    gradients = torch.autograd.grad(flow.log_prob(x).sum(), thetas)
    found = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    values = []
    with torch.no_grad():
        for sign in (1, -2, 1):
            for theta, d in zip(thetas, directions, strict=True):
                theta.add_(sign * 1e-5 * d)
            values.append(flow.log_prob(x).sum())
    return found, (values[0] - values[1]) / 2e-5


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_of_log_prob_are_those_of_its_values(spec):
    manifold, encoder, decoder = pair(spec)
    start = Function(lambda x: nudged(manifold, encoder(x).detach(), 0.01))  # an encoder that is only nearly right
    flow = flow_of(manifold, start, decoder)
    x = points(manifold, 10)
    torch.testing.assert_close(*slope_in_points(manifold, flow, x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*slope_in_parameters(flow, decoder, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_of_log_prob_of_networks(spec):
    """Networks go on outside the manifold in ways of their own, which must not show."""
    manifold = pair(spec)[0]
    flow = FreeFormFlow(manifold, width=8, depth=1, waves=4, frequency=2.0).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.03 * torch.randn(parameter.shape, generator=seeds.generator(4)))
    x = flow.sample(8, generator=seeds.generator(5))
    assert bool(flow.score(x).converged.all())
    torch.testing.assert_close(*slope_in_points(manifold, flow, x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*slope_in_parameters(flow, flow.decoder, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS)
def test_rounds_with_an_encoder_that_is_nearly_right_end_in_the_preimage(spec):
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 30)
    truth, tol = encoder(x).detach(), torch.full((30,), 1e-9, dtype=torch.float64)

    def rough(y, context=None):
        z = encoder(y).detach()
        return manifold.expmap(z, 0.05 * manifold.logmap(z, y))

    found = inversion.approach(rough, decoder, manifold, x, tol)
    assert float(manifold.dist(rough(x), truth).max()) > 1e-3
    assert float(manifold.dist(found, truth).max()) < 1e-6


@pytest.mark.parametrize("factor", [-1.0, 3.0])
def test_rounds_that_lead_away_are_not_taken(factor):
    """Teeth: z + f(x) − f(g(z)) diverges where f is no inverse, and Newton's method goes on from where it was."""
    line = Euclidean(20)
    decoder = Function(lambda z: z + 0.1 * torch.sin(z))
    x, tol = points(line, 5), torch.full((5,), 1e-10, dtype=torch.float64)

    def wrong(y, context=None):
        return factor * y

    found = inversion.approach(wrong, decoder, line, x, tol)
    first, last = (line.dist(decoder(z), x) for z in (wrong(x), found))
    assert bool((last <= first).all())
    solved = inversion.invert(decoder, line, x, found, max_steps=40)
    assert float(solved.residual.max()) < 1e-9


@pytest.mark.parametrize("spec", SPECS)
def test_a_jacobian_by_rows_is_the_same_matrix(spec):
    manifold, _, decoder = pair(spec)
    z = points(manifold, 6)
    with torch.no_grad():
        expected = calculus.jacobian(decoder, manifold, z)
        found = calculus.jacobian_by_rows(decoder, manifold, z)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], atol=1e-10, rtol=1e-8)
