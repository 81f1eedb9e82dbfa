"""Laws of volume: the Jacobian of exp, the metric's determinant, the uniform distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold
from manifold_gen.testing.laws import Setting, law

_DRAWS = 20_000


@law
def log_det_exp_matches_autodiff(s: Setting) -> None:
    """log_det_exp equals the base class's determinant between frames, also at u = 0."""
    m, x = s.manifold, s.points(12)
    u = s.steps(x)
    s.close(
        m.log_det_exp(x, u), Manifold.log_det_exp(m, x, u), "log_det_exp against autodiff", kind="gradient", scale=20
    )
    zero = torch.zeros(12, dtype=s.dtype, device=s.device)
    s.close(m.log_det_exp(x, torch.zeros_like(u)), zero, "log_det_exp at 0", scale=4)


@law
def log_sqrt_det_metric_moves_with_the_metric(s: Setting) -> None:
    """Its change along a curve is that of the frame's ambient volume: checked through a divergence.

    For a flow exp(t v) of constant speed from every point, d/dt log |det d exp_x(t·)| is the divergence of the velocity
    field; here that field is the gradient of dist²/2, whose divergence is 1 + (n − 1) r ct(r) in constant curvature
    (ct = cot, 1/r or coth). Applies where ``curvature`` is set.
    """
    m = s.manifold
    if m.curvature is None:
        return
    x = s.points(12)
    y = m.expmap(x, s.steps(x))
    got = _divergence(m, lambda a: -m.logmap(a, x), y)
    r = m.dist(x, y)
    expected = 1 + (m.dim - 1) * r * _ct(r, m.curvature)
    s.close(got, expected, "divergence of the gradient of dist²/2", kind="gradient", scale=20)


@law
def log_volume_is_the_volume(s: Setting) -> None:
    """Under random_uniform, E[1(r < R) / |det d exp|] · volume = the volume of a flat ball of radius R.

    Applies where ``log_volume`` is finite.
    """
    m = s.manifold
    if math.isinf(m.log_volume):
        return
    centre = s.points(1)
    y = s.points(_DRAWS)
    u = m.logmap(centre.expand_as(y), y)
    radius = 0.9 * m.injectivity_radius
    log_ball = 0.5 * m.dim * math.log(math.pi) - math.lgamma(0.5 * m.dim + 1) + m.dim * math.log(radius)
    inside = m.dist(centre, y) < radius
    reachable = torch.where(inside.reshape(-1, *(1,) * len(m.shape)), u, 0.0)
    weight = torch.exp(m.log_volume - log_ball - m.log_det_exp(centre.expand_as(y), reachable).double())
    values = torch.where(inside, weight, 0.0)
    error = float(values.std()) / math.sqrt(_DRAWS)
    assert error < 0.2, f"{_DRAWS} draws are too few to judge log_volume (standard error {error:.2g})"
    s.agrees(values, 1.0, "volume of a geodesic ball under random_uniform")


@law
def divergences_integrate_to_zero(s: Setting) -> None:
    """∫ div v = 0 for a smooth field v, by Monte Carlo under random_uniform; applies where ``log_volume`` is finite."""
    m = s.manifold
    if math.isinf(m.log_volume):
        return
    size = math.prod(m.shape)
    options = {"generator": s.generator, "dtype": s.dtype, "device": s.device}
    inner = torch.randn(m.embed_dim, 8, **options)
    outer = torch.randn(8, size, **options)

    def field(y: Tensor) -> Tensor:
        ambient = torch.sin(m.embed(y) @ inner + 0.5) @ outer
        return m.proju(y, ambient.reshape(y.shape))

    y = s.points(_DRAWS // 5)
    s.agrees(_divergence(m, field, y).double(), 0.0, "mean divergence under random_uniform")


def _divergence(m: Manifold, field: object, y: Tensor) -> Tensor:
    """tr(proju ∘ Dv) over a frame, plus the derivative of log_sqrt_det_metric along v."""
    basis = m.tangent_basis(y)
    total = torch.func.jvp(m.log_sqrt_det_metric, (y,), (field(y),))[1]
    for i in range(m.dim):
        change = torch.func.jvp(field, (y,), (basis[:, i],))[1]
        total = total + m.inner(y, basis[:, i], m.proju(y, change))
    return total


def _ct(r: Tensor, curvature: float) -> Tensor:
    if curvature == 0:
        return 1 / r
    k = math.sqrt(abs(curvature))
    return k / (torch.tan(k * r) if curvature > 0 else torch.tanh(k * r))
