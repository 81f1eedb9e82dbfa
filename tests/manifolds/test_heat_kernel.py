"""Heat kernels against high-precision series, and by the laws that define them."""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import torch
from torch import Tensor

from manifold_gen.errors import KernelUnknownError, UsageError
from manifold_gen.manifolds import Lorentz, Manifold, from_spec

COMPACT = ["torus:1", "sphere:1", "sphere:2", "sphere:3", "sphere:4", "so3"]
OPEN = ["euclidean:2", "lorentz:1", "lorentz:2", "lorentz:3", "poincare:2", "poincare:3"]
PRODUCTS = ["so3 x torus:2", "sphere:2 x euclidean:1"]
TIMES = [0.05, 0.19, 0.21, 0.59, 0.61, 0.99, 1.01, 4.0]


def at_distance(m: Manifold, r: Tensor) -> tuple[Tensor, Tensor]:
    """A point and points at the given distances from it, in one direction."""
    x = m.origin(len(r), dtype=r.dtype)
    u = torch.nn.functional.one_hot(torch.tensor(0), m.dim).to(r) * r.unsqueeze(-1)
    return x, m.expmap(x, m.from_coordinates(x, u))


def eigenfunction_sum(spec: str, r: float, t: float) -> float:
    """log of Σ multiplicity · e^{−eigenvalue t / 2} · zonal function / volume with 60 digits."""
    with mp.workdps(60):
        r, t = mp.mpf(r), mp.mpf(t)
        n = {"so3": 0, "torus:1": 1}.get(spec) if not spec.startswith("sphere") else int(spec[-1])
        top = int(mp.sqrt(300 / t)) + 8
        cosine = mp.cos(r)
        if n == 0:
            before, current, volume = mp.mpf(-1), mp.mpf(1), 8 * mp.pi**2
            total = mp.mpf(0)
            for l in range(top):
                total += (2 * l + 1) * mp.exp(-l * (l + 1) * t / 2) * current
                before, current = current, 2 * cosine * current - before
            return float(mp.log(total / volume))
        if n == 1:
            total = 1 + 2 * sum(mp.exp(-(k**2) * t / 2) * mp.cos(k * r) for k in range(1, top))
            return float(mp.log(total / (2 * mp.pi)))
        volume = 2 * mp.pi ** (mp.mpf(n + 1) / 2) / mp.gamma(mp.mpf(n + 1) / 2)
        before, current, total = mp.mpf(0), mp.mpf(1), mp.mpf(1)
        for l in range(1, top):
            before, current = current, ((2 * l + n - 3) * cosine * current - (l - 1) * before) / (l + n - 2)
            count = mp.mpf(2 * l + n - 1) / (n - 1) * mp.binomial(l + n - 2, l)
            total += count * mp.exp(-mp.mpf(l) * (l + n - 1) * t / 2) * current
        return float(mp.log(total / volume))


@pytest.mark.parametrize("spec", COMPACT)
def test_values_are_those_of_the_eigenfunction_series(spec: str, dtype: torch.dtype) -> None:
    m = from_spec(spec)
    r = torch.tensor([0.0, 1e-3, 0.3, 1.0, 1.5, 1.6, 2.5, 3.1], dtype=dtype)
    x, y = at_distance(m, r)
    for t in torch.tensor(TIMES, dtype=dtype):
        got = m.heat_kernel(x, y, t).double()
        expected = torch.tensor([eigenfunction_sum(spec, a, float(t)) for a in r.tolist()], dtype=torch.float64)
        size = 1 + expected.abs()
        if spec == "sphere:4":  # an expansion where the density is below 1e-10 of its largest value
            bulk = expected > expected.max() - 14
            assert bool(((got - expected).abs() <= 1e-5 * size)[bulk].all())
            assert bool(((got - expected).abs() <= 0.05 * size).all())
            continue
        tolerance = {torch.float32: 3e-6, torch.float64: 1e-10}[dtype]
        assert float(((got - expected).abs() / size).max()) < tolerance, (spec, float(t))


@pytest.mark.parametrize("t", [1e-5, 1e-4, 1e-3])
def test_short_times_are_gaussian(t: float, dtype: torch.dtype) -> None:
    """log k = log N(r) + (n − 1)/2 log(r / sin r) + O(t), and the score is −log_y(x) … to the same order."""
    for spec in ("sphere:2", "sphere:3", "sphere:4", "so3"):
        m = from_spec(spec)
        r = torch.tensor([0.0, 0.5, 1.0, 3.0], dtype=dtype) * math.sqrt(t)
        x, y = at_distance(m, r)
        got = m.heat_kernel(x, y, t)
        r = m.dist(x, y)
        expected = -0.5 * r * r / t - 0.5 * m.dim * math.log(2 * math.pi * t) - 0.5 * m.log_det_exp(x, m.logmap(x, y))
        assert torch.allclose(got, expected, rtol=1e-5, atol=2 * t + 1e-5)
        score = m.heat_kernel_score(x, y, t)
        assert float(m.norm(y, score - m.logmap(y, x) / t).max()) < 20 * (math.sqrt(t) + 1e-6 / math.sqrt(t))


