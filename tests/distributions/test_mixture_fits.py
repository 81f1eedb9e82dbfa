"""Fits: likelihoods that never fall, known parameters found again, bandwidths and numbers of components chosen."""

import math

import pytest
import torch

from manifold_gen.distributions import (
    EMSettings,
    Kent,
    KernelDensity,
    MatrixFisher,
    Mixture,
    WrappedNormal,
    fit_kent_mixture,
    fit_kernel_density,
    fit_mixture,
    fit_rotation_mixture,
    fit_wrapped_normal_mixture,
)
from manifold_gen.distributions.em import expectation_maximisation
from manifold_gen.distributions.wrapped_em import wrapped_expectation_maximisation
from manifold_gen.manifolds import SO3, PoincareBall, Product, Sphere, Torus
from manifold_gen.seeds import generator

WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
ROTATIONS = SO3().random_uniform(3, generator=generator(0), dtype=torch.float64)
QUICK = EMSettings(steps=15, tolerance=-1.0, restarts=1, trial_steps=2, kappa_max=200.0, weight_floor=0.1)


def kent_truth():
    return Mixture(Kent(ROTATIONS, [50.0, 200.0, 20.0], [20.0, 0.0, 8.0]), WEIGHTS.log())


def rotation_truth():
    precision = torch.stack([torch.diag(torch.tensor(p)) for p in ([5.0, 20.0, 80.0], [100.0] * 3, [0.0, 30.0, 30.0])])
    return Mixture(MatrixFisher(ROTATIONS, precision.double()), WEIGHTS.log())


def hyperbolic_truth():
    loc = torch.tensor([[0.0, 0.1], [0.6, 0.0], [-0.5, -0.5]], dtype=torch.float64)
    return Mixture(WrappedNormal(PoincareBall(2), loc, [[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]]), WEIGHTS.log())


def histories(name, x, k):
    if name == "kent":
        return expectation_maximisation(Kent, x, k, generator(1), QUICK)
    if name == "rotations":
        return expectation_maximisation(MatrixFisher, x.flatten(1), k, generator(1), QUICK)
    return wrapped_expectation_maximisation(PoincareBall(2), x, k, generator(1), QUICK)


TRUTHS = {"kent": kent_truth, "rotations": rotation_truth, "hyperbolic": hyperbolic_truth}


@pytest.mark.parametrize("name", TRUTHS)
def test_the_likelihood_never_falls(name):
    x = TRUTHS[name]().sample(400, generator=generator(0))
    fitted, history = histories(name, x, 5)
    assert len(history) == QUICK.steps
    assert float(torch.tensor(history, dtype=torch.float64).diff().min()) > -1e-9
    assert history[-1] <= float(fitted.log_prob(x).mean()) + 1e-9


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("kent", fit_kent_mixture),
        ("rotations", fit_rotation_mixture),
        ("hyperbolic", lambda *given: fit_wrapped_normal_mixture(PoincareBall(2), *given)),
    ],
)
def test_a_known_mixture_is_found_again(name, fit):
    truth = TRUTHS[name]()
    x = truth.sample(3000, generator=generator(2))
    fitted = fit(x, 3, generator(3), EMSettings(steps=40, tolerance=1e-6, restarts=2, trial_steps=4, trial_points=1000))
    order = [int(truth.manifold.dist(centre, fitted.components.loc).argmin()) for centre in truth.components.loc]
    assert sorted(order) == [0, 1, 2]
    assert float((torch.softmax(fitted.logits, 0)[order] - WEIGHTS).abs().max()) < 0.04
    gain = float((fitted.log_prob(x) - truth.log_prob(x)).mean())
    assert 0 < gain < 25 / 3000  # half of the 17 to 29 parameters over the number of points, and its spread


def test_a_rotation_mixture_wants_matrices():
    with pytest.raises(ValueError, match=r"rotations \(N, 3, 3\)"):
        fit_rotation_mixture(torch.zeros(5, 9), 2)


def test_points_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="poincare:2"):
        fit_wrapped_normal_mixture(PoincareBall(2), torch.zeros(5, 3), 2)


