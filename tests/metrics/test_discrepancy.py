"""Maximum mean discrepancy: against sums over all pairs, quadrature on the circle, and its own spread over draws."""

import math

import numpy as np
import pytest
import torch

from manifold_gen import seeds
from manifold_gen.distributions import Uniform, VonMisesFisher, VonMisesProduct
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import Sphere, Torus, from_spec
from manifold_gen.metrics import mmd, mmd_floor
from tests.manifolds.cases import CASES

CIRCLE = Torus(1)


def around(manifold, n, seed, spread=0.4):
    """``n`` points about the origin, well inside every injectivity radius."""
    origin = manifold.origin(n, dtype=torch.float64)
    return manifold.expmap(origin, spread * manifold.random_tangent(origin, generator=seeds.generator(seed)))


def v_statistic(squared_xx, squared_yy, squared_xy, gamma=1.0):
    xx, yy, xy = (np.exp(-gamma * np.asarray(s)).mean() for s in (squared_xx, squared_yy, squared_xy))
    return xx + yy - 2 * xy


def naive(manifold, x, y, gamma=1.0):
    pairs = ((x, x), (y, y), (x, y))
    squared = v_statistic(*(manifold.dist2(a.unsqueeze(1), b.unsqueeze(0)) for a, b in pairs), gamma)
    return math.copysign(math.sqrt(abs(squared)), squared)


