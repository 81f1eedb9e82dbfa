"""Chains of von Mises laws: against scipy, against the normal law they tend to, and their mixtures by EM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from manifold_gen.distributions import (
    EMSettings,
    Mixture,
    VonMisesChain,
    VonMisesProduct,
    fit_mixture,
    fit_von_mises_chain_mixture,
    fit_von_mises_mixture,
)
from manifold_gen.distributions.chain_em import chain_expectation_maximisation
from manifold_gen.manifolds import Torus
from manifold_gen.seeds import generator

SLOPES = torch.tensor([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [-0.7, 0.5, 0.0]], dtype=torch.float64)
QUICK = EMSettings(steps=24, tolerance=-1.0, restarts=1, trial_steps=2)


def chain(kappa=(30.0, 80.0, 50.0)):
    return VonMisesChain(torch.tensor([0.5, 3.0, -2.0], dtype=torch.float64), SLOPES, list(kappa))


def pair():
    """Two members of which each alone has a correlation that a product of angles cannot have."""
    loc = torch.tensor([[-1.0, 3.0], [1.5, -1.0]], dtype=torch.float64)
    slopes = torch.tensor([[[0.0, 0.0], [1.5, 0.0]], [[0.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64)
    return Mixture(VonMisesChain(loc, slopes, [[20.0, 200.0], [10.0, 100.0]]), torch.tensor([0.6, 0.4]).double().log())


def test_the_density_is_a_product_of_conditional_von_mises_densities():
    law = chain()
    x = law.sample(50, generator=generator(0))
    turn = (x - law.loc).numpy()
    mean = law.loc.numpy() + np.sin(turn) @ SLOPES.numpy().T
    expected = stats.vonmises.logpdf(x.numpy(), law.kappa.numpy(), loc=mean).sum(-1)
    np.testing.assert_allclose(law.log_prob(x).numpy(), expected, rtol=1e-12, atol=1e-11)


def test_what_is_on_or_above_the_diagonal_does_not_count():
    full = VonMisesChain(chain().loc, SLOPES + torch.ones(3, 3).triu(), chain().kappa)
    x = Torus(3).random_uniform(20, generator=generator(0), dtype=torch.float64)
    assert torch.equal(full.log_prob(x), chain().log_prob(x))


def test_without_slopes_it_is_the_product():
    x = Torus(3).random_uniform(20, generator=generator(0), dtype=torch.float64)
    product = VonMisesProduct(chain().loc, chain().kappa)
    assert torch.equal(VonMisesChain(chain().loc, torch.zeros(3, 3), chain().kappa).log_prob(x), product.log_prob(x))


def test_concentrated_it_is_normal_with_the_covariance_of_its_slopes():
    law = chain((3e4, 8e4, 5e4))
    turn = law.sample(40_000, generator=generator(1)) - law.loc
    root = torch.linalg.inv(torch.eye(3).double() - SLOPES)
    expected = root @ torch.diag(1 / law.kappa) @ root.mT
    # a relative standard error of 1/√20,000 on the diagonal; 6 of them
    assert torch.allclose(torch.cov(turn.mT), expected, rtol=0.05, atol=0.05 * float(expected.diagonal().min()))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_penalised_likelihood_never_falls(count):
    x = pair().sample(500, generator=generator(2))
    _, history = chain_expectation_maximisation(x, count, generator(1), QUICK)
    assert len(history) == 12
    assert float(torch.tensor(history, dtype=torch.float64).diff().min()) > -1e-9


def test_a_known_mixture_is_found_again():
    truth = pair()
    x = truth.sample(4000, generator=generator(2))
    fitted = fit_von_mises_chain_mixture(x, 2, generator(3))
    order = [int(truth.manifold.dist(centre, fitted.components.loc).argmin()) for centre in truth.components.loc]
    found = fitted.components.slopes[order, 1, 0]
    assert sorted(order) == [0, 1]
    assert torch.allclose(found, truth.components.slopes[:, 1, 0], atol=0.06)
    # the fit may know its own points better by half its 11 parameters a point, and no law is likelier than the truth
    fresh = truth.sample(4000, generator=generator(5))
    gap = truth.log_prob(fresh) - fitted.log_prob(fresh)
    assert abs(float(gap.mean())) < 6 * float(gap.std()) / len(gap) ** 0.5 + 11 / 4000


def test_correlated_angles_are_fitted_better_than_by_products():
    x = pair().sample(1000, generator=generator(4))
    gains = [
        float(fit(x, 2, generator(0), QUICK).log_prob(x).mean())
        for fit in (fit_von_mises_chain_mixture, fit_von_mises_mixture)
    ]
    assert gains[0] - gains[1] > 0.5


def test_it_is_the_family_of_tori():
    x = pair().sample(300, generator=generator(4))
    found = fit_mixture(Torus(2), x[:200], x[200:], (1, 2), 0, QUICK)
    assert found.components.slopes.shape == (4, 2, 2)  # two, each a second time and wider


def test_one_angle_is_a_von_mises_law():
    x = torch.randn(100, 1, generator=generator(6), dtype=torch.float64)
    both = [fit(x, 1, generator(0)).log_prob(x) for fit in (fit_von_mises_chain_mixture, fit_von_mises_mixture)]
    assert torch.equal(*both)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.0, 1.0), "loc must have shape"),
        (([0.0, 1.0], [[0.0] * 3] * 3, 1.0), r"slopes of shape \(3, 3\) must broadcast to \(2, 2\)"),
        (([0.0, 1.0], 0.0, [1.0, -2.0]), r"kappa of shape \(2,\) must be at least 0, got -2"),
    ],
)
def test_parameters_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        VonMisesChain(*arguments)
