"""Functions with removable singularities: value and first two derivatives on both sides of every switch."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from torch import Tensor

from manifold_gen import numerics

CASES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[mpmath.mpf], mpmath.mpf]]] = {
    "cos_sqrt": (numerics.cos_sqrt, lambda s: mpmath.cos(mpmath.sqrt(s))),
    "sinc_sqrt": (numerics.sinc_sqrt, lambda s: mpmath.sin(mpmath.sqrt(s)) / mpmath.sqrt(s)),
    "sinhc_sqrt": (numerics.sinhc_sqrt, lambda s: mpmath.sinh(mpmath.sqrt(s)) / mpmath.sqrt(s)),
    "tanhc_sqrt": (numerics.tanhc_sqrt, lambda s: mpmath.tanh(mpmath.sqrt(s)) / mpmath.sqrt(s)),
    "sech2_sqrt": (numerics.sech2_sqrt, lambda s: mpmath.sech(mpmath.sqrt(s)) ** 2),
    "asinhc_sqrt": (numerics.asinhc_sqrt, lambda s: mpmath.asinh(mpmath.sqrt(s)) / mpmath.sqrt(s)),
    "log_sinhc_sqrt": (numerics.log_sinhc_sqrt, lambda s: mpmath.log(mpmath.sinh(mpmath.sqrt(s)) / mpmath.sqrt(s))),
}
POINTS = ["1e-12", "1e-4", "0.009", "0.011", "0.5", "0.99", "1.01", "4", "30"]


@pytest.mark.parametrize("name", CASES)
def test_value_and_derivatives(name: str, dtype: torch.dtype, device: torch.device) -> None:
    function, exact = CASES[name]
    s = torch.tensor([float(p) for p in POINTS], dtype=dtype, device=device)
    first = torch.func.grad(lambda a: function(a).sum())
    second = torch.func.grad(lambda a: first(a).sum())
    eps = torch.finfo(dtype).eps
    with mpmath.workdps(50):
        reference = [[float(mpmath.diff(exact, mpmath.mpf(float(p)), k)) for p in s] for k in range(3)]
    # the derivative of a quotient loses a factor 1/s to cancellation just above the switch, where s * f' is what counts
    for order, (got, want) in enumerate(zip((function(s), first(s), second(s)), reference, strict=True)):
        error = (got.double().cpu() - torch.tensor(want, dtype=torch.float64)).abs()
        size = torch.tensor(want, dtype=torch.float64).abs() + 1
        loss = torch.clamp(1 / s.double().cpu(), max=100.0) ** order + 1
        assert float((error / (size * loss)).amax()) <= 4 * eps, f"derivative {order} of {name}: {error / size}"


@pytest.mark.parametrize("name", CASES)
def test_everything_is_finite_at_zero(name: str, dtype: torch.dtype) -> None:
    function, exact = CASES[name]
    zero = torch.zeros((), dtype=dtype)
    slope = torch.func.grad(function)
    with mpmath.workdps(50):
        tiny = mpmath.mpf(10) ** -30
        expected = float(exact(tiny)), float((exact(2 * tiny) - exact(tiny)) / tiny)
    assert math.isclose(float(function(zero)), expected[0], abs_tol=1e-7)
    assert math.isclose(float(slope(zero)), expected[1], rel_tol=1e-6)
    assert math.isfinite(float(torch.func.grad(slope)(zero)))
    assert math.isfinite(float(torch.func.jvp(slope, (zero,), (torch.ones_like(zero),))[1]))


def test_no_overflow_far_out() -> None:
    s = torch.tensor([1e6], requires_grad=True)
    for function in (numerics.sech2_sqrt, numerics.log_sinhc_sqrt, numerics.tanhc_sqrt):
        value = function(s)
        (slope,) = torch.autograd.grad(value.sum(), s)
        assert bool(torch.isfinite(value).all())
        assert bool(torch.isfinite(slope).all())
    assert math.isclose(float(numerics.log_sinhc_sqrt(s)), 1000 - math.log(2) - math.log(1000), rel_tol=1e-6)


def test_angle_over_sine(dtype: torch.dtype) -> None:
    theta = torch.tensor([1e-6, 0.05, 0.0995, 0.1005, 1.0, 1.5707, 2.0, 3.0, 3.1415], dtype=torch.float64)
    sine, cosine = torch.sin(theta), torch.cos(theta)
    got = numerics.angle_over_sine((sine**2).to(dtype), cosine.to(dtype)).double()
    assert float((got / (theta / sine) - 1).abs().amax()) <= 4 * torch.finfo(dtype).eps
    assert float(numerics.angle_over_sine(torch.zeros(()), torch.tensor(-1.0))) == pytest.approx(math.pi)


def test_safe_sqrt_at_zero(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, 4.0], dtype=dtype, requires_grad=True)
    y = numerics.safe_sqrt(x)
    assert y.tolist() == [0.0, 2.0]
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert slope.tolist() == [0.0, 0.25]
    (bend,) = torch.autograd.grad(slope.sum(), x)
    assert bend.tolist() == [0.0, -1 / 32]


def test_wrap_angle_keeps_gradients_and_boundaries(dtype: torch.dtype) -> None:
    pi = torch.tensor(math.pi, dtype=dtype)
    edge = torch.stack([pi, -pi, 3 * pi, torch.nextafter(-pi, -2 * pi), torch.nextafter(pi, 0 * pi)])
    wrapped = numerics.wrap_angle(edge)
    assert bool((wrapped >= -pi).all())
    assert bool((wrapped < pi).all())
    x = torch.linspace(-20, 20, 41, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(numerics.wrap_angle(x).sum(), x)
    assert torch.equal(slope, torch.ones_like(slope))
