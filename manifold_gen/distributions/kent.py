"""Kent's distribution on the sphere S²."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from manifold_gen.distributions.base import Family
from manifold_gen.distributions.drawing import uniforms
from manifold_gen.distributions.parameters import ArrayLike, Fixed, as_points, as_real, broadcast, require
from manifold_gen.distributions.precisions import fit_precisions
from manifold_gen.distributions.quadrature import RULE, LogIntegral, log_bessel, log_integral
from manifold_gen.manifolds.rotations import SO3
from manifold_gen.manifolds.sphere import Sphere

_NEGLIGIBLE = 40.0  # exp(−40) is below rounding
_CHUNK = 32_768  # points drawn at once: the columns of more do not fit a cache
_TRIES = 1_024  # proposals of a round, at least: fewer take as long


class Kent(Family):
    r"""Kent (Fisher–Bingham 5) on S²: an ellipse-shaped peak at γ₁ with its long axis along γ₂.

    .. math:: \log p(x) = \kappa (\gamma_1 \cdot x - 1) + \beta ((\gamma_2 \cdot x)^2 - (\gamma_3 \cdot x)^2)
              - \log c(\kappa, \beta), \quad
              c = 2\pi \int_0^2 e^{-\kappa s} I_0(\beta s (2 - s))\,ds

    For large κ it is a normal distribution with variances 1/(κ − 2β) and 1/(κ + 2β) along γ₂ and γ₃. The integral is
    taken by a double-exponential rule, good to 1e-11 for κ up to 1e6. Source: Kent, JRSS B 44, 1982. The sampler is
    exact: on the equal-area chart the density is a product, each factor drawn by rejection from a normal one.

    Args:
        axes: orthonormal columns γ₁, γ₂, γ₃ of determinant 1, ``(3, 3)`` or ``(K, 3, 3)`` for K members.
        kappa: concentrations ≥ 0 that broadcast to the batch shape.
        beta: ovalness, 0 ≤ β ≤ κ/2, that broadcasts to the batch shape.

    Raises:
        ValueError: a parameter is not finite, out of its range, not a frame, or of a shape that does not fit.

    Example:
        >>> d = Kent(torch.eye(3), kappa=10.0, beta=3.0)
        >>> round(float(d.log_prob(torch.tensor([1.0, 0.0, 0.0]))), 4)
        0.3245
    """

    def __init__(self, axes: ArrayLike, kappa: ArrayLike, beta: ArrayLike = 0.0) -> None:
        frame = as_points(axes, SO3(), "axes")
        super().__init__(Sphere(2), tuple(frame.shape[:-2]))
        strength, oval = as_real(kappa, "kappa").to(frame), as_real(beta, "beta").to(frame)
        require(strength >= 0, "kappa", strength, "at least 0")
        strength = broadcast(strength, self.batch_shape, "kappa")
        oval = broadcast(oval, self.batch_shape, "beta")
        slack = 1e-6 * strength
        require((oval >= 0) & (2 * oval <= strength + slack), "beta", oval, "between 0 and kappa / 2")
        self._axes, self._kappa, self._beta = Fixed(frame), Fixed(strength), Fixed(oval)

    @property
    def axes(self) -> Tensor:
        """γ₁, γ₂, γ₃ as columns, ``(*batch_shape, 3, 3)``."""
        return self._axes()

    @property
    def loc(self) -> Tensor:
        """The mode γ₁, ``(*batch_shape, 3)``."""
        return self.axes[..., 0]

    @property
    def kappa(self) -> Tensor:
        """Concentrations, ``batch_shape``."""
        return self._kappa()

    @property
    def beta(self) -> Tensor:
        """Ovalness, ``batch_shape``."""
        return self._beta()

    def widened(self, factors: Sequence[float]) -> Kent:
        """κ and β over the squares of ``factors``, see ``Family``."""
        kappa, beta = (torch.cat([value / factor**2 for factor in factors]) for value in (self.kappa, self.beta))
        return Kent(self.axes.repeat(len(factors), 1, 1), kappa, beta)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of unit vectors ``(*batch, 3)``; 1 − γ₁·x is taken as half the squared chord."""
        axes = self.axes.to(x)
        deficit = (x - axes[..., 0]).square().sum(-1) / 2
        oval = (x * axes[..., 1]).sum(-1).square() - (x * axes[..., 2]).sum(-1).square()
        return -self.kappa.to(x) * deficit + self.beta.to(x) * oval - log_kent_constant(self.kappa, self.beta).to(x)

    def draw(self, member: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One point of each listed member, ``(m, 3)``."""
        member = member.to(self.axes.device)
        y = _sample_chart(self.kappa, self.beta, member, generator)
        squared = y.square().sum(-1, keepdim=True)
        point = torch.cat([1 - 2 * squared, 2 * torch.sqrt(1 - squared) * y], -1).to(self.axes)
        frame = self.axes.reshape(-1, 3, 3)[member]
        return self.manifold.projx((frame @ point.unsqueeze(-1)).squeeze(-1))

    # ---- curved exponential family ------------------------------------------------------------------------------

    @staticmethod
    def statistics(x: Tensor) -> Tensor:
        """Sufficient statistics: the point and its outer product, ``(*batch, 12)``."""
        return torch.cat([x, (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)], -1)

    def natural(self) -> tuple[Tensor, Tensor]:
        """Natural parameters ``(*batch_shape, 12)`` and the log-normaliser."""
        first, second, third = self.axes.unbind(-1)
        quadric = second.unsqueeze(-1) * second.unsqueeze(-2) - third.unsqueeze(-1) * third.unsqueeze(-2)
        eta = torch.cat([self.kappa[..., None] * first, (self.beta[..., None, None] * quadric).flatten(-2)], -1)
        return eta, log_kent_constant(self.kappa, self.beta).to(first) + self.kappa

    @classmethod
    def from_moments(cls, moments: Tensor, kappa_max: float, start: Self | None = None) -> Self:
        """Maximum likelihood for mean statistics ``(K, 12)``, with κ + 2β at most ``kappa_max``.

        Axes start at Kent's moment estimate and concentrations at those of ``start``; then both improve in turns. The
        likelihood is at least that of ``start``.
        """
        mean, second = moments[:, :3], moments[:, 3:].unflatten(-1, (3, 3))
        length = torch.linalg.vector_norm(mean, dim=-1, keepdim=True)
        pole = torch.eye(3, dtype=mean.dtype, device=mean.device)[0]
        axes = _completed(torch.where(length > 0, mean / torch.where(length > 0, length, 1.0), pole), second)
        known = None if start is None else _scored(start, mean, second)
        found = _fitted(axes, mean, second, kappa_max, None if known is None else known.precision)
        turned = _fitted(_turned(found, mean, second), mean, second, kappa_max, found.precision)
        best = found.or_better(turned) if known is None else known.or_better(found).or_better(turned)
        return cls(best.axes, best.kappa, best.beta)


@dataclass(frozen=True)
class _Candidate:
    """Axes, precisions (κ − 2β, κ + 2β) ``(K, 2)`` and the mean log-likelihoods ``(K,)`` that they reach."""

    axes: Tensor
    precision: Tensor
    score: Tensor

    @property
    def kappa(self) -> Tensor:
        return self.precision.mean(-1)

    @property
    def beta(self) -> Tensor:
        return (self.precision[..., 1] - self.precision[..., 0]) / 4

    def or_better(self, other: _Candidate) -> _Candidate:
        """Each member from the candidate where it is more likely."""
        better = other.score > self.score
        axes = torch.where(better[:, None, None], other.axes, self.axes)
        precision = torch.where(better.unsqueeze(-1), other.precision, self.precision)
        return _Candidate(axes, precision, torch.maximum(self.score, other.score))


def log_kent_constant(kappa: Tensor, beta: Tensor) -> Tensor:
    """log ∫ exp(κ (x₁ − 1) + β (x₂² − x₃²)) over S², in float64; differentiable in both.

    Example:
        >>> zero = torch.tensor(0.0)
        >>> round(float(log_kent_constant(zero, zero).exp() / math.pi), 10)
        4.0
    """
    kappa, beta = kappa.double(), beta.double()
    s, log_weight = _nodes(kappa, beta)
    beta = beta.unsqueeze(-1)
    oval = beta * s * (2 - s)
    exponent = -(kappa.unsqueeze(-1) - 2 * beta) * s - beta * s.square()
    return torch.logsumexp(exponent + torch.log(torch.special.i0e(oval)) + log_weight, -1) + math.log(2 * math.pi)


def _nodes(kappa: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes s = 1 − cos θ as far as the integrand counts, and log-weights."""
    kappa, beta = kappa.detach(), beta.detach()
    least = (kappa - 2 * beta).clamp(min=0.0)
    # where (κ − 2β) s + β s² reaches the negligible exponent
    root = least + torch.sqrt(least.square() + 4 * _NEGLIGIBLE * beta)
    end = torch.where(root > _NEGLIGIBLE, 2 * _NEGLIGIBLE / root.clamp(min=1.0), 2.0).clamp(max=2.0).unsqueeze(-1)
    return end * RULE.node.to(end), RULE.log_weight.to(end) + end.log()


def _log_constant(precision: Tensor) -> LogIntegral:
    """log c with two derivatives in (κ − 2β, κ + 2β), ``(K, 2)``."""
    least, most = precision.unbind(-1)
    kappa, beta = (least + most) / 2, (most - least) / 4
    s, log_weight = _nodes(kappa, beta)
    q = s * (2 - s)
    oval = beta.unsqueeze(-1) * q
    scaled, slope, bend = log_bessel(oval)
    terms = -least.unsqueeze(-1) * s - beta.unsqueeze(-1) * s.square() + scaled
    # κ = (λ₁ + λ₂) / 2 and β = (λ₂ − λ₁) / 4
    slopes = torch.stack([-s / 2 - q * slope / 4, -s / 2 + q * slope / 4], -1)
    sign = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=s.dtype, device=s.device)
    return log_integral(terms + log_weight, slopes, (q.square() * bend / 16)[..., None, None] * sign)


