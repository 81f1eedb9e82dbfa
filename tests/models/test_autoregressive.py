"""The autoregressive model of angles: its parts against closed forms, its order, its integral, and what it refuses."""

import math

import pytest
import torch

from manifold_gen import models, seeds
from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Mixture, VonMisesProduct
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Torus, from_spec
from manifold_gen.models.autoregressive import Autoregressive
from manifold_gen.networks.conditioner import Harmonics
from manifold_gen.testing import check_model
from manifold_gen.training import TrainingConfig, fit

SIZE = {"components": 5, "width": 16, "depth": 1, "harmonics": 3}


def shaken(spec, dtype=torch.float64, scale=0.3, **options):
    """A little model with every parameter moved well off its start."""
    model = Autoregressive(from_spec(spec), **{**SIZE, **options})
    generator = seeds.generator(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model.to(dtype)


def points(model, n, seed=0):
    dtype = next(model.parameters()).dtype
    return model.manifold.random_uniform(n, generator=seeds.generator(seed), dtype=dtype)


@pytest.mark.parametrize("conditional", [False, True], ids=["plain", "context"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_law_of_a_model(n, conditional, dtype):
    """Statistical laws at ``testing.FAILURE_RATE``."""
    manifold = Torus(n)
    model = Autoregressive(manifold, context_features=int(conditional), **SIZE)
    x = manifold.random_uniform(20, generator=seeds.generator(1), dtype=dtype)
    context = torch.linspace(-1, 1, 20, dtype=dtype).unsqueeze(-1) if conditional else None
    check_model(model, x, context, steps=120 if n == 1 else 60, samples=1500)


def test_one_angle_is_the_mixture_of_its_parameters():
    model = shaken("torus:1", scale=1.0)
    log_weights, loc, log_kappa = model._mixture(model.networks[0].constant.detach())
    oracle = Mixture(VonMisesProduct(loc.unsqueeze(-1), log_kappa.exp().unsqueeze(-1)), log_weights)
    x = points(model, 200)
    torch.testing.assert_close(model.log_prob(x), oracle.log_prob(x))
    assert float(oracle.log_prob(x).std()) > 0.5


def test_an_angle_depends_on_those_before_it_alone_and_every_conditional_integrates_to_one():
    model = shaken("torus:3")
    grid = torch.arange(256, dtype=torch.float64) * (2 * math.pi / 256) - math.pi
    first = points(model, 1)[0]
    x = first.expand(256, 3).clone()
    x[:, 2] = grid  # equally spaced points of a smooth periodic function: the error of the sum is below rounding
    x.requires_grad_()
    last = model.log_prob(x) - log_prob_of_first_two(model, x)
    assert float(last.detach().exp().sum()) * 2 * math.pi / 256 == pytest.approx(1.0, abs=1e-10)
    (gradient,) = torch.autograd.grad(log_prob_of_first_two(model, x).sum(), x)
    assert not bool(gradient[:, 2].any())
    assert float(gradient[:, 0].abs().min()) > 0


def log_prob_of_first_two(model, x):
    """The model with its last network left out."""
    shorter = Autoregressive(Torus(2), **SIZE).double()
    shorter.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("networks.2")})
    return shorter.log_prob(x[:, :2])


def seam_jump(model, hair=1e-9):
    """Largest jump of the gradient of log p, or of log p, where an angle passes from π to −π."""
    jumps = []
    for i in range(model.manifold.dim):
        sides = []
        for place in (math.pi - hair, -math.pi + hair):
            x = points(model, 200, seed=9)
            x[:, i] = place
            x.requires_grad_()
            log_prob = model.log_prob(x)
            sides.append(torch.cat([log_prob.unsqueeze(-1), torch.autograd.grad(log_prob.sum(), x)[0]], -1))
        jumps.append(float((sides[0] - sides[1]).detach().abs().max()))
    return max(jumps)


def test_the_density_is_smooth_at_half_a_turn_and_bare_angles_are_found_out(monkeypatch):
    model = shaken("torus:3")
    assert seam_jump(model) < 1e-6
    monkeypatch.setattr(Harmonics, "forward", lambda self, x: x.repeat(1, 2 * len(self.numbers)) / math.pi)
    assert seam_jump(model) > 0.1


def test_concentrations_stay_below_their_bound_and_everything_stays_finite(dtype):
    model = shaken("torus:3", dtype, scale=30.0, concentration=1e4)
    x = points(model, 200).requires_grad_()
    _, _, log_kappa = model._mixture(1e3 * torch.randn(50, 20, generator=seeds.generator(2), dtype=dtype))
    assert float(log_kappa.max()) <= math.log(1e4) * (1 + 1e-6)
    log_prob = model.log_prob(x)
    log_prob.sum().backward()
    assert bool(log_prob.isfinite().all())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())
    assert bool(model.sample(200, generator=seeds.generator(0)).isfinite().all())


def test_an_angle_that_follows_another_all_the_way_round_is_learned():
    """x₂ − x₁ is von Mises: within 0.1 nats of the entropy, where the uniform start is 1.1 above it."""
    difference = Mixture(VonMisesProduct(torch.zeros(1, 1), torch.full((1, 1), 8.0)), torch.zeros(1))
    manifold, generator = Torus(2), seeds.generator(0)
    first, turn = Torus(1).random_uniform(4000, generator=generator), difference.sample(4000, generator=generator)
    x = manifold.projx(torch.cat([first, first + turn], -1))
    entropy = -float(difference.log_prob(turn).mean()) + math.log(2 * math.pi)
    data = Dataset("follower", manifold, Split(x[:3000]), Split(x[3000:]), Split(x[3000:]))
    model = Autoregressive(manifold, components=6, width=32, depth=1)
    fit(model, data, TrainingConfig(steps=150, batch_size=256, lr=0.01, eval_every=150), quiet=True)
    with torch.no_grad():
        assert -float(model.log_prob(data.test.x).mean()) == pytest.approx(entropy, abs=0.1)


def test_names_and_evaluations():
    assert models.resolve("autoregressive") is Autoregressive
    assert models.name_of(Autoregressive) == "autoregressive"
    assert Autoregressive(Torus(4), **SIZE).evaluations == 4


def test_a_product_of_tori_is_a_torus():
    one, other = shaken("torus:3"), shaken("torus:2 x torus:1")
    x = points(one, 20)
    assert torch.equal(one.log_prob(x), other.log_prob(x))


@pytest.mark.parametrize("spec", ["sphere:2", "so3", "euclidean:2", "so3 x torus:2"])
def test_other_manifolds_are_refused(spec):
    with pytest.raises(UsageError, match=r"Autoregressive models angles, and points of .* are not"):
        Autoregressive(from_spec(spec))


@pytest.mark.parametrize("options", [{"components": 0}, {"components": 24, "concentration": 100.0}])
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match=r"components is .* and concentration"):
        Autoregressive(Torus(2), **options)