@pytest.mark.parametrize("spec", ["euclidean:1", "lorentz:1", "lorentz:2", "lorentz:3"])
@pytest.mark.parametrize("t", [0.01, 0.4, 5.0])
def test_heat_equation_off_the_compact(spec: str, t: float) -> None:
    """∂ₜ log k = ½ (log k)'' + ½ (log k)'² + ½ (n − 1) coth r (log k)', by differences in r and t."""
    m = from_spec(spec)
    r = torch.linspace(0.4, 3.0, 9, dtype=torch.float64) * math.sqrt(t)
    d, dt = 1e-3 * math.sqrt(t), 1e-4 * t

    def value(r: Tensor, t: float) -> Tensor:
        return m.heat_kernel(*at_distance(m, r), t)

    first = (value(r + d, t) - value(r - d, t)) / (2 * d)
    second = (value(r + d, t) + value(r - d, t) - 2 * value(r, t)) / d**2
    curvature = 0.0 if spec.startswith("euclidean") else (m.dim - 1) / torch.tanh(r)
    rate = (value(r, t + dt) - value(r, t - dt)) / (2 * dt)
    assert torch.allclose(rate, 0.5 * (second + first**2 + curvature * first), rtol=2e-5, atol=2e-5 / t)


@pytest.mark.parametrize("spec", COMPACT + OPEN + PRODUCTS)
def test_score_is_the_gradient_and_the_kernel_symmetric(spec: str, dtype: torch.dtype, generator) -> None:
    """Also at x = y, for a time in each row, and under vmap."""
    m = from_spec(spec)
    t = torch.logspace(-3, 0.9, 60, dtype=dtype)
    x = m.sample_heat_kernel(m.origin(60, dtype=dtype), 0.3, generator)
    y = m.sample_heat_kernel(x, t.clamp(max=1.0), generator)
    y = torch.cat([x[:3], y[3:]])
    free = y.clone().requires_grad_()
    value = m.heat_kernel(x, free, t)
    gradient = m.egrad2rgrad(y, torch.autograd.grad(value.sum(), free)[0])
    score = m.heat_kernel_score(x, y, t)
    allowed = {torch.float32: 2e-4, torch.float64: 1e-8}[dtype]
    assert float((m.norm(y, gradient - score) / (1 / t.sqrt() + m.norm(y, score))).max()) < allowed
    assert torch.allclose(score, m.proju(y, score), rtol=1e-4, atol=1e-4)
    back = m.heat_kernel(y, x, t)
    assert torch.allclose(value, back, rtol=1e-5, atol=2e-3 if dtype == torch.float32 else 1e-8)
    mapped = torch.func.vmap(m.heat_kernel_score)(x, y, t)
    assert torch.allclose(mapped, score, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spec", ["torus:2", "sphere:1", "sphere:2", "sphere:3", "sphere:4", "so3"])
def test_score_is_small_and_finite_at_the_cut_locus(spec: str, dtype: torch.dtype) -> None:
    m = from_spec(spec)
    x, y = at_distance(m, torch.full((5,), math.pi, dtype=dtype))
    t = torch.tensor([1e-5, 1e-3, 0.1, 1.0, 20.0], dtype=dtype)
    score = m.heat_kernel_score(x, y, t)
    assert bool(torch.isfinite(score).all())
    assert bool(torch.isfinite(m.heat_kernel(x, y, t)).all())
    assert float(m.norm(y, score)[2:].max()) < 1e-3  # both ways are equally long: the pulls cancel


@pytest.mark.parametrize("spec", COMPACT)
def test_long_times_are_uniform(spec: str, generator) -> None:
    m = from_spec(spec)
    x, y = (m.random_uniform(20, generator=generator, dtype=torch.float64) for _ in range(2))
    assert torch.allclose(m.heat_kernel(x, y, 80.0), torch.full((20,), -m.log_volume, dtype=torch.float64), atol=1e-12)


def test_half_precision_is_computed_in_single() -> None:
    m = from_spec("sphere:2")
    x, y = at_distance(m, torch.tensor([0.5]))
    half = m.heat_kernel(x.bfloat16(), y.bfloat16(), torch.tensor(0.3).bfloat16())
    assert half.dtype == torch.bfloat16
    assert float(half) == pytest.approx(float(m.heat_kernel(x, y, 0.3)), abs=0.05)


def test_the_two_models_of_hyperbolic_space_agree(generator) -> None:
    from manifold_gen.manifolds.hyperbolic import poincare_to_lorentz

    ball, sheet = from_spec("poincare:2"), from_spec("lorentz:2")
    x = ball.sample_heat_kernel(ball.origin(30, dtype=torch.float64), 1.0, generator)
    y = ball.sample_heat_kernel(x, 0.5, generator)
    other = sheet.heat_kernel(poincare_to_lorentz(x), poincare_to_lorentz(y), 0.5)
    assert torch.allclose(ball.heat_kernel(x, y, 0.5), other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["heat_kernel", "heat_kernel_score", "sample_heat_kernel"])
def test_an_unknown_kernel_is_named_with_its_remedy(method: str) -> None:
    m = Lorentz(4)
    x = m.origin(2)
    assert not m.has_heat_kernel
    assert not from_spec("lorentz:4 x torus:1").has_heat_kernel
    arguments = (x, 0.1) if method == "sample_heat_kernel" else (x, x, 0.1)
    with pytest.raises(KernelUnknownError, match=r"known on lorentz:4; .* implicit score matching"):
        getattr(m, method)(*arguments)


@pytest.mark.parametrize("spec", ["sphere:2", "so3", "torus:1", "euclidean:2", "poincare:2", "so3 x torus:2"])
def test_times_that_cannot_be(spec: str) -> None:
    """A number is refused; an entry of a tensor leaves a mark in its own row alone."""
    m = from_spec(spec)
    x = m.origin(2)
    for t in (0.0, -1.0, math.nan):
        with pytest.raises(UsageError, match="time must be positive"):
            m.heat_kernel(x, x, t)
        with pytest.raises(UsageError, match="time must be positive"):
            m.sample_heat_kernel(x, t)
    t = torch.tensor([-1.0, 1.0])
    for values in (m.heat_kernel(x, x, t), m.heat_kernel_score(x, x, t), m.sample_heat_kernel(x, t)):
        assert values[0].isnan().any()
        assert values[1].isfinite().all()