def _scored(known: Kent, mean: Tensor, second: Tensor) -> _Candidate:
    kappa, beta = known.kappa.double(), known.beta.double()
    precision = torch.stack([kappa - 2 * beta, kappa + 2 * beta], -1)
    constant = log_kent_constant(kappa, beta)
    return _Candidate(known.axes, precision, -0.5 * (precision * _spread(known.axes, mean, second)).sum(-1) - constant)


def _fitted(axes: Tensor, mean: Tensor, second: Tensor, kappa_max: float, start: Tensor | None = None) -> _Candidate:
    """Concentrations of maximum likelihood for given axes, sought from the precisions ``start``."""
    return _Candidate(axes, *fit_precisions(_spread(axes, mean, second), _log_constant, kappa_max, start))


def _spread(axes: Tensor, mean: Tensor, second: Tensor) -> Tensor:
    """Mean squared coordinates along γ₂ and γ₃, whose halves times the precisions are the exponent, ``(K, 2)``."""
    deficit = 1 - (axes[..., 0] * mean).sum(-1)
    squares = torch.einsum("kij,kil,klj->kj", axes, second, axes)
    half = (squares[:, 1] - squares[:, 2]) / 2
    return torch.stack([deficit + half, deficit - half], -1)


def _completed(first: Tensor, second: Tensor) -> Tensor:
    """The frame of γ₁ whose γ₂, γ₃ diagonalise the second moments in the plane across γ₁, the larger first."""
    plane = Sphere(2).tangent_basis(first).mT
    _, vectors = torch.linalg.eigh(plane.mT @ second @ plane)
    across = (plane @ vectors).flip(-1)
    return torch.stack([first, across[..., 0], torch.linalg.cross(first, across[..., 0])], -1)


