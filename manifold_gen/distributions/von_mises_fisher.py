"""The von Mises–Fisher distribution on spheres of any dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from manifold_gen.distributions.base import Family
from manifold_gen.distributions.bessel import concentration, log_bessel_and_ratio
from manifold_gen.distributions.drawing import normals, uniforms
from manifold_gen.distributions.parameters import (
    ArrayLike,
    as_points,
    as_real,
    broadcast,
    fixed_or_point,
    fixed_or_positive,
    require,
)
from manifold_gen.manifolds.sphere import Sphere


class VonMisesFisher(Family):
    r"""von Mises–Fisher on Sⁿ.

    .. math:: \log p(x) = \kappa (\langle\mu, x\rangle - 1) - \log\mathrm{vol}(S^n) - (\log e_\nu(\kappa) - \kappa),
              \quad \nu = (n - 1)/2, \quad e_\nu(\kappa) = \Gamma(\nu+1)(2/\kappa)^\nu I_\nu(\kappa)

    Exact for every n and κ from 0 (uniform) to 1e5 and beyond. Source: Mardia and Jupp, *Directional Statistics*, 2000,
    section 9.3.2; the sampler is Wood's (Communications in Statistics 23, 1994).

    Args:
        loc: unit mean directions, ``(n + 1,)`` or ``(K, n + 1)`` for K members.
        kappa: concentrations ≥ 0 that broadcast to the batch shape.
        learnable: hold both as parameters (kappa through its logarithm, so it must be positive) instead of buffers.

    Raises:
        ValueError: a parameter is not finite, not a unit vector, negative, or of a shape that does not fit.

    Example:
        >>> d = VonMisesFisher(loc=[0.0, 0.0, 1.0], kappa=10.0)
        >>> round(float(d.log_prob(torch.tensor([0.0, 0.0, 1.0]))), 4)
        0.4647
    """

    def __init__(self, loc: ArrayLike, kappa: ArrayLike, learnable: bool = False) -> None:
        mean = as_real(loc, "loc")
        if mean.dim() == 0 or mean.shape[-1] < 2:
            raise ValueError(f"loc must have shape (n + 1,) or (K, n + 1) with n at least 1, got {tuple(mean.shape)}")
        manifold = Sphere(mean.shape[-1] - 1)
        super().__init__(manifold, tuple(mean.shape[:-1]))
        mean = as_points(mean, manifold, "loc")
        strength = as_real(kappa, "kappa").to(mean)
        require(strength >= 0, "kappa", strength, "at least 0")
        self._loc = fixed_or_point(mean, learnable, manifold)
        self._kappa = fixed_or_positive(broadcast(strength, self.batch_shape, "kappa"), learnable, "kappa")

    @property
    def loc(self) -> Tensor:
        """Mean directions, ``(*batch_shape, n + 1)``."""
        return self._loc()

    @property
    def kappa(self) -> Tensor:
        """Concentrations, ``batch_shape``."""
        return self._kappa()

    @property
    def _order(self) -> float:
        return (self.manifold.dim - 1) / 2

    def widened(self, factors: Sequence[float]) -> VonMisesFisher:
        """Concentrations over the squares of ``factors``, see ``Family``."""
        loc, kappa = self.loc.detach(), self.kappa.detach()
        return VonMisesFisher(loc.repeat(len(factors), 1), torch.cat([kappa / factor**2 for factor in factors]))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of unit vectors ``(*batch, n + 1)``; 1 − ⟨μ, x⟩ is taken as half the squared chord."""
        deficit = (x - self.loc.to(x)).square().sum(-1) / 2
        log_bessel, _ = log_bessel_and_ratio(self._order, self.kappa)
        return -self.kappa.to(x) * deficit - (log_bessel + self.manifold.log_volume).to(x)

    def draw(self, member: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One point of each listed member, ``(m, n + 1)``."""
        loc, kappa = self.loc.detach(), self.kappa.detach()
        member = member.to(loc.device)
        centre = loc.reshape(-1, loc.shape[-1])[member].double()
        deficit = sample_deficit(kappa.reshape(-1)[member], self.manifold.dim, generator).unsqueeze(-1)
        direction = normals(*centre.shape, like=centre, generator=generator)
        direction = self.manifold.projx(self.manifold.proju(centre, direction))
        point = (1 - deficit) * centre + torch.sqrt(deficit * (2 - deficit)) * direction
        return self.manifold.projx(point.to(loc.dtype))

    # ---- exponential family -------------------------------------------------------------------------------------

    @staticmethod
    def statistics(x: Tensor) -> Tensor:
        """Sufficient statistic: the point itself."""
        return x

    def natural(self) -> tuple[Tensor, Tensor]:
        """Natural parameters κμ, ``(*batch_shape, n + 1)``, and the log-normaliser."""
        kappa = self.kappa
        log_bessel, _ = log_bessel_and_ratio(self._order, kappa)
        return kappa.unsqueeze(-1) * self.loc, log_bessel.to(kappa) + kappa + self.manifold.log_volume

    @classmethod
    def from_moments(cls, moments: Tensor, kappa_max: float, start: Self | None = None) -> Self:
        """Maximum likelihood for mean points ``(K, n + 1)``, with kappa at most ``kappa_max``; needs no ``start``."""
        length = torch.linalg.vector_norm(moments, dim=-1, keepdim=True)
        pole = torch.nn.functional.one_hot(torch.zeros_like(length[..., 0], dtype=torch.long), moments.shape[-1])
        loc = torch.where(length > 0, moments / torch.where(length > 0, length, 1.0), pole.to(moments))
        return cls(loc, concentration(length.squeeze(-1), moments.shape[-1] / 2 - 1, kappa_max))


def sample_deficit(kappa: Tensor, dim: int, generator: torch.Generator | None = None) -> Tensor:
    """1 − ⟨μ, x⟩ for von Mises–Fisher points of S^dim, one for each entry of ``kappa``, in float64.

    Wood's rejection, with W = 1 − D written in D so that nothing cancels for large κ. The Beta(n/2, n/2) variable is
    (1 + t)/2 with t one coordinate of a uniform point of Sⁿ.
    """
    flat = kappa.double().reshape(-1)
    b = dim / (2 * flat + torch.sqrt(4 * flat.square() + dim**2))
    x0 = (1 - b) / (1 + b)
    deficit = torch.zeros_like(flat)
    todo = torch.arange(flat.numel(), device=flat.device)
    while todo.numel():
        g = normals(todo.numel(), dim + 1, like=flat, generator=generator)
        z = (1 + g[:, 0] / torch.linalg.vector_norm(g, dim=-1)) / 2
        bt, xt, kt = b[todo], x0[todo], flat[todo]
        shared = z * (1 + bt) / (1 - (1 - bt) * z)
        proposal = shared * (1 - xt)
        weight = kt * (1 - xt) * (1 - shared) + dim * torch.log((1 + xt * shared) / (1 + xt))
        u = uniforms(todo.numel(), like=flat, generator=generator)
        accept = weight >= torch.log(u)
        deficit = deficit.index_put((todo[accept],), proposal[accept])
        todo = todo[~accept]
    return deficit.reshape(kappa.shape)
