"""Kent and matrix Fisher: constants against arbitrary precision, limits in closed form, gradients, bad arguments."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import special, stats

from manifold_gen.distributions import Kent, MatrixFisher, VonMisesFisher
from manifold_gen.distributions.kent import _log_constant, log_kent_constant
from manifold_gen.distributions.matrix_fisher import log_fisher_constant
from manifold_gen.manifolds import SO3
from manifold_gen.seeds import generator

CUTS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0)


def double(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize(("kappa", "beta"), [(0.0, 0.0), (1.0, 0.5), (10.0, 3.0), (100.0, 50.0), (1e6, 5e5)])
def test_the_constant_of_kent_against_quadrature(kappa, beta):
    with mpmath.workdps(20):
        value = mpmath.quad(lambda s: mpmath.exp(-kappa * s) * mpmath.besseli(0, beta * s * (2 - s)), [0, *CUTS, 2])
        expected = float(mpmath.log(2 * mpmath.pi * value))
    assert float(log_kent_constant(double(kappa), double(beta))) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("kappa", [0.5, 20.0, 400.0])
def test_the_constant_of_kent_against_its_series(kappa):
    """2π Σ Γ(j + ½)/Γ(j + 1) β²ʲ (κ/2)^(−2j−½) I_{2j+½}(κ), Kent 1982."""
    beta = 0.3 * kappa
    j = np.arange(400)
    bessel = special.ive(2 * j + 0.5, kappa)
    kept = bessel > 0
    terms = special.gammaln(j + 0.5) - special.gammaln(j + 1) + 2 * j * math.log(beta)
    terms = terms - (2 * j + 0.5) * math.log(kappa / 2)
    expected = math.log(2 * math.pi) + special.logsumexp(terms[kept] + np.log(bessel[kept]))
    assert float(log_kent_constant(double(kappa), double(beta))) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "values",
    [(0.0, 0.0, 10.0), (5.0, 50.0, 5e3), (0.0, 1e4, 1e4), (1e3, 1e3, 1e6)],
)
def test_the_constant_of_matrix_fisher_against_quadrature(values):
    first, second, third = values
    with mpmath.workdps(20):

        def scaled(z):
            return mpmath.besseli(0, z) * mpmath.exp(-z)

        def integrand(w):
            near = scaled((mpmath.mpf(second) - first) * w / 2)
            return mpmath.exp(-first * w) * near * scaled(third * (2 - w) / 2)

        grid = [0, *CUTS, *(2 - c for c in reversed(CUTS[:-1])), 2]
        expected = float(mpmath.log(mpmath.quad(integrand, grid) / 2))
    assert float(log_fisher_constant(double(values)).value) == pytest.approx(expected, abs=1e-10)


def test_the_constant_of_matrix_fisher_against_uniform_rotations():
    """c = E[exp(−2 vᵀ P v)] over the uniform distribution, which checks the integral itself and not only its value."""
    x = SO3().random_uniform(200_000, generator=generator(0), dtype=torch.float64)
    trace = x.diagonal(dim1=-2, dim2=-1)
    squared = (1 + 2 * trace - trace.sum(-1, keepdim=True)) / 4  # of the quaternion's vector part
    values = double([0.5, 2.0, 6.0])
    weight = torch.exp(-2 * (squared * values).sum(-1))
    error = float(weight.std()) / math.sqrt(len(weight))
    # 4.5 standard errors are exceeded with probability 7e-6
    assert abs(float(weight.mean()) - float(log_fisher_constant(values).value.exp())) < 4.5 * error


@pytest.mark.parametrize(
    ("constant", "at"), [(_log_constant, [[3.0, 20.0]]), (log_fisher_constant, [[3.0, 20.0, 50.0]])]
)
def test_derivatives_of_the_constants(constant, at):
    at = double(at)
    gradient = torch.func.grad(lambda p: constant(p).value.sum())(at)
    hessian = torch.func.hessian(lambda p: constant(p).value.sum())(at)[0, :, 0]
    torch.testing.assert_close(constant(at).gradient, gradient, rtol=0, atol=1e-12)
    torch.testing.assert_close(constant(at).hessian[0], hessian, rtol=0, atol=1e-12)


def test_kent_without_ovalness_is_von_mises_fisher():
    axes = SO3().random_uniform(4, generator=generator(1), dtype=torch.float64)
    kappa = double([0.0, 1.0, 50.0, 1e5])
    x = torch.nn.functional.normalize(torch.randn(20, 1, 3, generator=generator(2), dtype=torch.float64), dim=-1)
    torch.testing.assert_close(Kent(axes, kappa).log_prob(x), VonMisesFisher(axes[..., 0], kappa).log_prob(x))


def test_a_concentrated_matrix_fisher_is_normal():
    """log p at the mode tends to that of a normal distribution with precision P."""
    precision = torch.diag(double([2e4, 5e4, 9e4]))
    at_mode = float(MatrixFisher(torch.eye(3, dtype=torch.float64), precision).log_prob(torch.eye(3).double()))
    assert at_mode == pytest.approx(0.5 * float(torch.logdet(precision)) - 1.5 * math.log(2 * math.pi), abs=1e-4)


@pytest.mark.parametrize("family", [Kent, MatrixFisher])
def test_natural_parameters_give_the_density(family):
    g = generator(3)
    rotations = SO3().random_uniform(3, generator=g, dtype=torch.float64)
    second = torch.diag(double([0.0, 10.0, 30.0]))
    d = Kent(rotations, 20.0, 7.0) if family is Kent else MatrixFisher(rotations, rotations @ second @ rotations.mT)
    x = d.draw(torch.arange(3).repeat(4), g)
    natural, log_normaliser = d.natural()
    torch.testing.assert_close(d.statistics(x) @ natural.mT - log_normaliser, d.log_prob(x.unsqueeze(1)))


def worst_fit(x, kappa, beta):
    """Smaller p-value of two Kolmogorov–Smirnov tests of points around e₁: of the distance from it, of the direction.

    s = 1 − x₁ has density ∝ exp(−κ s) I₀(β s (2 − s)) on [0, 2], and given s the doubled angle in the plane of x₂ and
    x₃ follows a von Mises distribution of concentration β s (2 − s).
    """
    s = (x - double([1.0, 0.0, 0.0])).square().sum(-1).numpy() / 2
    end = min(2.0, 200 / max(kappa - 2 * beta, math.sqrt(kappa), 1e-9))
    grid = end * np.linspace(0, 1, 200_001) ** 2
    oval = beta * grid * (2 - grid)
    density = np.exp(-kappa * grid + oval) * special.i0e(oval)
    mass = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    distance = stats.kstest(np.interp(s, grid, mass / mass[-1]), "uniform").pvalue
    doubled = np.mod(2 * np.arctan2(x[:, 2].numpy(), x[:, 1].numpy()) + np.pi, 2 * np.pi) - np.pi
    direction = stats.kstest(stats.vonmises.cdf(doubled, np.maximum(beta * s * (2 - s), 1e-12)), "uniform").pvalue
    return min(distance, direction)


SHAPES = [(0.0, 0.0), (1.0, 0.5), (3.0, 0.0), (10.0, 3.0), (100.0, 50.0), (1e4, 0.0), (1e6, 4e5), (1e6, 5e5)]


@pytest.mark.parametrize("size", [100, 40_000])
@pytest.mark.parametrize(("kappa", "beta"), SHAPES)
def test_draws_of_kent_follow_its_density(kappa, beta, size):
    """Drawn few at a time, with several tries each, and many at a time; fails on 16 · 2 · 1e-5 of correct samplers."""
    g, d = generator(6, size), Kent(torch.eye(3, dtype=torch.float64), kappa, beta)
    x = torch.cat([d.sample(size, generator=g) for _ in range(40_000 // size)])
    assert worst_fit(x, kappa, beta) > 1e-5
    wrong = worst_fit(x, 1.1 * kappa + 0.1, beta)
    assert wrong < 1e-5, "a wrong concentration must be noticed"


def test_draws_of_kent_belong_to_their_members():
    """Two chunks of members in turn: each point lies around the mode of its own."""
    axes = SO3().random_uniform(5, generator=generator(7))
    member = torch.arange(5).repeat(14_000)
    x = Kent(axes, 1e4, 2e3).draw(member, generator(8))
    assert x.dtype == torch.float32
    assert float((x - axes[member, :, 0]).norm(dim=-1).max()) < 0.1


def test_maximum_likelihood_is_stationary():
    """No small turn or change of precision raises the likelihood of the moments that were fitted."""
    g = generator(4)
    x = Kent(SO3().random_uniform(generator=g, dtype=torch.float64), 12.0, 4.0).sample(400, generator=g)
    moments = Kent.statistics(x).mean(0, keepdim=True)
    fitted = Kent.from_moments(moments, 1e4)
    best = float(fitted.log_prob(x.unsqueeze(1)).mean())
    for step in 0.01 * torch.cat([torch.eye(3), -torch.eye(3)]).double().unsqueeze(1):
        turned = SO3().expmap(fitted.axes, SO3().from_coordinates(fitted.axes, step))
        assert float(Kent(turned, fitted.kappa, fitted.beta).log_prob(x.unsqueeze(1)).mean()) < best
    for kappa, beta in ((1.01, 1.0), (0.99, 1.0), (1.0, 1.01), (1.0, 0.99)):
        other = Kent(fitted.axes, kappa * fitted.kappa, beta * fitted.beta)
        assert float(other.log_prob(x.unsqueeze(1)).mean()) < best


def test_gradients_in_x():
    g = generator(5)
    rotation = SO3().random_uniform(1, generator=g, dtype=torch.float64)
    for d in (Kent(rotation, 20.0, 7.0), MatrixFisher(rotation, torch.diag(double([0.0, 10.0, 30.0])))):
        x = d.draw(torch.zeros(3, dtype=torch.long), g).requires_grad_()
        assert torch.autograd.gradcheck(d.log_prob, (x,))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Kent(torch.eye(3), -1.0), "kappa .* at least 0"),
        (lambda: Kent(torch.eye(3), 2.0, 1.5), "beta .* between 0 and kappa / 2"),
        (lambda: Kent(2 * torch.eye(3), 2.0), "axes .* must lie on so3"),
        (lambda: MatrixFisher(torch.eye(3), -1.0), "positive semidefinite"),
        (lambda: MatrixFisher(torch.eye(3), torch.ones(2)), "matrix"),
        (lambda: MatrixFisher(torch.ones(3, 3), 1.0), "loc .* must lie on so3"),
    ],
)
def test_wrong_arguments_are_explained(build, message):
    with pytest.raises(ValueError, match=message):
        build()
