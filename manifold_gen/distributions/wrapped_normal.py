"""Normal distributions of a tangent space, pushed through the exponential map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manifold_gen.distributions.base import Family
from manifold_gen.distributions.drawing import normals
from manifold_gen.distributions.parameters import (
    ArrayLike,
    as_points,
    as_real,
    broadcast,
    fixed_or_point,
    fixed_or_positive,
    require,
)
from manifold_gen.distributions.tails import admissible_scale, mass_beyond
from manifold_gen.manifolds.base import Manifold

MASS_LIMIT = 1e-6
_LOG_TWO_PI = math.log(2 * math.pi)
_FOURIER_FROM = 2.0  # scale from which the theta series is used; both are exact to rounding on either side
_IMAGES = 3
_WAVES = 5


class WrappedNormal(Family):
    r"""exp_loc(u) with u normal in T_locM, standard deviation ``scale`` along each vector of ``tangent_basis(loc)``.

    .. math:: \log p(x) = \log N(u; 0, \mathrm{diag}(s^2)) - \log|\det d(\exp_\mu)_u|, \quad u = \log_\mu x

    That is the density where exp is injective: on Euclidean and hyperbolic spaces everywhere. On flat periodic factors
    the density is the exact sum over all images of u, for every scale. Elsewhere (sphere, SO(3)) mass beyond the
    injectivity radius would be scored wrongly, so more than 1e-6 of it is refused. Products go factor by factor.
    Where the manifold has a ``safe_radius`` (hyperbolic spaces in float32), the density is computed in float64.

    Args:
        manifold: where the distribution lives.
        loc: the centre, ``(*shape,)`` or ``(K, *shape)`` for K members.
        scale: standard deviations > 0 that broadcast to ``(*batch_shape, n)``; a trailing axis of 1 is isotropic.
        learnable: hold both as parameters. Scales then stay below the largest admissible isotropic one, and on curved
            manifolds must be isotropic.

    Raises:
        ValueError: a parameter is not finite, not positive, off the manifold or of a shape that does not fit; or more
            than 1e-6 of the mass lies beyond the injectivity radius (the message states the largest scale).

    Example:
        >>> from manifold_gen.manifolds.torus import Torus
        >>> wide = WrappedNormal(Torus(1), torch.zeros(1), 50.0)  # as good as uniform
        >>> round(float(wide.log_prob(torch.tensor([2.0])).exp() * 2 * math.pi), 6)
        1.0
    """

    def __init__(self, manifold: Manifold, loc: ArrayLike, scale: ArrayLike = 1.0, learnable: bool = False) -> None:
        centre = as_points(loc, manifold, "loc")
        super().__init__(manifold, tuple(centre.shape[: centre.dim() - len(manifold.shape)]))
        deviation = as_real(scale, "scale").to(centre)
        require(deviation > 0, "scale", deviation, "positive")
        width = 1 if deviation.dim() == 0 else deviation.shape[-1]
        target = (*self.batch_shape, 1 if width == 1 else manifold.dim)
        deviation = broadcast(deviation, target, "scale")
        _refuse_overlap(manifold, deviation)
        if learnable and deviation.shape[-1] > 1 and any(factor.curvature != 0 for factor in manifold.factors):
            raise ValueError(
                f"scale of shape {tuple(deviation.shape)} must be isotropic (a trailing axis of 1) for a learnable loc "
                f"on {manifold}, because the tangent frame that its directions refer to turns with loc"
            )
        upper = largest_scale(manifold)
        self._loc = fixed_or_point(centre, learnable, manifold)
        self._scale = fixed_or_positive(deviation, learnable, "scale", upper)

    @property
    def loc(self) -> Tensor:
        """Centres, ``(*batch_shape, *manifold.shape)``."""
        return self._loc()

    @property
    def scale(self) -> Tensor:
        """Standard deviations, ``(*batch_shape, 1)`` where isotropic, else ``(*batch_shape, n)``."""
        return self._scale()

    def widened(self, factors: Sequence[float]) -> WrappedNormal:
        """Scales times ``factors``, up to the largest that is admissible; see ``Family``."""
        loc, upper = self.loc.detach(), largest_scale(self.manifold)
        scale = torch.cat([self.scale.detach() * factor for factor in factors]).clamp(max=upper)
        return WrappedNormal(self.manifold, loc.repeat(len(factors), *(1,) * len(self.manifold.shape)), scale)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``, in x's dtype."""
        exact = x if math.isinf(self.manifold.safe_radius(x.dtype)) else x.double()
        return _log_density(self.manifold, self.loc.to(exact), self.scale.to(exact), exact).to(x.dtype)

    def draw(self, member: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One point of each listed member, ``(m, *shape)``."""
        shape = self.manifold.shape
        loc, scale = self.loc.detach(), self.scale.detach()
        exact = torch.float64 if not math.isinf(self.manifold.safe_radius(loc.dtype)) else loc.dtype
        member = member.to(loc.device)
        centre = loc.reshape(-1, *shape)[member].to(exact)
        spread = scale.reshape(-1, scale.shape[-1])[member].to(exact)
        coordinates = normals(member.shape[0], self.manifold.dim, like=centre, generator=generator) * spread
        return self.manifold.expmap(centre, self.manifold.from_coordinates(centre, coordinates)).to(loc.dtype)


def _log_density(manifold: Manifold, loc: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    if len(manifold.factors) > 1:
        parts = zip(
            manifold.factors, manifold.split(loc), _split_scale(manifold, scale), manifold.split(x), strict=True
        )
        first, *rest = (_log_density(*part) for part in parts)
        return sum(rest, first)
    if manifold.period is not None:
        return _flat_periodic(manifold.period, loc, scale, x)
    return _pushed_forward(manifold, loc, scale, x)


def _split_scale(manifold: Manifold, scale: Tensor) -> list[Tensor]:
    if scale.shape[-1] == 1:
        return [scale] * len(manifold.factors)
    return list(scale.split([factor.dim for factor in manifold.factors], -1))


def _pushed_forward(manifold: Manifold, loc: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    events = len(manifold.shape)
    basis = manifold.tangent_basis(loc) if scale.shape[-1] > 1 else None
    centre, x = torch.broadcast_tensors(loc, x)
    u = manifold.logmap(centre, x)
    if basis is None:
        single = scale.squeeze(-1)
        quadratic = manifold.inner(centre, u) / single.square()
        log_scales = manifold.dim * single.log()
    else:
        axis = -1 - events
        coordinates = manifold.inner(loc.unsqueeze(axis), basis, u.unsqueeze(axis))
        quadratic = (coordinates / scale).square().sum(-1)
        log_scales = scale.log().sum(-1)
    return -0.5 * quadratic - log_scales - 0.5 * manifold.dim * _LOG_TWO_PI - manifold.log_det_exp(centre, u)


def _flat_periodic(period: float, loc: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    """Sum over images for small scales, its Poisson resummation (the theta series) for large ones."""
    turn = 2 * math.pi / period
    delta = torch.remainder((x - loc) * turn + math.pi, 2 * math.pi) - math.pi
    scale = (scale * turn).expand(delta.shape)
    small = scale < _FOURIER_FROM
    narrow = torch.where(small, scale, _FOURIER_FROM).unsqueeze(-1)
    wide = torch.where(small, _FOURIER_FROM, scale).unsqueeze(-1)
    images = 2 * math.pi * torch.arange(-_IMAGES, _IMAGES + 1, dtype=x.dtype, device=x.device)
    direct = torch.logsumexp(-0.5 * ((delta.unsqueeze(-1) + images) / narrow).square(), -1)
    direct = direct - narrow.squeeze(-1).log() - 0.5 * _LOG_TWO_PI
    k = torch.arange(1, _WAVES + 1, dtype=x.dtype, device=x.device)
    waves = (torch.exp(-0.5 * (k * wide).square()) * torch.cos(k * delta.unsqueeze(-1))).sum(-1)
    return (torch.where(small, direct, torch.log1p(2 * waves) - _LOG_TWO_PI) + math.log(turn)).sum(-1)


def largest_scale(manifold: Manifold) -> float:
    """The largest isotropic scale that is admitted, ``inf`` where every one is."""
    return min(_admissible(factor) for factor in manifold.factors)


def _admissible(factor: Manifold) -> float:
    if factor.period is not None or math.isinf(factor.injectivity_radius):
        return math.inf
    return admissible_scale(factor.injectivity_radius, factor.dim, MASS_LIMIT)


def _refuse_overlap(manifold: Manifold, scale: Tensor) -> None:
    """Raise where more than ``MASS_LIMIT`` of the tangent normal lies beyond a factor's injectivity radius."""
    for factor, part in zip(manifold.factors, _split_scale(manifold, scale), strict=True):
        largest = _admissible(factor)
        if math.isinf(largest):
            continue
        for row in part.detach().expand(*part.shape[:-1], factor.dim).reshape(-1, factor.dim).tolist():
            beyond = mass_beyond(factor.injectivity_radius, row) if max(row) > largest else 0.0
            # the slack lets the scale that the message states, with its six digits, pass
            if beyond > MASS_LIMIT * (1 + 1e-4):
                raise ValueError(
                    f"scale {max(row):.6g} on {factor}: {beyond:.3g} of the mass lies beyond the injectivity radius "
                    f"{factor.injectivity_radius:.6g}, allowed {MASS_LIMIT:.0e}; the largest admissible isotropic "
                    f"scale is {largest:.6g}. Use a smaller scale, von Mises–Fisher, or Uniform"
                )
