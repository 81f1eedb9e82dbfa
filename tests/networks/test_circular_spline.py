"""Circular splines: interpolation, inverse, slope, degree one, and no seam."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manifold_gen import seeds
from manifold_gen.networks import circular_spline as module
from manifold_gen.networks.circular_spline import SMALLEST_SLOPE, TURN, circular_spline, spline_size
from manifold_gen.numerics import wrap_angle


def shapes(*size, bins=5, seed=0, dtype=torch.float64, scale=1.5):
    return scale * torch.randn(*size, spline_size(bins), dtype=dtype, generator=seeds.generator(seed))


def angles(*size, seed=1, dtype=torch.float64):
    return math.pi * (2 * torch.rand(*size, dtype=dtype, generator=seeds.generator(seed)) - 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.floats(0.0, 3.0), st.integers(0, 2**31))
def test_the_inverse_undoes_it_in_value_and_slope(bins, scale, seed):
    shape, x = shapes(200, bins=bins, seed=seed, scale=scale), angles(200, seed=seed + 1)
    y, log_slope = circular_spline(x, shape)
    back, log_back = circular_spline(y, shape, inverse=True)
    # a slope of SMALLEST_SLOPE magnifies the rounding of y by its inverse, and its change along x by more
    assert float(wrap_angle(back - x).abs().max()) < 1e-9
    assert float((log_slope + log_back).abs().max()) < 1e-6
    assert bool(((y >= -math.pi) & (y < math.pi)).all())


def test_single_precision_is_as_good_as_its_rounding():
    shape, x = shapes(20_000, dtype=torch.float32), angles(20_000, dtype=torch.float32)
    y, log_slope = circular_spline(x, shape)
    exact, exact_log_slope = circular_spline(x.double(), shape.double())
    steepest = float(exact_log_slope.exp().max())
    assert float(wrap_angle(y.double() - exact).abs().max()) < 2e-6 * max(1.0, steepest)
    assert float((log_slope.double() - exact_log_slope).abs().median()) < 1e-6
    back, _ = circular_spline(y, shape, inverse=True)
    flattest = float(exact_log_slope.exp().min())
    assert float(wrap_angle(back - x).abs().max()) < 2e-6 / flattest


def test_the_slope_is_the_derivative():
    shape, x = shapes(100), angles(100).requires_grad_()
    y, log_slope = circular_spline(x, shape)
    (derivative,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_slope.exp(), derivative, rtol=1e-9, atol=1e-12)
    z = y.detach().requires_grad_()
    back, log_back = circular_spline(z, shape, inverse=True)
    (derivative,) = torch.autograd.grad(back.sum(), z)
    torch.testing.assert_close(log_back.exp(), derivative, rtol=1e-7, atol=1e-12)


def test_gradients_of_both_directions_are_those_of_finite_differences():
    shape, x = shapes(4, bins=3).requires_grad_(), angles(4).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: circular_spline(a, b), (x, shape))
    assert torch.autograd.gradcheck(lambda a, b: circular_spline(a, b, inverse=True), (x, shape))


def test_it_passes_through_its_knots_with_the_slopes_that_were_asked_for():
    bins, shape = 5, shapes(bins=5)
    widths, heights = (module._shares(part) for part in (shape[:bins], shape[bins : 2 * bins]))
    asked = SMALLEST_SLOPE + torch.nn.functional.softplus(shape[2 * bins : 3 * bins] + module._UNIT_SLOPE)
    x = shape[-1] + widths.cumsum(0) - widths
    y, log_slope = circular_spline(x, shape.expand(bins, -1))
    torch.testing.assert_close(wrap_angle(y - (heights.cumsum(0) - heights - math.pi)), torch.zeros(bins).double())
    torch.testing.assert_close(log_slope.exp(), asked)
    assert float(widths.sum()) == pytest.approx(TURN)


def test_it_goes_round_once_and_never_back():
    shape = shapes()
    x = torch.linspace(-math.pi, math.pi, 4001, dtype=torch.float64)
    y, log_slope = circular_spline(x, shape.expand(4001, -1))
    steps = wrap_angle(y[1:] - y[:-1])
    assert bool((steps > 0).all())
    assert float(steps.sum()) == pytest.approx(TURN)
    assert float(log_slope.exp()[1:].mean() * TURN) == pytest.approx(TURN, rel=1e-3)


def test_zeros_are_a_rotation_and_whole_turns_of_the_point_change_nothing():
    x = angles(50)
    y, log_slope = circular_spline(x, torch.zeros(50, spline_size(7), dtype=torch.float64))
    torch.testing.assert_close(wrap_angle(y - x - math.pi), torch.zeros_like(x), atol=1e-14, rtol=0)
    torch.testing.assert_close(log_slope, torch.zeros_like(x), atol=1e-14, rtol=0)
    shape = shapes(50)
    torch.testing.assert_close(circular_spline(x + TURN, shape)[1], circular_spline(x, shape)[1])


def seam_jump(shape):
    """Largest jump of the log-slope over a hair's breadth round the phase, where the last bin meets the first."""
    hair = 1e-12
    before, after = (circular_spline(shape[:, -1] + side * hair, shape)[1] for side in (-1, 1))
    return float((before - after).abs().max())


def unmatched(bin_, widths, heights, slopes):
    """Splines of an interval: the last slope is 1, whatever the first one is."""
    right = torch.cat([slopes[..., 1:], torch.ones_like(slopes[..., :1])], -1)
    *chosen, _, left, low = _matched(bin_, widths, heights, slopes)
    return (*chosen, right.gather(-1, bin_).squeeze(-1), left, low)


_matched = module._gather


def test_the_slope_has_no_jump_at_the_seam_and_an_unmatched_one_is_found(monkeypatch):
    shape = shapes(300)
    assert seam_jump(shape) < 1e-6
    monkeypatch.setattr(module, "_gather", unmatched)
    assert seam_jump(shape) > 0.5
