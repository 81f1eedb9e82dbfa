"""What a manifold says about Brownian motion on it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.errors import KernelUnknownError, UsageError


class HeatKernel:
    """The part of a manifold that knows Brownian motion; by default it knows nothing.

    Attributes:
        has_heat_kernel: the three methods work; elsewhere they raise ``KernelUnknownError``.
    """

    has_heat_kernel: bool = False

    def heat_kernel(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        r"""Log-density at ``y`` of Brownian motion that started in ``x`` a time ``t`` ago, ``(*batch,)``.

        .. math:: ∂_t k = \tfrac12 Δ_y k, \qquad \lim_{t→0} k(x, ·, t) = δ_x,

        with respect to the Riemannian volume, in nats. Symmetric in x and y; smooth in both, the cut locus included.

        Args:
            x, y: points ``(*batch, *shape)``, broadcast against each other.
            t: times > 0, a number or a tensor that broadcasts to ``(*batch,)``; made for 1e-5 to 20. A negative
                entry of a tensor gives NaN, not an error, and zero has no density: to look would wait for the device.

        Raises:
            KernelUnknownError: no formula is known here.
            UsageError: t is a number and not positive.
        """
        raise self._unknown()

    def heat_kernel_score(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """Riemannian gradient of ``heat_kernel`` in ``y``, a tangent vector there, ``(*batch, *shape)``.

        Raises:
            KernelUnknownError: no formula is known here.
        """
        raise self._unknown()

    def sample_heat_kernel(self, x: Tensor, t: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        """Where Brownian motion from ``x`` is after time ``t``: one point for each entry of the joint batch of both.

        Raises:
            KernelUnknownError: no formula is known here.
        """
        raise self._unknown()

    def _unknown(self) -> KernelUnknownError:
        return KernelUnknownError(
            f"no heat kernel is known on {self}; train with implicit score matching, which needs none, "
            "and simulate Brownian motion by a geodesic random walk"
        )


def as_times(t: Tensor | float, like: Tensor) -> Tensor:
    """``t`` as a tensor of the floating type and on the device of ``like``; NaN where it is negative.

    A number is refused instead; to look into a tensor would wait for the device.

    Raises:
        UsageError: a number that is not positive.
    """
    if not isinstance(t, Tensor) and not t > 0:
        raise UsageError(f"Brownian motion was asked for time {t}; a time must be positive")
    times = torch.as_tensor(t, dtype=like.dtype, device=like.device)
    return torch.where(times >= 0, times, math.nan)
