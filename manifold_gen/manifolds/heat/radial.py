"""Brownian motion on spaces where its density depends on the distance alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.manifolds.heat.interface import HeatKernel, as_times
from manifold_gen.manifolds.precision import WidensHalf


@dataclass(frozen=True)
class RadialLaw:
    """Brownian motion seen from its start: h = sin²(r/2) and g = cos²(r/2) of the distance r, or sinh² and cosh².

    h and g are smooth functions of both points, the cut locus included, where r is not; and the smaller of the two
    keeps its relative precision.

    Attributes:
        log_density: (h, g, t) ↦ log-density for the Riemannian volume, elementwise, smooth in h and g.
        radius: (t, generator) ↦ one random distance for each time.
        slope: (r, t) ↦ derivative of the log-density in r, where there is a faster way than automatic differentiation.
    """

    log_density: Callable[[Tensor, Tensor, Tensor], Tensor]
    radius: Callable[[Tensor, torch.Generator | None], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor] | None = None


class RadialHeatKernel(WidensHalf, HeatKernel):
    """A heat kernel given by a ``RadialLaw``; the score is ∂ log k / ∂h · ∇h."""

    curvature: float
    heat_law: RadialLaw | None = None

    @property
    def has_heat_kernel(self) -> bool:
        """Whether a law is known."""
        return self.heat_law is not None

    @abstractmethod
    def half_distance(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """h and g of the distance from x to y, each ``(*batch,)``."""

    @abstractmethod
    def half_distance_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """Riemannian gradient of h in y, ``(*batch, *shape)``."""

    def heat_kernel(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """Log-density of Brownian motion, ``(*batch,)``; see ``HeatKernel.heat_kernel``."""
        return self._law().log_density(*self.half_distance(x, y), as_times(t, x))

    def heat_kernel_score(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """Its Riemannian gradient in y; see ``HeatKernel.heat_kernel_score``."""
        law, t = self._law(), as_times(t, x)
        h, g = self.half_distance(x, y)
        if law.slope is not None:
            half_sine = torch.sqrt(h * g).clamp(min=torch.finfo(h.dtype).tiny)  # dh/dr
            slope = law.slope(2 * torch.atan2(h.sqrt(), g.sqrt()), t) / half_sine
        else:
            value, pull = torch.func.vjp(lambda h, g: law.log_density(h, g, t), h, g)
            by_h, by_g = pull(torch.ones_like(value))
            slope = by_h + by_g if self.curvature < 0 else by_h - by_g
        return slope.reshape(*slope.shape, *(1,) * len(self.shape)) * self.half_distance_gradient(x, y)

    def sample_heat_kernel(self, x: Tensor, t: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        """A distance from its law in a uniform direction; see ``HeatKernel.sample_heat_kernel``."""
        law, t = self._law(), as_times(t, x)
        batch = torch.broadcast_shapes(self._batch(x), t.shape)
        x = x.expand(*batch, *self.shape)
        with torch.no_grad():
            radius = law.radius(t.expand(batch), generator)
            radius = torch.where(t.isnan(), t, radius)  # a bisection or a table forgets that there was no time
            direction = torch.randn(*batch, self.dim, generator=generator, dtype=x.dtype, device=x.device)
            direction = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        return self.expmap(x, self.from_coordinates(x, radius.unsqueeze(-1) * direction))

    def _law(self) -> RadialLaw:
        if self.heat_law is None:
            raise self._unknown()
        return self.heat_law