def _turned(found: _Candidate, mean: Tensor, second: Tensor) -> Tensor:
    """γ₁ tilted towards γ₂ and γ₃ by Newton's method with the diagonal of the Hessian, then completed."""
    axes, kappa, beta = found.axes, found.kappa, found.beta
    b = (axes.mT @ mean.unsqueeze(-1)).squeeze(-1)
    s = axes.mT @ second @ axes
    pull = kappa * b[:, 0]
    floor = 1e-3 * kappa + 1e-12
    about_2 = (pull + 2 * beta * (s[:, 0, 0] - s[:, 2, 2])).clamp(min=floor)
    about_3 = (pull - 2 * beta * (s[:, 0, 0] - s[:, 1, 1])).clamp(min=floor)
    towards_2 = (kappa * b[:, 1] - 2 * beta * s[:, 0, 1]) / about_3
    towards_3 = (kappa * b[:, 2] + 2 * beta * s[:, 0, 2]) / about_2
    step = towards_2.unsqueeze(-1) * axes[..., 1] + towards_3.unsqueeze(-1) * axes[..., 2]
    return _completed(Sphere(2).projx(axes[..., 0] + step), second)


def _sample_chart(kappa: Tensor, beta: Tensor, member: Tensor, generator: torch.Generator | None) -> Tensor:
    """One point y of the unit disc for each listed member, x = (1 − 2|y|², 2√(1 − |y|²) y), ``(m, 2)`` in float64.

    The log-density there is −½ (a y₁² + g y₁⁴ + b y₂² − g y₂⁴) with a = 4κ − 8β, b = 4κ + 8β, g = 8β: a product but
    for the edge of the disc. The first factor lies under a normal one because y⁴ ≥ 2 c y² − c² for every c, the best of
    which is taken; the second because y⁴ ≤ y².
    """
    envelopes = _envelopes(kappa.reshape(-1).double(), beta.reshape(-1).double())
    parts = [_rejected(envelopes[:, some], generator) for some in member.split(_CHUNK)]
    return torch.cat(parts, -1).mT


