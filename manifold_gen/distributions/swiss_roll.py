r"""The two-dimensional Swiss roll, with its exact density.

A point lies at the angle θ, uniform in [3π/2, 9π/2], of the spiral :math:`c(θ) = a θ (\cos θ, \sin θ)`, with normal
noise of variance σ² on it:

.. math:: p(x) = \frac{1}{3π} \int_{3π/2}^{9π/2} N(x; c(θ), σ^2)\, dθ.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from manifold_gen.distributions.base import Distribution
from manifold_gen.distributions.drawing import normals, uniforms
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.euclidean import Euclidean

START, END = 1.5 * math.pi, 4.5 * math.pi
_NODES = 1024


class SwissRoll(Distribution):
    """The roll, scaled so that it ends 2 units from the origin.

    The integral is Gauss and Legendre's with 1,024 nodes, 0.012 units apart on the roll: exact to rounding for noise of
    0.03 and more.

    Args:
        noise: σ, in units.

    Raises:
        UsageError: the noise is too small for the quadrature.

    Example:
        >>> roll = SwissRoll()
        >>> roll.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    def __init__(self, noise: float = 0.06) -> None:
        super().__init__(Euclidean(2))
        if not noise >= 0.03:
            raise UsageError(f"the noise of the Swiss roll is {noise}; expected 0.03 or more")
        self.noise = noise
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        angle = START + (END - START) * (torch.as_tensor(nodes) + 1) / 2
        self.register_buffer("curve", _spiral(angle).to(torch.get_default_dtype()))
        self.register_buffer("log_weights", torch.as_tensor(weights / 2).log().to(torch.get_default_dtype()))

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, 2)`` points."""
        angle = START + (END - START) * uniforms(n, like=self.curve, generator=generator)
        return _spiral(angle) + self.noise * normals(n, 2, like=self.curve, generator=generator)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``."""
        squared = (x.unsqueeze(-2) - self.curve.to(x)).square().sum(-1)
        parts = self.log_weights.to(x) - 0.5 * squared / self.noise**2
        return torch.logsumexp(parts, -1) - math.log(2 * math.pi * self.noise**2)


def _spiral(angle: Tensor) -> Tensor:
    return 2 / END * angle.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], -1)
