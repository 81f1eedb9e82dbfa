"""Laws of exponential map, logarithm, distance and transport."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.testing.laws import Setting, law


@law
def exp_at_zero_is_the_point(s: Setting) -> None:
    """exp_x(0) = x, its differential there is the identity, and reverse-mode gradients there are finite and right."""
    m, x = s.manifold, s.points(16)
    zero, u = torch.zeros_like(x), s.tangents(x)
    y, moved = torch.func.jvp(lambda w: m.expmap(x, w), (zero,), (u,))
    s.close(y, x, "exp_x(0)")
    s.close(moved, u, "d exp_x at 0, forward mode", kind="gradient")
    leaf = zero.clone().requires_grad_()
    weight = s.ambient(x)
    (slope,) = torch.autograd.grad((weight * m.expmap(x, leaf)).sum(), leaf)
    along = (slope * u).reshape(16, -1).sum(-1)
    s.close(along, (weight * u).reshape(16, -1).sum(-1), "d exp_x at 0, reverse mode", kind="gradient", scale=4)


@law
def log_inverts_exp(s: Setting) -> None:
    """log_x(exp_x(u)) = u inside the injectivity radius."""
    m, x = s.manifold, s.points(24)
    u = s.steps(x)
    back = m.logmap(x, m.expmap(x, u))
    s.close(m.norm(x, back - u), torch.zeros(24, dtype=s.dtype, device=s.device), "|log exp u − u|", scale=10)


@law
def exp_inverts_log(s: Setting) -> None:
    """exp_x(log_x(y)) = y, and log_x(y) is tangent."""
    m, x, y = s.manifold, s.points(24), s.points(24)
    u = m.logmap(x, y)
    s.close(m.proju(x, u), u, "proju of a logarithm", scale=10)
    miss = m.dist(m.expmap(x, u), y)
    s.close(miss, torch.zeros_like(miss), "distance from exp_x(log_x(y)) to y", scale=10)


@law
def gradients_at_coincident_points_are_finite(s: Setting) -> None:
    """At y = x: distance and logarithm are 0, dist has gradient 0, and d log_x(y) / dy is the identity."""
    m, x = s.manifold, s.points(16)
    zero = torch.zeros(16, dtype=s.dtype, device=s.device)
    s.close(m.dist(x, x), zero, "dist(x, x)", kind="rounding", scale=10)
    s.close(m.logmap(x, x), torch.zeros_like(x), "log_x(x)", kind="rounding", scale=10)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(m.dist(x, leaf).sum(), leaf)
    assert bool(torch.isfinite(slope).all()), "the gradient of dist(x, y) at y = x is not finite"
    u = s.tangents(x)
    moved = torch.func.jvp(lambda y: m.proju(x, m.logmap(x, y)), (x,), (u,))[1]
    s.close(moved, u, "d log_x(y) / dy at y = x", kind="gradient")


@law
def dist_is_the_length_of_log(s: Setting) -> None:
    """dist(x, y) = |log_x(y)|, its square is dist2, and it is what exp was given."""
    m, x, y = s.manifold, s.points(24), s.points(24)
    d = m.dist(x, y)
    s.close(m.norm(x, m.logmap(x, y)), d, "|log_x(y)| against dist", scale=4)
    s.close(m.dist2(x, y), d * d, "dist2 against dist²", scale=4)
    assert m.dist(x, y, keepdim=True).dim() > d.dim(), "keepdim=True does not keep the dimensions of dist"
    u = s.steps(x)
    s.close(m.dist(x, m.expmap(x, u)), m.norm(x, u), "dist(x, exp_x(u)) against |u|", scale=10)


@law
def dist_is_a_metric(s: Setting) -> None:
    """Symmetry, positivity and the triangle inequality."""
    m, x, y, z = s.manifold, s.points(24), s.points(24), s.points(24)
    d = m.dist(x, y)
    s.close(m.dist(y, x), d, "dist(y, x) against dist(x, y)")
    assert bool((d >= 0).all()), "a distance is negative"
    excess = float((d - m.dist(x, z) - m.dist(z, y)).amax())
    assert excess <= 20 * s.slack * s.tolerance.value, f"the triangle inequality fails by {excess:.3g}"


@law
def small_distances_keep_relative_accuracy(s: Setting) -> None:
    """dist and |log| of points 1e-3 and 1e-6 apart are right up to the rounding of the points.

    In float32 they also agree with what the same maps say in float64 about the same rounded points.
    """
    m, x = s.manifold, s.points(24)
    unit = s.tangents(x)
    length = m.norm(x, unit)
    unit = unit / length.reshape(*length.shape, *(1,) * len(m.shape))
    size = 1 + float(x.abs().amax()) ** 2
    for r in (1e-3, 1e-6):
        y = m.expmap(x, r * unit)
        rounding = 16 * size * m.dim * torch.finfo(s.dtype).eps
        allowed = s.slack * (rounding / r + 4 * s.tolerance.rounding)
        wide = m.dist(x.double(), y.double())
        for what, d in (("dist", m.dist(x, y)), ("|log|", m.norm(x, m.logmap(x, y)))):
            worst = float((d / r - 1).abs().amax())
            assert worst <= allowed, f"{what} of points {r:g} apart: relative error {worst:.3g}, allowed {allowed:.3g}"
            lost = float(((d - wide).abs() / wide.clamp_min(0.01 * r)).amax())
            bound = 1e-2 * s.slack
            assert lost <= bound, (
                f"{what} of points {r:g} apart: {lost:.3g} from the float64 value, allowed {bound:.3g}"
            )


@law
def distance_has_unit_slope(s: Setting) -> None:
    """d/dt dist(x, exp_x(t u)) = 1 for unit u, also at 1e-4: no clamp flattens it."""
    m, x = s.manifold, s.points(16)
    unit = s.tangents(x)
    length = m.norm(x, unit)
    unit = unit / length.reshape(*length.shape, *(1,) * len(m.shape))
    size = (1 + float(x.abs().amax())) ** 2
    for t in (1e-4, 1e-2, 0.5 * s.reach):
        y, velocity = torch.func.jvp(lambda r: m.expmap(x, r * unit), (x.new_tensor(t),), (x.new_ones(()),))
        slope = torch.func.jvp(lambda a: m.dist(x, a), (y,), (velocity,))[1]
        scale = 4 * (1 + torch.finfo(s.dtype).eps * size * m.dim / t / s.tolerance.gradient)
        s.close(slope, torch.ones_like(slope), f"slope of the distance at {t:g}", kind="gradient", scale=scale)


@law
def geodesics_have_unit_speed(s: Setting) -> None:
    """|d/dt exp_x(t u)| = |u| at every t."""
    m, x = s.manifold, s.points(16)
    u = s.steps(x)
    for t in (0.0, 0.4, 1.0):
        y, velocity = torch.func.jvp(lambda r: m.expmap(x, r * u), (x.new_tensor(t),), (x.new_ones(()),))
        s.close(m.norm(y, velocity), m.norm(x, u), f"speed at t = {t:g}", kind="gradient", scale=10)


@law
def transport_is_linear_and_tangent(s: Setting) -> None:
    """transp lands in T_yM, is linear, and is the identity from x to x."""
    m, x = s.manifold, s.points(16)
    y = m.expmap(x, 0.5 * s.steps(x))
    v, w = s.tangents(x), s.tangents(x)
    moved = m.transp(x, y, v)
    s.close(m.proju(y, moved), moved, "proju of a transported vector", scale=10)
    s.close(m.transp(x, y, 2 * v - w), 2 * moved - m.transp(x, y, w), "linearity of transp", scale=10)
    s.close(m.transp(x, x, v), v, "transp from x to x")


@law
def parallel_transport_is_isometric(s: Setting) -> None:
    """It preserves inner products, carries log_x(y) to −log_y(x), and going back undoes it.

    Applies where the manifold declares ``parallel_transport``.
    """
    m = s.manifold
    if not m.parallel_transport:
        return
    x = s.points(16)
    u = s.steps(x)
    y = m.expmap(x, u)
    v, w = s.tangents(x), s.tangents(x)
    moved = m.transp(x, y, v)
    s.close(m.inner(y, moved, m.transp(x, y, w)), m.inner(x, v, w), "inner product after transport", scale=20)
    zero = torch.zeros(16, dtype=s.dtype, device=s.device)
    s.close(m.norm(y, m.transp(x, y, u) + m.logmap(y, x)), zero, "transported velocity", scale=20)
    s.close(m.norm(x, m.transp(y, x, moved) - v), zero, "transport there and back", scale=20)


@law
def gradcheck_of_the_maps(s: Setting) -> None:
    """First and second derivatives of exp, log and dist² agree with finite differences; applies in float64."""
    if s.dtype != torch.float64:
        return
    m, centre = s.manifold, s.points(1)[0]
    basis = m.tangent_basis(centre)
    directions = s.ambient(basis)

    def combine(c: Tensor, vectors: Tensor) -> Tensor:
        return torch.tensordot(c, vectors, 1)

    def exp(a: Tensor, b: Tensor) -> Tensor:
        x = m.expmap(centre, combine(a, basis))
        return m.expmap(x, m.proju(x, combine(b, directions)))

    def log(a: Tensor, b: Tensor) -> Tensor:
        return m.logmap(m.expmap(centre, combine(a, basis)), m.expmap(centre, combine(b, basis)))

    def squared(a: Tensor, b: Tensor) -> Tensor:
        return m.dist2(m.expmap(centre, combine(a, basis)), m.expmap(centre, combine(b, basis)))

    width = 0.3 * min(1.0, s.reach / m.dim**0.5)
    a, b = (width * torch.randn(m.dim, generator=s.generator, dtype=s.dtype, device=s.device) for _ in range(2))
    inputs = (a.requires_grad_(), b.requires_grad_())
    for name, function in (("expmap", exp), ("logmap", log), ("dist2", squared)):
        try:
            torch.autograd.gradcheck(function, inputs, fast_mode=True, check_forward_ad=True)
            torch.autograd.gradgradcheck(function, inputs, fast_mode=True)
        except RuntimeError as error:
            raise AssertionError(f"derivatives of {name} against finite differences: {error}") from error
