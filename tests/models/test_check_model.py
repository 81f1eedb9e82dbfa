"""The public check of models: small flows pass it, broken ones fail on the law that their fault breaks."""

import math

import pytest
import torch
from diffeomorphisms import points
from torch import nn

from manifold_gen import seeds
from manifold_gen.manifolds import Sphere, Torus, from_spec
from manifold_gen.models import Diffusion, FlowMap, FlowMatching, FreeFormFlow, GenerativeModel, MeanFlow
from manifold_gen.testing import check_model
from manifold_gen.testing.model_laws import (
    check_density,
    check_gradients,
    check_learning,
    check_losses,
    check_samples,
    check_saving,
)

SIZE = {"width": 24, "depth": 1, "frequency": 2.0, "waves": 10, "reconstruction": 30.0, "latent_reconstruction": 30.0}


@pytest.mark.parametrize("spec", ["sphere:2", "torus:2", "so3", "euclidean:2", "poincare:2"])
def test_a_small_flow_obeys_every_law(spec):
    manifold = from_spec(spec)
    dtype = torch.float64 if spec.startswith("poincare") else torch.float32
    check_model(FreeFormFlow(manifold, **SIZE), points(manifold, 20, dtype=dtype), steps=80, batch=96)


@pytest.mark.parametrize(
    ("kind", "density"), [(FlowMatching, True), (Diffusion, True), (FlowMap, False), (MeanFlow, False)]
)
def test_a_model_of_clouds_obeys_every_law(kind, density):
    manifold = from_spec("points:3,2,0")
    model = kind(manifold, width=16, depth=2, steps=4)
    x = points(manifold, 20, dtype=torch.float32)
    check_model(model, x, density=density, steps=60, batch=48, samples=600)


def test_a_conditional_flow_obeys_every_law():
    manifold = Torus(1)
    context = torch.linspace(-1, 1, 20).unsqueeze(-1)
    flow = FreeFormFlow(manifold, context_features=1, **SIZE)
    check_model(flow, points(manifold, 20, dtype=torch.float32), context, steps=80, samples=1000)


def test_the_model_is_left_as_it_was():
    flow = FreeFormFlow(Torus(1), **SIZE)
    before = {name: tensor.clone() for name, tensor in flow.state_dict().items()}
    state = torch.get_rng_state()
    check_model(flow, points(Torus(1), 20, dtype=torch.float32), steps=100, samples=600)
    assert all(torch.equal(tensor, before[name]) for name, tensor in flow.state_dict().items())
    assert flow.training
    assert torch.equal(torch.get_rng_state(), state)


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="at least 12 points, got 3"):
        check_model(FreeFormFlow(Torus(1), **SIZE), torch.zeros(3, 1))


class SummedLoss(FreeFormFlow):
    def losses(self, x, context=None, auxiliary=None):
        return {name: term.mean() for name, term in super().losses(x, context, auxiliary).items()}


class TrailingOne(FreeFormFlow):
    def losses(self, x, context=None, auxiliary=None):
        return {name: term.unsqueeze(-1) for name, term in super().losses(x, context, auxiliary).items()}


class NaNLoss(FreeFormFlow):
    def losses(self, x, context=None, auxiliary=None):
        terms = super().losses(x, context, auxiliary)
        return {**terms, "nll": torch.where(torch.arange(len(x)) == 3, math.nan, terms["nll"])}


class OtherSum(FreeFormFlow):
    def loss(self, x, context=None, generator=None):
        return 1.01 * super().loss(x, context, generator)


class GlobalNoise(FreeFormFlow):
    def losses(self, x, context=None, auxiliary=None):
        terms = super().losses(x, context, auxiliary)
        return {**terms, "nll": terms["nll"] + torch.randn(len(x))}


class DeadParameter(FreeFormFlow):
    def __init__(self, manifold, **options):
        super().__init__(manifold, **options)
        self.idle = nn.Parameter(torch.zeros(3))


class DetachedDecoder(FreeFormFlow):
    def losses(self, x, context=None, auxiliary=None):
        for parameter in self.decoder.parameters():
            parameter.requires_grad_(False)
        terms = super().losses(x, context, auxiliary)
        for parameter in self.decoder.parameters():
            parameter.requires_grad_(True)
        return terms


class WrongSign(FreeFormFlow):
    def losses(self, x, context=None, auxiliary=None):
        terms = super().losses(x, context, auxiliary)
        return {**terms, "nll": -terms["nll"]}


class TwiceTheDensity(FreeFormFlow):
    def log_prob(self, x, context=None):
        return super().log_prob(x, context) + math.log(2)


class ShiftedSampler(FreeFormFlow):
    def sample(self, n, context=None, generator=None, chunk=1000):
        x = super().sample(n, context, generator, chunk)
        tilt = torch.zeros_like(x)
        tilt[..., 0] = 0.4
        return self.manifold.expmap(x, self.manifold.proju(x, tilt))