@pytest.mark.parametrize("manifold", [Torus(2), Sphere(2), SO3(), PoincareBall(2)], ids=str)
def test_a_kernel_density_is_the_mean_of_its_kernels(manifold):
    """One centre: the kernel at its centre is close to that of a normal distribution of scale h."""
    centre = manifold.origin(1, dtype=torch.float64)
    density = KernelDensity(manifold, centre, 0.01)
    normal = -manifold.dim * (math.log(0.01) + 0.5 * math.log(2 * math.pi))
    assert float(density.log_prob(centre)[0]) == pytest.approx(normal, abs=2e-4)
    spread = manifold.dist2(centre, density.sample(4000, generator=generator(4))).mean()
    # the mean of 4000 chi-squared variables: five standard errors
    assert abs(float(spread) / 1e-4 / manifold.dim - 1) < 5 * math.sqrt(2 / manifold.dim / 4000)
    two = torch.cat([centre, manifold.expmap(centre, 0.02 * manifold.tangent_basis(centre)[:, 0])])
    parts = torch.stack([KernelDensity(manifold, c.unsqueeze(0), 0.01).log_prob(two) for c in two])
    expected = torch.logsumexp(parts, 0) - math.log(2)
    torch.testing.assert_close(KernelDensity(manifold, two, 0.01).log_prob(two), expected)


def test_the_bandwidth_is_the_best_on_the_validation_points():
    d = kent_truth()
    train, val = d.sample(500, generator=generator(5)), d.sample(300, generator=generator(6))
    fitted = fit_kernel_density(train, val, Sphere(2))
    best = float(fitted.log_prob(val).mean())
    for factor in (0.5, 0.8, 1.25, 2.0):
        assert float(KernelDensity(Sphere(2), train, factor * fitted.bandwidth).log_prob(val).mean()) < best
    few = fit_kernel_density(train, val, Sphere(2), max_centres=50, max_validation=20)
    assert few.centres.shape == (50, 3)
    assert few.bandwidth > fitted.bandwidth


def test_the_number_of_components_is_chosen_on_the_validation_points():
    d = hyperbolic_truth()
    train, val = d.sample(300, generator=generator(7)), d.sample(300, generator=generator(8))
    settings = EMSettings(steps=15, restarts=1, trial_steps=2)
    fitted = fit_mixture(PoincareBall(2), train, val, (1, 3, 40), settings=settings)
    assert fitted.logits.shape == (6,)  # three, each a second time and wider
    again = fit_mixture(PoincareBall(2), train, val, (1, 3, 40), settings=settings)
    assert torch.equal(fitted.components.loc, again.components.loc)


@pytest.mark.parametrize(
    ("manifold", "family"),
    [(Sphere(2), "Kent"), (Sphere(3), "VonMisesFisher"), (Torus(2), "VonMisesChain"), (SO3(), "MatrixFisher"),
     (Product(Torus(1), Sphere(2)), "WrappedNormal")],
    ids=str,
)  # fmt: skip
def test_every_manifold_has_its_family(manifold, family):
    x = manifold.random_uniform(20, generator=generator(9))
    fitted = fit_mixture(manifold, x, x, (2,), settings=EMSettings(steps=2, restarts=1, trial_steps=1))
    assert type(fitted.components).__name__ == family
    assert fitted.manifold.spec == manifold.spec
    assert fitted.log_prob(x).dtype == x.dtype


@pytest.mark.parametrize(
    "call",
    [
        lambda x: fit_mixture(Torus(1), x, x, ()),
        lambda x: fit_mixture(Torus(1), x, x[:0]),
        lambda x: fit_kernel_density(x, x[:0], Torus(1)),
        lambda x: KernelDensity(Torus(1), x, 0.0),
        lambda x: KernelDensity(Torus(2), x, 1.0),
    ],
)
def test_fits_that_cannot_be(call):
    with pytest.raises(ValueError, match=r"components|val_x|bandwidth|centres"):
        call(torch.zeros(4, 1))
