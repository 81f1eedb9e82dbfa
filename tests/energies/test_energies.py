"""Energies against formulas written out with numpy and scipy, known minima, finite differences and symmetries."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import minimize
from scipy.spatial.distance import pdist

from manifold_gen.energies import DoubleWell, LennardJones, squared_distances
from manifold_gen.errors import UsageError


def double_well(x):
    d = pdist(x) - 4
    return np.sum(0.9 * d**4 - 4 * d**2)


def lennard_jones(x, factor):
    r = pdist(x)
    return factor * np.sum(r**-12.0 - 2 * r**-6.0) + 0.5 * np.sum((x - x.mean(0)) ** 2)


CASES = {
    "DW4": (DoubleWell(), double_well, 2.0),
    "DW3 on a line": (DoubleWell(3, 1), double_well, 2.0),
    "LJ13": (LennardJones(13), lambda x: lennard_jones(x, 2.0), 1.5),
    "LJ13, factor 1": (LennardJones(13, factor=1), lambda x: lennard_jones(x, 1.0), 1.5),
    "LJ55": (LennardJones(55), lambda x: lennard_jones(x, 2.0), 2.5),
}


@pytest.fixture(params=CASES)
def case(request, generator):
    """An energy, the formula written out, and clouds whose particles keep apart (the pairs of LJ are steep)."""
    energy, formula, spread = CASES[request.param]
    x = spread * torch.randn(400, energy.n, energy.p, generator=generator, dtype=torch.float64)
    nearest = squared_distances(x).amin(-1)
    return energy, formula, x[nearest.argsort(descending=True)[:6]]


def test_energy_is_the_formula(case):
    energy, formula, x = case
    expected = torch.tensor([formula(cloud.numpy()) for cloud in x])
    torch.testing.assert_close(energy.energy(x), expected, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(energy.log_density(x), -expected, rtol=1e-12, atol=1e-10)


def test_gradient_is_that_of_finite_differences(case):
    energy, _, x = case
    x = x[:2].requires_grad_()
    (gradient,) = torch.autograd.grad(energy.energy(x).sum(), x)
    flat, step = x.detach().flatten(1), 1e-6
    for k in range(0, flat.shape[1], max(1, flat.shape[1] // 20)):
        shift = torch.zeros_like(flat)
        size = step * float(x.detach().abs().mean())
        shift[:, k] = size
        up, down = (energy.energy((flat + s * shift).reshape(x.shape)) for s in (1, -1))
        slope = (up - down) / (2 * size)
        torch.testing.assert_close(gradient.flatten(1)[:, k], slope, rtol=1e-4, atol=1e-4 * float(gradient.abs().max()))


def test_energy_keeps_its_symmetries(case, dtype, generator):
    energy, _, x = case
    reference = energy.energy(x)
    rotation, _ = torch.linalg.qr(torch.randn(energy.p, energy.p, generator=generator, dtype=torch.float64))
    moved = {
        "permutation": x[:, torch.randperm(energy.n, generator=generator)],
        "rotation": x @ rotation,
        "reflection": x * torch.tensor([-1.0, *[1.0] * (energy.p - 1)], dtype=torch.float64),
        "translation": x + 0.7,
    }
    tolerance = 1e-10 if dtype == torch.float64 else 2e-4
    for name, y in moved.items():
        found = energy.energy(y.to(dtype)).double()
        scale = 1 + reference.abs()
        assert float(((found - reference) / scale).abs().max()) < tolerance, name


def test_a_one_sided_energy_would_be_noticed(case):
    energy, formula, x = case
    stretched = x * torch.tensor([1.1, *[1.0] * (energy.p - 1)], dtype=torch.float64)
    assert float((energy.energy(stretched) - energy.energy(x)).abs().min()) > 1e-3
    assert formula(stretched[0].numpy()) == pytest.approx(float(energy.energy(stretched[0])))


def test_leading_axes_are_free(case):
    energy, _, x = case
    assert energy.energy(x[0]).shape == ()
    torch.testing.assert_close(energy.energy(x.reshape(2, 3, energy.n, energy.p)).flatten(), energy.energy(x))


def test_lj13_has_the_known_minimum():
    """The icosahedron of the Cambridge Cluster Database: −44.326801 pair depths; the trap is taken off."""
    golden = (1 + 5**0.5) / 2
    corners = [c for a, b in itertools.product((-1, 1), (-golden, golden)) for c in ((0, a, b), (a, b, 0), (b, 0, a))]
    start = np.array([(0, 0, 0), *corners]) / 2
    for factor in (1.0, 2.0):
        energy = LennardJones(13, factor)
        energy.trap = 0.0

        def value(flat, energy=energy):
            x = torch.tensor(flat.reshape(13, 3), requires_grad=True)
            e = energy.energy(x)
            (gradient,) = torch.autograd.grad(e, x)
            return float(e.detach()), gradient.numpy().ravel()

        found = minimize(value, start.ravel(), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9})
        assert found.fun == pytest.approx(-44.326801 * factor, abs=1e-5)


def test_double_well_has_its_minima_where_the_docstring_says():
    d = torch.linspace(2, 6, 400_001, dtype=torch.float64)
    v = DoubleWell().pair(d.square())
    assert abs(float(d[v.argmin()]) - 4) == pytest.approx(math.sqrt(4 / 1.8), abs=1e-4)
    assert float(v.min()) == pytest.approx(-4 / 0.9, abs=1e-8)


def test_coincident_particles():
    x = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(DoubleWell().energy(x), x)
    assert bool((gradient == 0).all())
    assert float(LennardJones(4).energy(torch.zeros(4, 3))) == math.inf


@pytest.mark.parametrize(
    ("energy", "offset"), [(DoubleWell(), 5.51), (LennardJones(13), 33.08), (LennardJones(55), 148.87)]
)
def test_constants_agree_with_each_other(energy, offset):
    total = energy.mean_energy.value + energy.log_partition.value
    error = math.hypot(energy.mean_energy.error, energy.log_partition.error)
    assert abs(total - energy.entropy_floor.value) < 2 * error + 0.005
    assert energy.published_offset == pytest.approx(offset, abs=0.005)


def test_nothing_is_claimed_of_other_systems():
    for energy in (DoubleWell(5), DoubleWell(4, 3), LennardJones(7), LennardJones(13, factor=1.5)):
        assert energy.entropy_floor is energy.log_partition is energy.mean_energy is None


def test_dw4_constants_by_importance_sampling(failure_rate):
    """log Z, ⟨E⟩ and P(d > 4.5) without a Markov chain and without annealing.

    Seen from the first particle, the others are drawn with their distance to it from d exp(−v(d)) / N and any
    direction; what is left of the energy, the other three pairs, is the weight. The volume of the zero-mean subspace is
    that of the relative positions over n^(p/2) = 4, so Z = (2πN)³ / 4 · ⟨weight⟩.
    """
    random, count = np.random.default_rng(0), 300_000
    d = np.linspace(0, 9, 90_001)
    density = d * np.exp(-(0.9 * (d - 4) ** 4 - 4 * (d - 4) ** 2))
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)]) * (d[1] - d[0])
    distance = np.interp(random.uniform(0, cumulative[-1], (count, 3)), cumulative, d)
    angle = random.uniform(0, 2 * np.pi, (count, 3))
    arms = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    x = np.concatenate([np.zeros((count, 1, 2)), arms], 1)
    away = np.linalg.norm(x[:, [1, 1, 2]] - x[:, [2, 3, 3]], axis=-1) - 4
    w = np.exp(-(0.9 * away**4 - 4 * away**2).sum(-1))
    z = float(stats.norm.isf(failure_rate / 2))

    energy = DoubleWell()
    relative = w.std() / w.mean() / math.sqrt(count)
    log_z = 3 * math.log(2 * math.pi * cumulative[-1]) - math.log(4) + math.log(w.mean())
    assert relative < 0.02
    assert abs(log_z - energy.log_partition.value) < z * math.hypot(relative, energy.log_partition.error)
    cloud = torch.from_numpy(x)
    far = (squared_distances(cloud) > 4.5**2).double().mean(-1).numpy()
    expected = ((energy.energy(cloud).numpy(), energy.mean_energy.value, 0.01), (far, 0.497, 0.001))
    for values, known, error in expected:
        mean = (w * values).sum() / w.sum()
        own = math.sqrt((w**2 * (values - mean) ** 2).sum()) / w.sum()
        assert own < 0.02 * max(1.0, abs(mean))
        assert abs(mean - known) < z * math.hypot(own, error)


@pytest.mark.parametrize("make", [lambda: DoubleWell(1), lambda: DoubleWell(4, 0), lambda: LennardJones(13, factor=0)])
def test_senseless_systems_are_refused(make):
    with pytest.raises(UsageError, match="got"):
        make()


def test_another_shape_is_refused():
    with pytest.raises(UsageError, match=r"DW4 takes clouds \(\*batch, 4, 2\), got shape \(3, 4, 3\)"):
        DoubleWell().energy(torch.zeros(3, 4, 3))