@pytest.mark.parametrize("spec", [spec for spec, _ in CASES])
def test_all_pairs_have_their_geodesic_distance(spec):
    manifold = from_spec(spec)
    x, y = around(manifold, 40, 1), around(manifold, 30, 2)
    expected = manifold.dist2(x.unsqueeze(1), y.unsqueeze(0))
    torch.testing.assert_close(manifold.dist2_matrix(x, y), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("spec", ["sphere:2", "torus:2", "so3", "poincare:2", "so3 x torus:2"])
def test_it_is_the_mean_over_all_pairs_in_tiles_of_any_size(spec):
    manifold = from_spec(spec)
    x, y = around(manifold, 100, 1), around(manifold, 270, 2, spread=0.6)
    assert mmd(manifold, x, y).value == pytest.approx(naive(manifold, x, y), abs=1e-9)
    assert mmd(manifold, x, y, gamma=7.0).value == pytest.approx(naive(manifold, x, y, 7.0), abs=1e-9)


def test_the_distance_is_geodesic_and_the_chord_would_be_seen():
    sphere = Sphere(2)
    x, y = around(sphere, 60, 1), Uniform(sphere).sample(60, generator=seeds.generator(2)).double()
    chord = [(a.unsqueeze(1) - b.unsqueeze(0)).square().sum(-1) for a, b in ((x, x), (y, y), (x, y))]
    assert abs(math.sqrt(v_statistic(*chord)) - mmd(sphere, x, y).value) > 1e-3


def test_the_error_is_the_jackknife_over_the_points_of_both():
    x, y = around(CIRCLE, 12, 1), around(CIRCLE, 9, 2, spread=1.0)
    without_x = np.array([naive(CIRCLE, torch.cat([x[:i], x[i + 1 :]]), y) for i in range(12)])
    without_y = np.array([naive(CIRCLE, x, torch.cat([y[:i], y[i + 1 :]])) for i in range(9)])
    expected = math.sqrt(11 * without_x.var() + 8 * without_y.var())
    assert mmd(CIRCLE, x, y).se == pytest.approx(expected, rel=1e-7)


def test_equal_samples_have_none():
    x = around(Sphere(2), 300, 1)
    assert mmd(Sphere(2), x, x).value == 0
    assert mmd(Sphere(2), x, x.flip(0)).value == 0


def test_a_negative_square_is_printed_signed():
    # Alternate points of a square on the circle: the geodesic kernel is indefinite where it is wide.
    x, y = torch.tensor([[0.0], [-math.pi]]), torch.tensor([[math.pi / 2], [-math.pi / 2]])
    squared = 1 + math.exp(-0.1 * math.pi**2) - 2 * math.exp(-0.1 * math.pi**2 / 4)
    assert squared < -0.1
    assert mmd(CIRCLE, x, y, gamma=0.1).value == pytest.approx(-math.sqrt(-squared), rel=1e-6)


def expected_square(p, q, n, m, cells=720):
    """E MMD² of the V-statistic between densities p and q on the circle, by the trapezoidal rule, which is spectral."""
    grid = torch.arange(cells, dtype=torch.float64).unsqueeze(1) * (2 * math.pi / cells) - math.pi
    kernel = torch.exp(-CIRCLE.dist2_matrix(grid, grid))
    a, b = (d.log_prob(grid).exp() * (2 * math.pi / cells) for d in (p, q))
    xx, yy, xy = a @ kernel @ a, b @ kernel @ b, a @ kernel @ b
    return float((1 + (n - 1) * xx) / n + (1 + (m - 1) * yy) / m - 2 * xy)


def von_mises(concentration):
    loc = torch.zeros(1, dtype=torch.float64)
    return VonMisesProduct(loc, torch.tensor([concentration], dtype=torch.float64))


@pytest.mark.parametrize(("n", "m"), [(80, 120), (400, 400)])
@pytest.mark.parametrize("concentration", [0.0, 1.5])
def test_mean_square_is_that_of_quadrature_and_the_floor_falls_as_one_over_n(n, m, concentration, failure_rate):
    q = Uniform(CIRCLE)
    p = von_mises(concentration) if concentration else q
    g = seeds.generator(n)
    draws = [mmd(CIRCLE, p.sample(n, generator=g).double(), q.sample(m, generator=g).double()) for _ in range(60)]
    squares = torch.tensor([e.value**2 for e in draws], dtype=torch.float64)
    expected = expected_square(p, q, n, m) if concentration else floor_square(n, m)
    # Student's t with 59 degrees of freedom: 5.5 at the failure rate of 1e-6.
    assert failure_rate == 1e-6
    assert abs(float(squares.mean()) - expected) <= 5.5 * float(squares.std()) / math.sqrt(60)


def floor_square(n, m):
    """(1/n + 1/m) (1 − E k) with E k = ∫₀^π exp(−d²) dd / π for uniform points of the circle."""
    return (1 / n + 1 / m) * (1 - math.sqrt(math.pi) / 2 * math.erf(math.pi) / math.pi)


@pytest.mark.parametrize(("apart", "least", "most"), [(True, 0.75, 1.35), (False, 1.0, 2.0)])
def test_the_error_is_the_spread_over_draws_and_at_equality_larger_by_the_root_of_two(apart, least, most):
    p = VonMisesFisher([0.0, 0.0, 1.0], 3.0)
    q = VonMisesFisher([0.0, 0.6, 0.8], 5.0) if apart else p
    g = seeds.generator(7)
    draws = [mmd(Sphere(2), p.sample(200, generator=g), q.sample(200, generator=g)) for _ in range(80)]
    spread = float(torch.tensor([e.value for e in draws]).std())
    quoted = math.sqrt(sum(e.se**2 for e in draws) / len(draws))
    assert least <= quoted / spread <= most


def test_the_floor_takes_as_many_training_points_as_test_points():
    train, test = around(CIRCLE, 200, 1), around(CIRCLE, 50, 2)
    assert mmd_floor(CIRCLE, train, test) == mmd_floor(CIRCLE, train, test, 50)
    assert mmd_floor(CIRCLE, train, test, seed=1) != mmd_floor(CIRCLE, train, test, seed=2)
    assert mmd_floor(CIRCLE, train[:50], test).value == pytest.approx(mmd(CIRCLE, train[:50], test).value)
    with pytest.raises(UsageError, match="50 training points, there are 49"):
        mmd_floor(CIRCLE, train[:49], test)


def test_points_are_left_out_only_when_asked():
    x, y = around(CIRCLE, 90, 1), around(CIRCLE, 80, 2)
    assert mmd(CIRCLE, x, y) == mmd(CIRCLE, x, y, maximum=90)
    fewer = mmd(CIRCLE, x, y, maximum=40)
    assert fewer == mmd(CIRCLE, x, y, maximum=40)
    assert fewer != mmd(CIRCLE, x, y, maximum=40, seed=1)
    assert fewer.se > mmd(CIRCLE, x, y).se


def test_bad_samples_are_refused():
    x = torch.zeros(5, 1)
    with pytest.raises(UsageError, match=r"y has shape \(5, 2\); expected \(N, 1\)"):
        mmd(CIRCLE, x, torch.zeros(5, 2))
    with pytest.raises(UsageError, match="y holds 1 points"):
        mmd(CIRCLE, x, x[:1])
    with pytest.raises(UsageError, match="gamma"):
        mmd(CIRCLE, x, x, gamma=0.0)
    broken = x.clone()
    broken[3] = math.nan
    with pytest.raises(DataError, match="1 of the 5 points of x are not finite, the first is row 3"):
        mmd(CIRCLE, broken, x)