class StretchedSampler(FreeFormFlow):
    def sample(self, n, context=None, generator=None, chunk=1000):
        return 1.1 * super().sample(n, context, generator, chunk)


class StuckSampler(FreeFormFlow):
    def sample(self, n, context=None, generator=None, chunk=1000):
        return super().sample(n, context, seeds.generator(0), chunk)


class DrawnWithoutItsVolume(FreeFormFlow):
    def sample_and_log_prob(self, n, context=None, generator=None):
        z = self.base.sample(n, generator=generator)
        return self.decode(z), self.base.log_prob(z)


class RandomDensity(FreeFormFlow):
    def log_prob(self, x, context=None):
        value = super().log_prob(x, context)
        return value + 0.01 * torch.randn(value.shape)


class ForgetsOnSaving(FreeFormFlow):
    """Keeps a part of its density outside the tensors that are saved."""

    offset = 0.0

    def log_prob(self, x, context=None):
        return super().log_prob(x, context) + self.offset


def concentrated(kind):
    """A broken flow whose decoder is no isometry: the density is not uniform, so a shift shows."""
    flow = kind(Sphere(2), **SIZE)
    with torch.no_grad():
        for size, network in ((0.6, flow.decoder), (-0.6, flow.encoder)):
            bias = list(network.parameters())[-1]  # of the last layer: a push along one axis
            bias.copy_(torch.tensor([0.0, 0.0, size]))
    return flow.eval()


DATA = points(Sphere(2), 20, dtype=torch.float32)
BROKEN = [
    (SummedLoss, check_losses, r"losses: 'nll' has shape \(\)"),
    (TrailingOne, check_losses, r"losses: 'nll' has shape \(12, 1\)"),
    (NaNLoss, check_losses, "losses: 'nll' is not finite"),
    (OtherSum, check_losses, "loss is not the sum"),
    (GlobalNoise, check_losses, "equal generators give different losses"),
    (DeadParameter, check_gradients, "gradient: idle gets none"),
    (DetachedDecoder, check_gradients, r"gradient: decoder\.\S+ gets none"),
    (WrongSign, check_learning, r"learning: .* gained -\d"),
    (StretchedSampler, check_samples, "samples: they leave the manifold"),
    (StuckSampler, check_samples, "different generators give the same"),
    (TwiceTheDensity, check_density, r"integral: (1\.9|2\.0)"),
    (ShiftedSampler, check_density, "agreement: samples and density differ"),
    (DrawnWithoutItsVolume, check_density, r"sample_and_log_prob and log_prob differ at \d+ of 12"),
    (RandomDensity, check_density, "two calls of log_prob differ"),
]


@pytest.mark.parametrize(("kind", "law", "message"), BROKEN, ids=[kind.__name__ for kind, _, _ in BROKEN])
def test_a_broken_model_fails_its_law(kind, law, message):
    model = concentrated(kind)
    options = {"steps": 40} if law is check_learning else {}
    arguments = (model, None) if law is check_samples else (model, DATA, None)
    sound = concentrated(FreeFormFlow)
    if law is not check_learning:
        law(sound, *arguments[1:], **options)
    with pytest.raises(AssertionError, match=message):
        law(*arguments, **options)


def test_what_is_not_in_the_tensors_is_lost_on_saving():
    model = concentrated(ForgetsOnSaving)
    check_saving(model, DATA)
    model.offset = 0.5
    with pytest.raises(AssertionError, match="saving: the loaded model has another log_prob"):
        check_saving(model, DATA)


@pytest.mark.parametrize("kind", [DeadParameter, TwiceTheDensity])
def test_the_whole_check_finds_them_too(kind):
    with pytest.raises(AssertionError, match=r"gradient: idle gets none|integral: "):
        check_model(kind(Sphere(2), **SIZE), DATA, steps=60)


class OnlySampler(GenerativeModel):
    """Two angles on average where the data are, without a density."""

    def __init__(self, manifold, start=0.0):
        super().__init__(manifold)
        self.hyperparameters = {"start": start}
        self.centre = nn.Parameter(torch.full(manifold.shape, start))

    def losses(self, x, context=None, auxiliary=None):
        return {"distance": self.manifold.dist2(self.centre, x)}

    def sample(self, n, context=None, generator=None):
        noise = torch.randn(n, *self.manifold.shape, generator=generator)
        return self.manifold.projx(self.centre.detach() + noise)


def test_a_sampler_without_density_obeys_the_other_laws():
    data = torch.full((20, 1), 2.0) + 0.1 * torch.arange(20).unsqueeze(-1)
    check_model(OnlySampler(Torus(1)), Torus(1).projx(data), density=False, steps=100, lr=0.1)
    with pytest.raises(AssertionError, match="learning"):
        check_model(OnlySampler(Torus(1)), Torus(1).projx(data), density=False, steps=1, lr=1e-6)
