"""Chains of von Mises laws: correlated angles with a normaliser in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manifold_gen.distributions.base import Family
from manifold_gen.distributions.parameters import ArrayLike, Fixed, as_real, broadcast
from manifold_gen.distributions.von_mises import angles_and_concentrations, sample_von_mises
from manifold_gen.manifolds.torus import Torus
from manifold_gen.numerics import wrap_angle

_LOG_TWO_PI = math.log(2 * math.pi)


class VonMisesChain(Family):
    r"""Angles on Tⁿ, each von Mises about a mean that the angles before it shift.

    .. math:: p(x) = \prod_i \mathrm{vM}(x_i;\, m_i(x), \kappa_i), \qquad
              m_i(x) = \mu_i + \sum_{j < i} B_{ij} \sin(x_j - \mu_j)

    Without slopes B it is a product of von Mises laws. Concentrated, it is nearly a normal law with any covariance,
    whose Cholesky factor the slopes and concentrations are. It is smooth on the torus and normalised for every slope,
    which the multivariate von Mises law of Mardia and others (2008) is only up to a constant without closed form.

    Args:
        loc: angles μ in radians, ``(n,)`` or ``(K, n)`` for K members.
        slopes: B, ``(*batch_shape, n, n)``; only what is below the diagonal counts.
        kappa: concentrations ≥ 0 that broadcast to ``loc``.

    Raises:
        ValueError: a parameter is not finite, negative, or of a shape that does not fit.

    Example:
        >>> d = VonMisesChain(loc=[0.0, 1.0], slopes=[[0.0, 0.0], [2.0, 0.0]], kappa=[2.0, 5.0])
        >>> round(float(d.log_prob(torch.tensor([0.5, 2.0]))), 4)
        -1.0535
    """

    def __init__(self, loc: ArrayLike, slopes: ArrayLike, kappa: ArrayLike) -> None:
        mean, strength = angles_and_concentrations(loc, kappa)
        super().__init__(Torus(mean.shape[-1]), tuple(mean.shape[:-1]))
        shape = (*mean.shape, mean.shape[-1])
        slope = broadcast(as_real(slopes, "slopes").to(mean), shape, "slopes")
        self._loc, self._slopes = Fixed(mean), Fixed(slope.tril(-1))
        self._kappa = Fixed(strength)

    @property
    def loc(self) -> Tensor:
        """μ, ``(*batch_shape, n)``."""
        return self._loc()

    @property
    def slopes(self) -> Tensor:
        """B, strictly lower triangular, ``(*batch_shape, n, n)``."""
        return self._slopes()

    @property
    def kappa(self) -> Tensor:
        """Concentrations, ``(*batch_shape, n)``."""
        return self._kappa()

    def widened(self, factors: Sequence[float]) -> VonMisesChain:
        """Concentrations over the squares of ``factors`` with the same slopes, see ``Family``."""
        kappa = torch.cat([self.kappa / factor**2 for factor in factors])
        return VonMisesChain(self.loc.repeat(len(factors), 1), self.slopes.repeat(len(factors), 1, 1), kappa)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of angles ``(*batch, n)``; 1 − cos is taken as 2 sin² of the half angle."""
        kappa, turn = self.kappa.to(x), x - self.loc.to(x)
        shift = torch.einsum("...j,...ij->...i", torch.sin(turn), self.slopes.to(x))  # one product a member
        deficit = 2 * torch.sin((turn - shift) / 2).square()
        return -(kappa * deficit + torch.special.i0e(kappa).log()).sum(-1) - x.shape[-1] * _LOG_TWO_PI

    def draw(self, member: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One point of each listed member, ``(m, n)``: one angle after the other."""
        n = self.manifold.dim
        member = member.to(self.loc.device)
        loc, slopes, kappa = (
            value.detach().double().reshape(-1, *value.shape[len(self.batch_shape) :])[member]
            for value in (self.loc, self.slopes, self.kappa)
        )
        turn = sample_von_mises(kappa, generator)
        for i in range(1, n):
            turn[:, i] += (slopes[:, i, :i] * torch.sin(turn[:, :i])).sum(-1)
        return wrap_angle((loc + turn).to(self.loc.dtype))
