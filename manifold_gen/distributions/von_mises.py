"""Products of von Mises distributions on a torus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from manifold_gen.distributions.base import Family
from manifold_gen.distributions.bessel import concentration
from manifold_gen.distributions.drawing import uniforms
from manifold_gen.distributions.parameters import (
    ArrayLike,
    as_points,
    as_real,
    broadcast,
    fixed_or_point,
    fixed_or_positive,
    require,
)
from manifold_gen.manifolds.torus import Torus
from manifold_gen.numerics import wrap_angle

_LOG_TWO_PI = math.log(2 * math.pi)


class VonMisesProduct(Family):
    r"""Independent von Mises angles on Tⁿ.

    .. math:: \log p(x) = \sum_i \kappa_i \cos(x_i - \mu_i) - \log 2\pi I_0(\kappa_i)

    An exponential family in (cos x, sin x), which ``fit_von_mises_mixture`` uses. Source: Mardia and Jupp,
    *Directional Statistics*, 2000, section 3.5.4.

    Args:
        loc: angles in radians, ``(n,)`` or ``(K, n)`` for K members.
        kappa: concentrations ≥ 0 that broadcast to ``loc``.
        learnable: hold both as parameters (kappa through its logarithm, so it must be positive) instead of buffers.

    Raises:
        ValueError: a parameter is not finite, negative, or of a shape that does not fit.

    Example:
        >>> d = VonMisesProduct(loc=[0.0, 1.0], kappa=[2.0, 0.0])
        >>> round(float(d.log_prob(torch.tensor([0.0, 3.0]))), 4)
        -2.4997
    """

    def __init__(self, loc: ArrayLike, kappa: ArrayLike, learnable: bool = False) -> None:
        mean, strength = angles_and_concentrations(loc, kappa)
        manifold = Torus(mean.shape[-1])
        super().__init__(manifold, tuple(mean.shape[:-1]))
        self._loc = fixed_or_point(mean, learnable, manifold)
        self._kappa = fixed_or_positive(strength, learnable, "kappa")

    @property
    def loc(self) -> Tensor:
        """Mean angles, ``(*batch_shape, n)``."""
        return self._loc()

    @property
    def kappa(self) -> Tensor:
        """Concentrations, ``(*batch_shape, n)``."""
        return self._kappa()

    def widened(self, factors: Sequence[float]) -> VonMisesProduct:
        """Concentrations over the squares of ``factors``, see ``Family``."""
        loc, kappa = self.loc.detach(), self.kappa.detach()
        return VonMisesProduct(loc.repeat(len(factors), 1), torch.cat([kappa / factor**2 for factor in factors]))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of angles ``(*batch, n)``; 1 − cos is taken as 2 sin² of the half angle."""
        loc, kappa = self.loc.to(x), self.kappa.to(x)
        deficit = 2 * torch.sin((x - loc) / 2).square()
        return -(kappa * deficit + torch.special.i0e(kappa).log()).sum(-1) - x.shape[-1] * _LOG_TWO_PI

    def draw(self, member: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One point of each listed member, ``(m, n)``."""
        loc, kappa = self.loc.detach(), self.kappa.detach()
        flat_loc, flat_kappa = loc.reshape(-1, loc.shape[-1]), kappa.reshape(-1, kappa.shape[-1])
        member = member.to(loc.device)
        turn = sample_von_mises(flat_kappa[member], generator)
        return wrap_angle((flat_loc[member].double() + turn).to(loc.dtype))

    # ---- exponential family -------------------------------------------------------------------------------------

    @staticmethod
    def statistics(x: Tensor) -> Tensor:
        """Sufficient statistics (cos x, sin x), ``(*batch, 2n)``."""
        return torch.cat([torch.cos(x), torch.sin(x)], -1)

    def natural(self) -> tuple[Tensor, Tensor]:
        """Natural parameters ``(*batch_shape, 2n)`` and log-normaliser, so log p = ⟨natural, statistics⟩ − it."""
        loc, kappa = self.loc, self.kappa
        eta = torch.cat([kappa * torch.cos(loc), kappa * torch.sin(loc)], -1)
        return eta, (kappa + torch.special.i0e(kappa).log()).sum(-1) + loc.shape[-1] * _LOG_TWO_PI

    @classmethod
    def from_moments(cls, moments: Tensor, kappa_max: float, start: Self | None = None) -> Self:
        """Maximum likelihood for mean statistics ``(K, 2n)``, with kappa at most ``kappa_max``; needs no ``start``."""
        cosine, sine = moments.chunk(2, -1)
        return cls(torch.atan2(sine, cosine), concentration(torch.hypot(cosine, sine), 0.0, kappa_max))


def angles_and_concentrations(loc: ArrayLike, kappa: ArrayLike) -> tuple[Tensor, Tensor]:
    """Mean angles ``(*batch_shape, n)`` in [−π, π) and concentrations of the same shape, checked.

    Raises:
        ValueError: one is not finite, ``loc`` is a scalar, or ``kappa`` is negative or does not broadcast to it.
    """
    mean = as_real(loc, "loc")
    if mean.dim() == 0:
        raise ValueError("loc must have shape (n,) or (K, n), got a scalar; write [loc] for one angle")
    mean = as_points(mean, Torus(mean.shape[-1]), "loc")
    strength = as_real(kappa, "kappa").to(mean)
    require(strength >= 0, "kappa", strength, "at least 0")
    return mean, broadcast(strength, tuple(mean.shape), "kappa")


def sample_von_mises(kappa: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Angles with density ∝ exp(κ cos θ), one for each entry of ``kappa``, in float64.

    Best and Fisher's rejection from a wrapped Cauchy (Applied Statistics 28, 1979), with every quantity rearranged so
    that it neither cancels nor divides by zero for κ from 0 to beyond 1e8.
    """
    kappa = kappa.double()
    flat = kappa.reshape(-1)
    root = torch.sqrt(1 + 4 * flat.square())
    tau = torch.sqrt(1 + root)
    rho = 2 * flat * tau / ((root + 1) * (tau + math.sqrt(2)))
    # κ(r − 1) with r = (1 + ρ²) / 2ρ; κ/ρ is finite at κ = 0
    base = (1 - rho).square() * (root + 1) * (tau + math.sqrt(2)) / (4 * tau)
    angle = torch.zeros_like(flat)
    todo = torch.arange(flat.numel(), device=flat.device)
    while todo.numel():
        u = uniforms(3, todo.numel(), like=flat, generator=generator)
        half = torch.atan((1 - rho[todo]) / (1 + rho[todo]) * torch.tan(math.pi * (u[0] - 0.5)))
        c = base[todo] + 2 * flat[todo] * torch.sin(half).square()
        accept = torch.log(c) + 1 - c >= torch.log(u[1])
        angle = angle.index_put((todo[accept],), 2 * half[accept])
        todo = todo[~accept]
    return angle.reshape(kappa.shape)
