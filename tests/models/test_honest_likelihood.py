"""The quoted likelihood of a flow whose networks are known maps: values, samples, integrals, and what is reported."""

import math

import pytest
import torch
from diffeomorphisms import SPECS, Function, double_cover, flow_of, folded_sine, nudged, pair, points
from scipy.optimize import brentq

from manifold_gen import calculus, manifolds, seeds
from manifold_gen.data.base import Split
from manifold_gen.metrics import evaluate_likelihood
from manifold_gen.testing.distribution_laws import check_integral_and_agreement

COMPACT = [spec for spec in SPECS if math.isfinite(manifolds.from_spec(spec).log_volume)]


def known_flow(spec, dtype=torch.float64, error=0.02):
    """A flow with a known decoder, and an encoder that misses its inverse by ``error``."""
    manifold, encoder, decoder = pair(spec, dtype)
    rough = Function(lambda x: nudged(manifold, encoder(x).detach(), error))
    return manifold, flow_of(manifold, rough, decoder, dtype), decoder


@torch.no_grad()
@pytest.mark.parametrize("spec", SPECS)
def test_log_prob_is_the_base_density_minus_the_log_determinant(spec, dtype):
    manifold, flow, decoder = known_flow(spec, dtype)
    z = points(manifold, 50, dtype=dtype)
    x, matrix = calculus.jacobian(decoder, manifold, z)
    expected = flow.base.log_prob(z) - torch.linalg.slogdet(matrix).logabsdet
    size = 1e-3 if dtype == torch.float32 else 1e-8
    torch.testing.assert_close(flow.log_prob(x), expected, rtol=size, atol=size)
    assert bool(flow.score(x).converged.all())


@pytest.mark.parametrize("spec", SPECS)
def test_samples_follow_log_prob(spec):
    with torch.no_grad():
        check_integral_and_agreement(known_flow(spec)[1], samples=2000)


@torch.no_grad()
@pytest.mark.parametrize("spec", SPECS)
def test_every_latent_of_a_diffeomorphism_returns(spec):
    _, flow, _ = known_flow(spec)
    assert bool(flow.round_trip(500, generator=seeds.generator(1)).all())


@pytest.mark.parametrize("spec", COMPACT)
def test_a_diffeomorphism_is_valid(spec):
    manifold, flow, _ = known_flow(spec)
    x = flow.sample(600, generator=seeds.generator(2))
    report = evaluate_likelihood(flow, Split(x), train=Split(x), density=flow, proposals=4000)
    assert report.faults == []
    assert report.valid
    assert report.round_trip.value == 1.0
    assert (report.importance is None) == (manifold.dim > 3)
    assert report.importance.is_one
    # 5 standard errors: a false alarm in two million
    assert abs(report.importance.value - 1) <= 5 * report.importance.se
    torch.testing.assert_close(report.nll, float(-flow.log_prob(x).detach().mean()), rtol=1e-9, atol=1e-9)
    assert abs(report.gap) < 1e-9
    assert report.largest_residual <= 1e-10


def fold_of_degree_one():
    """T¹ with z ↦ z + 1.5 sin z, and the encoder of its middle branch, which alone covers the circle."""
    circle = manifolds.Torus(1)

    def encode(x):
        z = 0.4 * x
        for _ in range(60):
            z = z - (z + 1.5 * torch.sin(z) - x) / (1 + 1.5 * torch.cos(z))
        return z

    decoder = Function(lambda z: circle.projx(z + 1.5 * torch.sin(z)))
    return circle, Function(encode), decoder


FOLDS = {
    "double cover": (double_cover, 0.5),
    "sine": (folded_sine, 0.5),
    "fold of degree one": (fold_of_degree_one, brentq(lambda z: z + 1.5 * math.sin(z) - math.pi, 0, 2) / math.pi),
}


