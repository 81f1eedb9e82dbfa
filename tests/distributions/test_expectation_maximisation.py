"""EM: the likelihood never falls, nothing collapses, known mixtures are found again."""

import math

import pytest
import torch

from manifold_gen.distributions import (
    EMSettings,
    Mixture,
    VonMisesFisher,
    VonMisesProduct,
    fit_von_mises_fisher_mixture,
    fit_von_mises_mixture,
)
from manifold_gen.distributions.em import expectation_maximisation, floored_weights
from manifold_gen.seeds import generator


def torus_truth():
    loc = torch.tensor([[-1.0, -0.8], [2.0, 3.0], [3.1, -3.1]], dtype=torch.float64)
    kappa = torch.tensor([[20.0, 8.0], [3.0, 40.0], [60.0, 60.0]], dtype=torch.float64)
    return Mixture(VonMisesProduct(loc, kappa), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log())


def sphere_truth():
    loc = torch.nn.functional.normalize(torch.randn(3, 4, generator=generator(4), dtype=torch.float64), dim=-1)
    kappa = torch.tensor([10.0, 30.0, 300.0], dtype=torch.float64)
    return Mixture(VonMisesFisher(loc, kappa), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log())


CASES = {"torus": (torus_truth, VonMisesProduct), "sphere": (sphere_truth, VonMisesFisher)}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("k", [1, 3, 12])
def test_the_likelihood_never_falls(name, k):
    truth, family = CASES[name]
    x = truth().sample(1000, generator=generator(0))
    settings = EMSettings(steps=60, tolerance=-1.0, restarts=1, trial_steps=2, weight_floor=0.2, kappa_max=100.0)
    fitted, history = expectation_maximisation(family, x, k, generator(1), settings)
    steps = torch.tensor(history, dtype=torch.float64).diff()
    assert len(history) == 60
    assert float(steps.min()) > -1e-12
    assert history[-1] <= float(fitted.log_prob(x).mean()) + 1e-12


@pytest.mark.parametrize(("name", "fit"), [("torus", fit_von_mises_mixture), ("sphere", fit_von_mises_fisher_mixture)])
def test_a_known_mixture_is_found_again(name, fit, dtype):
    truth = CASES[name][0]().to(dtype)
    x = truth.sample(5000, generator=generator(2))
    fitted = fit(x, 3, generator(3))
    assert fitted.log_prob(x).dtype == dtype
    order = [int(truth.manifold.dist(centre, fitted.components.loc).argmin()) for centre in truth.components.loc]
    assert sorted(order) == [0, 1, 2]
    found = fitted.components.loc[order]
    assert float(truth.manifold.dist(found, truth.components.loc).max()) < 0.05
    # five times the spread of 0.05 over draws of this size
    assert float((fitted.components.kappa[order] / truth.components.kappa - 1).abs().max()) < 0.25
    weights = torch.softmax(fitted.logits, 0)[order]
    assert float((weights - torch.softmax(truth.logits, 0)).abs().max()) < 0.03
    gain = float((fitted.log_prob(x) - truth.log_prob(x)).mean())
    assert 0 < gain < 20 / 5000  # half of the 14 or so parameters, over the number of points


@pytest.mark.parametrize(("name", "fit"), [("torus", fit_von_mises_mixture), ("sphere", fit_von_mises_fisher_mixture)])
def test_no_component_collapses_onto_repeated_points(name, fit):
    x = CASES[name][0]().sample(300, generator=generator(5))
    x = torch.cat([x, x[:1].expand(200, -1)])
    fitted = fit(x, 6, generator(6), EMSettings(steps=60, restarts=2, kappa_max=1e4, weight_floor=0.01))
    assert bool(torch.isfinite(fitted.log_prob(x)).all())
    assert float(fitted.components.kappa.max()) <= 1e4 * (1 + 1e-12)
    assert float(torch.softmax(fitted.logits, 0).min()) >= 0.01 / 6 * (1 - 1e-9)


@pytest.mark.parametrize("rows", [1, 5])
def test_constant_data_is_fitted(rows):
    fitted = fit_von_mises_mixture(torch.full((rows, 2), 0.5), rows, generator(0))
    assert bool(torch.isfinite(fitted.log_prob(torch.full((1, 2), 0.5))).all())


def test_one_seed_gives_one_fit():
    x = torus_truth().sample(500, generator=generator(7))
    one, two = (fit_von_mises_mixture(x, 4, generator(8), EMSettings(steps=20, restarts=2)) for _ in range(2))
    assert torch.equal(one.components.kappa, two.components.kappa)


def test_floored_weights_are_the_constrained_maximum():
    count = torch.tensor([0.0, 1.0, 5.0, 994.0], dtype=torch.float64)
    best = floored_weights(count, 0.01)
    assert float(best.sum()) == pytest.approx(1)
    assert float(best.min()) == pytest.approx(0.01)
    value = float((count * best.log()).sum())
    for i in range(4):
        for j in range(4):
            moved = best.clone()
            moved[i] += 1e-4
            moved[j] -= 1e-4
            if float(moved.min()) >= 0.01 - 1e-12:
                assert float((count * moved.log()).sum()) <= value


@pytest.mark.parametrize(
    ("x", "k", "message"),
    [
        (torch.zeros(3), 1, r"shape \(3,\)"),
        (torch.zeros(3, 2), 4, "k = 4"),
        (torch.zeros(0, 2), 1, "k = 1"),
        (torch.full((3, 2), math.nan), 1, "finite"),
    ],
)
def test_data_that_cannot_be_fitted(x, k, message):
    with pytest.raises(ValueError, match=message):
        fit_von_mises_mixture(x, k)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"restarts": 0}, {"kappa_max": 0.0}, {"weight_floor": 1.5}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="must be"):
        EMSettings(**wrong)
