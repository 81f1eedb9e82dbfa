"""The endpoint model: its field is that of flow matching, its sampler keeps known laws, its density is a density."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from manifold_gen.data.base import Split
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import PointCloud
from manifold_gen.models import EndpointFlow
from manifold_gen.models.noise_schedule import time_pairs
from manifold_gen.models.renewal import Renewal
from manifold_gen.networks.endpoint import precondition
from manifold_gen.ode import Solver
from manifold_gen.seeds import generator
from manifold_gen.testing import FAILURE_RATE

SMALL = {"width": 16, "pair_width": 8, "depth": 2}


def trained_like(model, seed=0):
    """Weights that are not zero anywhere, so that nothing is trivially right."""
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator(seed, number), dtype=parameter.dtype))
    return model


class Known(EndpointFlow):
    """Clouds that are normal with standard deviation ``sigma``: the guess is x t σ² / ((1 − t)² + t² σ²)."""

    def __init__(self, sigma):
        super().__init__(PointCloud(5, 2), **SMALL)
        self.scale.fill_(sigma)  # the untrained network is zero, and zero is right for F


def scaled_draws(temperature=1.0, **options):
    """Draws of a known law, over the standard deviation that they should have."""
    x = Known(1.7).sample(1000, generator=generator(1), temperature=temperature, **options).double()
    free = x[:, 1:].sum(1) / math.sqrt(5 - 1) * math.sqrt(5)  # of zero-mean clouds: (n − 1) normal directions
    return (free.flatten() / (1.7 * temperature)).numpy()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_the_sampler_keeps_a_normal_law_at_every_share_of_noise_as_wide_as_the_temperature(noise, temperature):
    drawn = scaled_draws(temperature, steps=60, noise=noise)
    assert stats.kstest(drawn, "norm").pvalue > FAILURE_RATE
    assert stats.kstest(1.5 * drawn, "norm").pvalue < FAILURE_RATE


def test_new_noise_of_a_paired_model_is_turned_and_reordered_towards_the_guess():
    model = EndpointFlow(PointCloud(5, 3, 2), pairing=True, **SMALL).double()
    rest, guess = (model.base.sample(6, generator=generator(20, k)).double() for k in (0, 1))
    for noise in (0.4, 1.0):
        z = Renewal(1, noise).renewed(model, rest, guess, 0.5, 0.6, generator(21))
        fresh = model.manifold.random_tangent(rest, generator=generator(21))
        loose = math.sqrt(1 - noise**2) * rest + noise * fresh
        inside = [torch.cdist(cloud[..., :3], cloud[..., :3]).flatten(1).sort(-1).values for cloud in (z, loose)]
        assert torch.allclose(*inside)
        apart = [(cloud - guess)[..., :3].square().sum((-2, -1)) for cloud in (z, loose)]
        assert bool((apart[0] < apart[1]).all())
    assert Renewal(1, 0.0).renewed(model, rest, guess, 0.5, 0.6, None) is rest


def test_a_paired_model_learns_a_cloud_and_draws_it_by_renewed_noise():
    manifold = PointCloud(4, 2)
    corners = manifold.projx(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]]))
    model = EndpointFlow(manifold, width=32, pair_width=16, depth=2, pairing=True, noise=1.0)
    x = corners.expand(64, 4, 2)
    model.prepare(Split(x))
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for step in range(100):
        optimiser.zero_grad()
        model.loss(x, generator=generator(22, step)).mean().backward()
        optimiser.step()
    sides = torch.cdist(*[model.sample(50, generator=generator(23), steps=10)] * 2).flatten(1).sort(-1).values[:, 4:]
    want = torch.cdist(corners, corners).flatten().sort().values[4:]
    assert float((sides - want).abs().median()) < 0.25


def test_few_steps_are_noticed_by_the_same_test():
    assert stats.kstest(scaled_draws(steps=2, noise=0.0), "norm").pvalue < FAILURE_RATE


def test_the_density_of_a_normal_law():
    model = Known(1.7).double()
    x = 1.7 * model.base.sample(6, generator=generator(2)).double()
    exact = stats.norm(scale=1.7).logpdf(x.flatten(1).numpy()).sum(1) + 2 * (
        0.5 * math.log(2 * math.pi) + math.log(1.7)
    )
    assert torch.allclose(model.log_prob(x), torch.as_tensor(exact), atol=1e-4)


def test_velocity_is_the_guess_divided_by_the_time_that_is_left():
    for features in ("one-hot", "continuous"):
        model = trained_like(EndpointFlow(PointCloud(4, 3, 2), features=features, **SMALL)).double()
        x, t = model.base.sample(3, generator=generator(3)).double(), torch.tensor([0.1, 0.5, 0.9]).double()
        left = (1 - t).reshape(-1, 1, 1)
        assert torch.allclose(x + left * model.velocity(x, t), model.endpoint(x, t), atol=1e-12)


def test_preconditioning_against_its_definition():
    t, scale = torch.linspace(0.01, 0.98, 9).double(), torch.tensor(1.4).double()
    a, b = precondition(t, scale)
    spread = (1 - t) ** 2 + (t * scale) ** 2
    assert torch.allclose(a, (t * scale**2 / spread - 1) / (1 - t))
    assert torch.allclose(b, ((1 - t) * scale / spread.sqrt()) / (1 - t))


def test_the_position_loss_is_that_of_flow_matching_up_to_its_weight():
    """|v − (x₁ − z)|² of the field, divided by b², is the squared error of F."""
    model = trained_like(EndpointFlow(PointCloud(4, 3), time_power=1.0, **SMALL)).double()
    x = model.base.sample(7, generator=generator(4)).double()
    drawn = {key: value.double() for key, value in model.auxiliary(7, generator(5)).items()}
    t = drawn["time"].reshape(-1, 1, 1)
    x_t = (1 - t) * drawn["latent"] + t * x
    error = model.velocity(x_t, drawn["time"]) - (x - drawn["latent"])
    _, b = precondition(t, model.scale)
    want = (error / b).square().sum(-1).mean(-1)
    assert torch.allclose(model.losses(x, None, drawn)["positions"], want)


@pytest.mark.parametrize(("network", "steps"), [("egnn", 120), ("transformer", 500)])
def test_it_learns_two_clouds(network, steps):
    manifold = PointCloud(3, 2, 2)
    shape = manifold.projx(torch.tensor([[0.0, 0, 1, 0], [1.0, 0, 0, 1], [0, 2.0, 0, 1]]))
    model = EndpointFlow(manifold, network=network, width=32, pair_width=16, depth=2, seed=1)
    x = shape.expand(64, 3, 4)
    model.prepare(Split(x))
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for step in range(steps):
        optimiser.zero_grad()
        model.loss(x, generator=generator(6, step)).mean().backward()
        optimiser.step()
    drawn = model.sample(50, generator=generator(7), steps=20)
    types = drawn[..., 2:].argmax(-1)
    assert float((types.sum(-1) == 2).float().mean()) > 0.9  # one point of the first kind, two of the second
    sides = torch.cdist(drawn[..., :2], drawn[..., :2]).flatten(1).sort(-1).values[:, [3, 5, 7]]
    assert float((sides - torch.tensor([1.0, 2.0, 5.0**0.5])).abs().median()) < 0.25


@pytest.mark.parametrize("guesses", [False, True])
def test_density_does_not_change_with_the_group(guesses):
    options = {"likelihood_steps": 8, "self_conditioning": guesses, **SMALL}
    model = trained_like(EndpointFlow(PointCloud(4, 3, 2), **options)).double()
    x = model.base.sample(3, generator=generator(8)).double()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator(9), dtype=torch.float64))[0]
    moved = torch.cat([x[..., :3] @ turn, x[..., 3:]], -1)[:, torch.tensor([2, 0, 3, 1])]
    assert torch.allclose(model.log_prob(x), model.log_prob(moved), atol=1e-9)


class KnownKinds(Known):
    """Kinds that are independent of each other and of the positions, the first with probability 0.7."""

    SHARES = (0.7, 0.3)

    def __init__(self, sigma):
        super(Known, self).__init__(PointCloud(5, 2, 2), **SMALL)
        self.scale.fill_(sigma)

    def endpoint(self, x, t, context=None, guess=None):
        t = t.reshape(-1, 1, 1)
        noise = ((1 - t) / t).clamp_max(1e6)
        positions = x[..., :2] * t * self.scale**2 / ((1 - t) ** 2 + t**2 * self.scale**2)
        prior = torch.tensor(self.SHARES, dtype=x.dtype).log()
        return torch.cat([positions, (prior + x[..., 2:] / t / noise**2).softmax(-1)], -1)


def known_clouds(count):
    positions = 1.7 * PointCloud(5, 2).projx(torch.randn(count, 5, 2, generator=generator(11), dtype=torch.float64))
    kinds = (torch.rand(count, 5, generator=generator(12)) > 0.7).long()
    return torch.cat([positions, torch.nn.functional.one_hot(kinds, 2).double()], -1), kinds


def normal_log_density(positions, sigma):
    free = 2 * (positions.shape[-2] - 1)
    return -0.5 * (positions.square().sum((-2, -1)) / sigma**2 + free * math.log(2 * math.pi * sigma**2))


def test_the_bound_is_met_where_every_guess_is_exact():
    x, kinds = known_clouds(3000)
    exact = normal_log_density(x[..., :2], 1.7) + torch.tensor(KnownKinds.SHARES).log().double()[kinds].sum(-1)
    off = KnownKinds(1.7).double().elbo(x, generator(13), samples=64) - exact
    standard_error = float(off.std()) / math.sqrt(len(off))
    assert standard_error < 0.12
    assert abs(float(off.mean())) < stats.norm.isf(FAILURE_RATE / 2) * standard_error


@pytest.mark.parametrize("sigma", [1.2, 2.4])
def test_the_bound_falls_below_where_guesses_are_not(sigma):
    x, kinds = known_clouds(3000)
    model = KnownKinds(sigma).double()
    wrong = normal_log_density(x[..., :2], sigma) + torch.tensor(KnownKinds.SHARES).log().double()[kinds].sum(-1)
    right = normal_log_density(x[..., :2], 1.7) + torch.tensor(KnownKinds.SHARES).log().double()[kinds].sum(-1)
    bound = float(model.elbo(x, generator(13), samples=64).mean())
    assert bound == pytest.approx(float(wrong.mean()), abs=0.4)
    assert bound < float(right.mean()) - 0.3


def test_the_bound_of_continuous_features_is_finite_and_needs_samples():
    model = trained_like(EndpointFlow(PointCloud(4, 3, 2), features="continuous", **SMALL)).double()
    x = model.base.sample(3, generator=generator(8)).double()
    assert model.elbo(x, generator(14), samples=4).shape == (3,)
    assert bool(model.elbo(x, generator(14), samples=4).isfinite().all())
    with pytest.raises(UsageError, match="samples is 0"):
        model.elbo(x, samples=0)


def test_a_guess_is_seen_and_half_of_the_batches_are_given_one():
    model = trained_like(EndpointFlow(PointCloud(4, 3, 2), self_conditioning=True, **SMALL)).double()
    x, t = model.base.sample(3, generator=generator(3)).double(), torch.tensor([0.1, 0.5, 0.9]).double()
    first = model.endpoint(x, t)
    assert not torch.allclose(model.endpoint(x, t, None, first), first, atol=1e-3)
    left = (1 - t).reshape(-1, 1, 1)
    assert torch.allclose(x + left * model.velocity(x, t), first, atol=1e-12)  # the ODE goes without
    drawn = {name: value.double() for name, value in model.auxiliary(3, generator(5)).items()}
    with_guess, without = (
        model.losses(x, None, {**drawn, "guessed": torch.full((3,), told)})["positions"] for told in (0.9, 0.1)
    )
    assert not torch.allclose(with_guess, without)


def test_losses_in_mixed_precision_are_near_those_in_single():
    model = trained_like(EndpointFlow(PointCloud(6, 3, 2), self_conditioning=True, **SMALL))
    x = model.base.sample(64, generator=generator(15))
    drawn = model.auxiliary(64, generator(16))
    single = model.losses(x, None, drawn)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.losses(x, None, drawn)
    for name, term in single.items():
        assert mixed[name].dtype == torch.float32
        assert float(mixed[name].detach().mean()) == pytest.approx(float(term.detach().mean()), rel=0.03)


def test_ode_samples_by_a_solver_agree_with_many_quiet_steps():
    model = trained_like(EndpointFlow(PointCloud(3, 2), **SMALL)).double()
    by_solver = model.sample(20, generator=generator(10), solver=Solver("rk4", 64))
    by_steps = model.sample(20, generator=generator(10), steps=500, noise=0.0)
    assert torch.allclose(by_solver.double(), by_steps.double(), atol=2e-2)


def test_exact_samples_are_carried_by_the_flow_whose_density_it_is():
    model = trained_like(EndpointFlow(PointCloud(3, 2), likelihood_steps=8, **SMALL)).double()
    z = model.base.sample(20, generator=generator(22))
    model.hyperparameters["temperature"] = 0.5  # of the sampler alone
    exact = model.exact_sample(20, generator=generator(22))
    assert torch.equal(exact, model.decode(z))
    back = model.pull_back(exact.double()).x
    assert float((back - z).detach().abs().max()) < 1e-2
    assert float((model.sample(20, generator=generator(22)) - exact).abs().max()) > 0.1


def test_times_end_at_the_data():
    before, after = time_pairs(4)
    assert before[0] == 0.0
    assert after[-1] == 1.0
    assert before[1:] == after[:-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "onehot"}, "expected one of one-hot, continuous"),
        ({"steps": 0}, "steps is 0"),
        ({"noise": 1.5}, "noise is 1.5"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"time_power": 0.0}, "time_power is 0.0"),
        ({"network": "gnn"}, "expected one of egnn, transformer"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        EndpointFlow(PointCloud(3, 2, 1), **options)
