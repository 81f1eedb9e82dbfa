"""Agreement with scipy where scipy has the distribution, and with mpmath where it has not."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from manifold_gen.distributions import VonMisesFisher, VonMisesProduct, WrappedNormal
from manifold_gen.distributions.bessel import concentration, log_bessel_and_ratio
from manifold_gen.manifolds import Euclidean, Torus

KAPPAS = [0.1, 1.0, 50.0, 1e3, 1e5]
ROUNDING = {torch.float32: 3e-6, torch.float64: 1e-12}


def unit(n, dtype):
    v = torch.randn(n + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    return torch.nn.functional.normalize(v, dim=0).to(dtype)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_von_mises_density(kappa, dtype):
    d = VonMisesProduct(torch.tensor([0.25], dtype=dtype), kappa)
    x = torch.cat([d.sample(50, generator=torch.Generator().manual_seed(0)), Torus(1).origin(1, dtype=dtype)])
    expected = stats.vonmises.logpdf(x.double().numpy()[:, 0], np.float64(d.kappa[0]), loc=0.25)
    error = np.abs(d.log_prob(x).numpy() - expected) / (1 + np.abs(expected))
    assert error.max() < ROUNDING[dtype]


@pytest.mark.parametrize("kappa", [0.0, 1e-6, *KAPPAS])
def test_von_mises_sampler(kappa):
    d = VonMisesProduct(torch.tensor([0.0], dtype=torch.float64), kappa)
    x = d.sample(20_000, generator=torch.Generator().manual_seed(1))[:, 0].numpy()
    cdf = stats.uniform(-np.pi, 2 * np.pi).cdf if kappa < 1e-3 else stats.vonmises(kappa).cdf
    assert stats.kstest(x, cdf).pvalue > 1e-4


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("kappa", KAPPAS)
def test_von_mises_fisher_density(n, kappa, dtype):
    d = VonMisesFisher(unit(n, dtype), kappa)
    x = d.sample(20, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.normalize(x.double(), dim=-1).numpy()
    mean = torch.nn.functional.normalize(d.loc.double(), dim=-1).numpy()
    expected = stats.vonmises_fisher(mean, float(d.kappa)).logpdf(wide)
    error = np.abs(d.log_prob(x).numpy() - expected) / (1 + np.abs(expected))
    # float32 points of a concentrated density carry their own rounding: κ · chord · 1e-7
    spread = 2e-7 * math.sqrt(kappa) if dtype == torch.float32 else 0.0
    assert error.max() < 10 * ROUNDING[dtype] + 5 * spread


@pytest.mark.parametrize("n", [1, 2, 3, 10, 50])
@pytest.mark.parametrize("kappa", [0.0, 1e-3, 1.0, 30.0, 1e5])
def test_von_mises_fisher_sampler(n, kappa):
    """Mean and mean square of ⟨μ, x⟩, and its independence of the direction about μ."""
    d = VonMisesFisher(unit(n, torch.float64), kappa)
    x = d.sample(10_000, generator=torch.Generator().manual_seed(7))
    deficit = (x - d.loc).square().sum(-1) / 2
    _, ratio = log_bessel_and_ratio((n - 1) / 2, torch.tensor(kappa))
    mean = 1 - kappa * ratio
    second = 1 - n * ratio - 1 + 2 * mean  # E[(1 − t)²] from E[t²] = 1 − n g, written to keep small numbers
    assert abs(deficit.mean() - mean) < 5 * deficit.std() / 100
    if kappa <= 30:
        assert abs(deficit.square().mean() - second) < 5 * deficit.square().std() / 100
    lateral = x - (x @ d.loc).unsqueeze(-1) * d.loc
    assert lateral.mean(0).norm() < 5 * lateral.std() * math.sqrt(n) / 100


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 4.5, 23.9, 24.0, 49.5, 1000.0])
def test_bessel_against_mpmath(order):
    grid = [1e-8, 1e-3, 0.5, 3.0, 20.0, 100.0, 1e3, 1e5]
    kappa = torch.tensor([0.0, *grid], dtype=torch.float64, requires_grad=True)
    value, ratio = log_bessel_and_ratio(order, kappa)
    (slope,) = torch.autograd.grad(value.sum(), kappa)
    assert value[0].abs() < 1e-14
    assert slope[0] == pytest.approx(-1, abs=1e-14)
    with mpmath.workdps(40):
        for i, k in enumerate(grid, 1):
            low, high = mpmath.besseli(order, k), mpmath.besseli(order + 1, k)
            exact = mpmath.log(mpmath.gamma(order + 1) * (2 / mpmath.mpf(k)) ** order * low) - k
            assert abs(value[i].item() - exact) < 1e-12
            assert abs(ratio[i].item() * k * low / high - 1) < 1e-14
            assert abs(slope[i].item() - (high / low - 1)) < 1e-14


@pytest.mark.parametrize("order", [0.0, 0.5, 4.5, 49.5])
def test_concentration_inverts_the_mean_length(order):
    kappa = torch.tensor([0.0, 1e-3, 1.0, 30.0, 1e3, 1e5], dtype=torch.float64)
    _, ratio = log_bessel_and_ratio(order, kappa)
    torch.testing.assert_close(concentration(kappa * ratio, order, 1e6), kappa, rtol=1e-9, atol=1e-12)
    assert concentration(torch.ones(1), order, 123.0) == 123.0


@pytest.mark.parametrize("scale", [0.01, 0.5, 1.9, 1.99999, 2.00001, 2.5, 10.0, 1e4])
def test_wrapped_normal_sums_all_images(scale, dtype):
    """Against 2,000 images in high precision where that many suffice, else the uniform limit."""
    x = torch.linspace(-3.14, 3.14, 25, dtype=dtype).unsqueeze(-1)
    d = WrappedNormal(Torus(1), torch.tensor([0.5], dtype=dtype), scale)
    if scale < 100:
        delta = x.double().numpy() - 0.5 + 2 * np.pi * np.arange(-1000, 1001)
        expected = np.logaddexp.reduce(stats.norm.logpdf(delta, scale=np.float64(d.scale[0])), -1)
    else:
        expected = np.full(len(x), -math.log(2 * math.pi))
    error = np.abs(d.log_prob(x).numpy() - expected) / (1 + np.abs(expected))
    # x − loc is rounded before it is divided by the scale
    assert error.max() < (2e-5 if dtype == torch.float32 else 2e-13)


def test_wrapped_normal_on_flat_space_is_the_normal(dtype):
    d = WrappedNormal(Euclidean(3), torch.tensor([1.0, -2.0, 0.5], dtype=dtype), [0.5, 1.0, 3.0])
    x = d.sample(50, generator=torch.Generator().manual_seed(0))
    expected = stats.norm.logpdf(x.double().numpy(), [1.0, -2.0, 0.5], [0.5, 1.0, 3.0]).sum(-1)
    assert np.abs(d.log_prob(x).numpy() - expected).max() < 100 * ROUNDING[dtype]