@torch.no_grad()
@pytest.mark.parametrize("name", list(FOLDS))
def test_round_trip_of_a_fold_is_its_true_share(name):
    """The latents of one branch return: a binomial share, judged at 5 standard errors."""
    maker, share = FOLDS[name]
    flow = flow_of(*maker())
    count = 4000
    found = float(flow.round_trip(count, generator=seeds.generator(3)).double().mean())
    assert abs(found - share) <= 5 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("name", ["double cover", "fold of degree one"])
def test_both_integrals_of_a_fold_agree_and_it_is_not_valid(name):
    maker, share = FOLDS[name]
    flow = flow_of(*maker())
    x = flow.sample(500, generator=seeds.generator(4))
    report = evaluate_likelihood(flow, Split(x), train=Split(x), round_trips=10_000)
    assert abs(report.round_trip.value - share) <= 5 * report.round_trip.se
    assert abs(report.importance.value - share) <= 5 * report.importance.se + 1e-9
    assert not report.valid
    assert [fault for fault in report.faults if "by round trip" in fault]
    assert [fault for fault in report.faults if "by importance sampling" in fault]


def test_the_density_of_the_double_cover_is_half_of_the_uniform():
    circle, encoder, decoder = double_cover()
    x = points(circle, 30)
    expected = torch.full((30,), -math.log(4 * math.pi)).double()
    torch.testing.assert_close(flow_of(circle, encoder, decoder).log_prob(x), expected)


def test_unreachable_points_are_counted_and_left_out_of_the_mean():
    flow = flow_of(*folded_sine(1.2))
    inside = torch.linspace(-1.0, 1.0, 40).double().unsqueeze(-1)
    outside = torch.linspace(2.0, 3.0, 10).double().unsqueeze(-1)
    report = evaluate_likelihood(flow, Split(torch.cat([inside, outside])), round_trips=100)
    assert (report.count, report.unconverged, report.unconverged_share) == (50, 10, 0.2)
    closed_form = math.log(2 * math.pi) + torch.log(1.2 * torch.cos(torch.asin(inside / 1.2))).mean()
    assert report.nll == pytest.approx(float(closed_form), abs=1e-9)
    assert report.largest_residual <= 1e-10
    assert any("10 of 50 points have no preimage" in fault for fault in report.faults)


def test_evaluation_leaves_the_model_and_the_random_state_alone():
    manifold, encoder, decoder = pair("sphere:2", torch.float32)
    flow = flow_of(manifold, encoder, decoder, torch.float32).train()
    before = {name: tensor.clone() for name, tensor in flow.state_dict().items()}
    state = torch.get_rng_state()
    x = points(manifold, 50, dtype=torch.float32)
    first = evaluate_likelihood(flow, Split(x), train=Split(x), round_trips=200, proposals=400)
    assert flow.training
    assert torch.equal(torch.get_rng_state(), state)
    after = flow.state_dict()
    assert after.keys() == before.keys()
    assert all(
        torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype for name, tensor in before.items()
    )
    assert all(p.grad is None for p in flow.parameters())
    again = evaluate_likelihood(flow, Split(x), train=Split(x), round_trips=200, proposals=400)
    assert again == first


@torch.no_grad()
@pytest.mark.parametrize("spec", ["sphere:2", "so3", "euclidean:2"])
def test_cheap_estimate_is_right_only_where_the_encoder_is(spec):
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 20)
    exact = flow_of(manifold, encoder, decoder)
    torch.testing.assert_close(exact.log_prob_from_encoder(x), exact.log_prob(x), rtol=1e-8, atol=1e-8)
    other = flow_of(manifold, pair(spec, seed=5)[1], decoder)
    assert float((other.log_prob_from_encoder(x) - exact.log_prob(x)).abs().max()) > 0.1
    torch.testing.assert_close(other.reconstruction_error(x), manifold.dist(decoder(other.encode(x)), x))
    assert float(other.reconstruction_error(x).max()) > 0.05
