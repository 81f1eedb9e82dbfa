"""A short training through ``fit`` ends with a likelihood that may be quoted, near the entropy of the target."""

import pytest
import torch

from manifold_gen import seeds
from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Mixture, VonMisesFisher, VonMisesProduct
from manifold_gen.metrics import evaluate_likelihood
from manifold_gen.models import FreeFormFlow
from manifold_gen.training import TrainingConfig, fit

TARGETS = {
    "torus": lambda: Mixture(
        VonMisesProduct(torch.tensor([[-1.5, -0.5], [1.5, 3.0]]), torch.tensor([[3.0, 2.0], [2.0, 4.0]])),
        torch.tensor([0.6, 0.4]).log(),
    ),
    "sphere": lambda: Mixture(
        VonMisesFisher(torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), torch.tensor([4.0, 6.0])),
        torch.tensor([0.6, 0.4]).log(),
    ),
}


@pytest.mark.parametrize("name", list(TARGETS))
def test_two_components_are_learned_to_a_valid_likelihood(name):
    """Within 0.15 nats of the truth, where the uniform start is 0.7 or more above it."""
    truth = TARGETS[name]()
    x = truth.sample(6000, generator=seeds.generator(0, 1))
    data = Dataset(name, truth.manifold, Split(x[:5000]), Split(x[5000:5200]), Split(x[5200:]), density=truth)
    flow = FreeFormFlow(
        truth.manifold, width=32, depth=2, frequency=2.0, waves=16, reconstruction=30.0, latent_reconstruction=30.0,
        proposal_reconstruction=3.0,
    )  # fmt: skip
    start = evaluate_likelihood(flow, data.test, density=truth, round_trips=500)
    assert start.gap > 0.7
    config = TrainingConfig(
        steps=250, batch_size=192, lr=4e-3, optimiser="muon", eval_every=250, log_every=250, device="cpu"
    )
    model = fit(flow, data, config, quiet=True).model
    report = evaluate_likelihood(model, data.test, train=data.train, density=truth, proposals=4000)
    assert report.valid, report.faults
    assert report.gap < 0.15
    assert report.gap > -3 * report.gap_se, "no model beats the truth"