def _envelopes(kappa: Tensor, beta: Tensor) -> Tensor:
    """g / 2, c, the two normals' √(precision / 2) and the error functions of those at the edge, ``(6, K)``."""
    g = 8 * beta
    a = (4 * kappa - g).clamp(min=0.0)
    c = (2 / (a + torch.sqrt(a.square() + 8 * g)).clamp(min=1e-300)).clamp(max=0.5)
    half = torch.sqrt(torch.stack([a + 2 * c * g, 4 * kappa]).clamp(min=1e-8) / 2)
    return torch.cat([torch.stack([g / 2, c]), half, torch.erf(half)])


def _rejected(envelope: Tensor, generator: torch.Generator | None) -> Tensor:
    """One accepted point for each column of ``envelope`` ``(6, m)``: ``(2, m)``."""
    y, done = _tried(envelope, generator)
    todo = (~done).nonzero().squeeze(-1)
    while todo.numel():
        again, done = _tried(envelope[:, todo], generator)
        y.index_copy_(1, todo, again)
        todo = todo[~done]
    return y


def _tried(envelope: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Points ``(2, m)`` and whether they are accepted, the first accepted of several tries where few are left.

    Which try is taken depends on what was accepted, not on where the points lie, so the law is that of a single try.
    """
    count = envelope.shape[-1]
    u = uniforms(3, max(1, _TRIES // max(1, count)), count, like=envelope, generator=generator)
    half_g, c, half, edge = envelope[0], envelope[1], envelope[2:4, None], envelope[4:, None]
    y = u[:2].mul_(2).sub_(1).mul_(edge).erfinv_().div_(half)
    first, second = y.square()
    inside = first + second < 1
    deficit = first.sub_(c).square_().add_(second).sub_(second.square()).mul_(half_g)
    accepted = inside & (deficit <= -u[2].log_())
    best = accepted.byte().argmax(0)
    return y.gather(1, best.expand(2, 1, count)).squeeze(1), accepted.any(0)
