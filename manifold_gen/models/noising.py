r"""The forward process of a diffusion: from data to the base, on each factor of a manifold by itself.

On a compact factor it is Brownian motion, which forgets where it started and becomes uniform. On the others it is the
Langevin diffusion of the base π, a wrapped normal,

.. math:: dX = b(X)\, ds + dB, \qquad b = \tfrac12 \nabla \log π,

on Rⁿ the process of Ornstein and Uhlenbeck, whose transitions are Gaussian. The uniform base has b = 0, so both are
one: a reversible diffusion with generator :math:`\tfrac12 Δ + b\cdot\nabla` whose equilibrium is the base.
De Bortoli et al., *Riemannian score-based generative modelling* (2022).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen.distributions import default_base
from manifold_gen.distributions.base import Distribution
from manifold_gen.manifolds.base import Manifold


class Noising(ABC):
    """A diffusion towards the base of one manifold.

    Attributes:
        exact: transitions have a known density and sampler; elsewhere they are simulated.
        gap: how fast the base is reached: deviations from it fall like exp(−gap · s / 2) or faster.
    """

    exact: bool
    gap: float

    def __init__(self, manifold: Manifold) -> None:
        self.manifold = manifold

    @abstractmethod
    def pull(self, x: Tensor) -> Tensor:
        """b(x) = ½ ∇ log π, a tangent vector at ``x``."""

    @abstractmethod
    def from_origin(self, s: Tensor, generator: torch.Generator | None) -> Tensor:
        """Noise ``(*batch, n)`` for ``transition``: coordinates of where a point has gone after times ``s``."""

    @abstractmethod
    def transition(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        """Where ``x`` is after times ``s``, exactly."""

    @abstractmethod
    def transition_score(self, x: Tensor, y: Tensor, s: Tensor) -> Tensor:
        """Gradient in ``y`` of the log-density of ``transition``."""

    @abstractmethod
    def step(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        """One step of the geodesic random walk, exact on Rⁿ; ``noise`` are standard normal coordinates."""

    @abstractmethod
    def back(self, x: Tensor, s: Tensor, relative: Tensor) -> Tensor:
        """The tangent vector at ``x`` of a noiseless step back by ``s``, ``relative`` being ∇log(p/π) at ``x``.

        A step back by all the noise there is leads to the mean of the data that x may have come from: exactly on Rⁿ
        (Tweedie's formula), nearly where the noise is small.
        """

    @abstractmethod
    def variances(self, s: Tensor) -> Tensor:
        """Variance ``(*batch, n)`` of the noise of a step, one a coordinate."""

    def walk(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        """Where ``x`` is after times ``s``, by equal steps, one for each of ``noise`` ``(*batch, steps, n)``."""
        steps = noise.shape[-2]
        for k in range(steps):
            x = self.step(x, s / steps, noise[..., k, :])
        return x


class FactorNoising(Noising):
    """The process of a manifold that is no product, by what a step of it is made of."""

    @abstractmethod
    def strides(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For a step of size ``s``: the multiples of b and of the relative score, and the variance of its noise."""

    def step(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        along, _, variance = self.strides(s)
        push = self._wide(along) * self.pull(x)
        return self.manifold.expmap(x, push + self.manifold.from_coordinates(x, variance.sqrt().unsqueeze(-1) * noise))

    def back(self, x: Tensor, s: Tensor, relative: Tensor) -> Tensor:
        along, stretch, _ = self.strides(s)
        return self._wide(along) * self.pull(x) + self._wide(stretch) * relative

    def variances(self, s: Tensor) -> Tensor:
        variance = self.strides(s)[2].unsqueeze(-1)
        return variance.expand(*variance.shape[:-1], self.manifold.dim)

    def _wide(self, s: Tensor) -> Tensor:
        return s.reshape(*s.shape, *(1,) * len(self.manifold.shape))


class Brownian(FactorNoising):
    """Brownian motion of a compact manifold.

    Where the heat kernel is known the manifold is homogeneous, and motion looks the same from every point: it is drawn
    at the origin and carried over in the coordinates of the tangent frames.
    """

    def __init__(self, manifold: Manifold) -> None:
        super().__init__(manifold)
        self.exact = manifold.has_heat_kernel
        # Lichnerowicz' bound of the first eigenvalue of −Δ, and that of a circle of the size of M
        curved = manifold.dim * max(manifold.curvature or 0.0, 0.0)
        self.gap = max(curved, (math.pi / manifold.injectivity_radius) ** 2) or 1.0

    def pull(self, x: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(x)

    def strides(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Nothing, s and s."""
        return torch.zeros_like(s), s, s

    def from_origin(self, s: Tensor, generator: torch.Generator | None) -> Tensor:
        origin = self.manifold.origin(*s.shape, dtype=s.dtype, device=s.device)
        there = self.manifold.sample_heat_kernel(origin, s, generator)
        return self.manifold.to_coordinates(origin, self.manifold.logmap(origin, there))

    def transition(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        return self.manifold.expmap(x, self.manifold.from_coordinates(x, noise))

    def transition_score(self, x: Tensor, y: Tensor, s: Tensor) -> Tensor:
        return self.manifold.heat_kernel_score(x, y, s)


class Langevin(FactorNoising):
    """Brownian motion drawn towards a base; exact where that is the standard normal of a flat space."""

    gap = 1.0

    def __init__(self, manifold: Manifold, base: Distribution) -> None:
        super().__init__(manifold)
        self.base = base
        self.exact = manifold.curvature == 0.0

    def pull(self, x: Tensor) -> Tensor:
        if self.exact:
            return -0.5 * x
        gradient = torch.func.grad(lambda p: self.base.log_prob(p).sum())(x)
        return 0.5 * self.manifold.egrad2rgrad(x, gradient)

    def strides(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """2 (1 − e^{−s/2}), 2 sinh(s/2) and 1 − e^{−s}, with which steps of any size are exact for normal data."""
        return -2 * torch.expm1(-s / 2), 2 * torch.sinh(s / 2), -torch.expm1(-s)

    def from_origin(self, s: Tensor, generator: torch.Generator | None) -> Tensor:
        size = (*s.shape, self.manifold.dim)
        return torch.randn(size, generator=generator, dtype=s.dtype, device=s.device)

    def transition(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        return self.step(x, s, noise)

    def transition_score(self, x: Tensor, y: Tensor, s: Tensor) -> Tensor:
        mean = self._wide(torch.exp(-s / 2)) * x
        return self.manifold.heat_kernel_score(mean, y, -torch.expm1(-s))


class ProductNoising(Noising):
    """Independent processes on the factors of a product."""

    def __init__(self, manifold: Manifold, parts: list[Noising]) -> None:
        super().__init__(manifold)
        self.parts = parts
        self.exact = all(part.exact for part in parts)
        self.gap = min(part.gap for part in parts)
        self.dims = [part.manifold.dim for part in parts]

    def pull(self, x: Tensor) -> Tensor:
        return self._each(lambda part, a: part.pull(a), x)

    def from_origin(self, s: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.cat([part.from_origin(s, generator) for part in self.parts], -1)

    def transition(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        return self._each(lambda part, a, e: part.transition(a, s, e), x, noise=noise)

    def transition_score(self, x: Tensor, y: Tensor, s: Tensor) -> Tensor:
        return self._each(lambda part, a, b: part.transition_score(a, b, s), x, y)

    def step(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        return self._each(lambda part, a, e: part.step(a, s, e), x, noise=noise)

    def back(self, x: Tensor, s: Tensor, relative: Tensor) -> Tensor:
        return self._each(lambda part, a, u: part.back(a, s, u), x, relative)

    def variances(self, s: Tensor) -> Tensor:
        return torch.cat([part.variances(s) for part in self.parts], -1)

    def _each(self, function: Callable[..., Tensor], *arguments: Tensor, noise: Tensor | None = None) -> Tensor:
        columns = [self.manifold.split(argument) for argument in arguments]
        if noise is not None:
            columns.append(list(noise.split(self.dims, -1)))
        return self.manifold.join([function(part, *row) for part, *row in zip(self.parts, *columns, strict=True)])


def noising_of(manifold: Manifold) -> Noising:
    """The forward process of a manifold towards ``default_base(manifold)``.

    Example:
        >>> from manifold_gen.manifolds import Euclidean, Product, Torus
        >>> process = noising_of(Product(Torus(1), Euclidean(1)))
        >>> process.pull(torch.tensor([1.0, 1.0]))  # none on the circle, towards the origin on the line
        tensor([ 0.0000, -0.5000])
    """
    if len(manifold.factors) > 1:
        return ProductNoising(manifold, [noising_of(factor) for factor in manifold.factors])
    if math.isfinite(manifold.log_volume):
        return Brownian(manifold)
    return Langevin(manifold, default_base(manifold))
