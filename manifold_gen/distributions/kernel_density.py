"""Kernel density estimates on any manifold."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.distributions.base import Distribution, Family
from manifold_gen.distributions.drawing import categories
from manifold_gen.distributions.matrix_fisher import MatrixFisher
from manifold_gen.distributions.von_mises import VonMisesProduct
from manifold_gen.distributions.von_mises_fisher import VonMisesFisher
from manifold_gen.distributions.wrapped_normal import WrappedNormal, largest_scale
from manifold_gen.manifolds.base import Manifold

_CHUNK = 2_000_000  # kernel values held at a time
_FIRST = 0.05
_STEPS = (1.0, 0.5, 0.25)  # powers of two
_MOST_DOUBLINGS = 12
_KERNELS: dict[str, Callable[[Tensor, float], Family]] = {
    "sphere": VonMisesFisher,
    "torus": VonMisesProduct,
    "so3": MatrixFisher,
}


class KernelDensity(Distribution):
    r"""p(x) = (1/m) Σⱼ k_h(x; xⱼ): equal kernels of bandwidth h, in radians, at m points.

    The kernel is von Mises–Fisher on spheres, von Mises on tori, matrix Fisher on SO(3), each of precision 1/h², and
    elsewhere the wrapped normal of scale h: for small h all are the heat kernel of time h². Evaluated in float64 and in
    pieces, so that memory does not grow with the number of points.

    Args:
        manifold: where the points live.
        centres: ``(m, *shape)``.
        bandwidth: h > 0.

    Raises:
        ValueError: centres of another shape, or a bandwidth that is not positive.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> d = KernelDensity(Torus(1), torch.tensor([[0.0], [0.1]]), 0.5)
        >>> round(float(d.log_prob(torch.tensor([0.05]))), 4)
        -0.2678
    """

    def __init__(self, manifold: Manifold, centres: Tensor, bandwidth: float) -> None:
        super().__init__(manifold)
        if centres.shape[1:] != torch.Size(manifold.shape) or not centres.shape[0]:
            raise ValueError(
                f"centres of shape {tuple(centres.shape)} must be (m, {str(tuple(manifold.shape))[1:]} for {manifold}, "
                "m at least 1"
            )
        if not (bandwidth > 0 and math.isfinite(bandwidth)):
            raise ValueError(f"bandwidth must be positive and finite, got {bandwidth}")
        self.bandwidth = float(bandwidth)
        self.register_buffer("centres", centres.detach().clone())

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``."""
        events, members = len(self.manifold.shape), self.centres.shape[0]
        member = _member_log_prob(kernels(self.manifold, self.centres.double(), self.bandwidth))
        flat = x.reshape(-1, *self.manifold.shape).double()
        pieces = [torch.logsumexp(member(piece), -1) for piece in flat.split(max(1, _CHUNK // members))]
        return (torch.cat(pieces) - math.log(members)).reshape(x.shape[: x.dim() - events]).to(x.dtype)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points: a centre, then a point of its kernel."""
        equal = torch.ones(self.centres.shape[0], dtype=torch.float64, device=self.centres.device)
        chosen = self.centres[categories(equal, n, generator)]
        if not n:
            return chosen
        return kernels(self.manifold, chosen, self.bandwidth).draw(torch.arange(n), generator)


def fit_kernel_density(
    train_x: Tensor,
    val_x: Tensor,
    manifold: Manifold,
    *,
    max_centres: int = 10_000,
    max_validation: int = 2_000,
    seed: int = 0,
) -> KernelDensity:
    """Kernel density at the training points with the bandwidth of largest validation likelihood.

    The bandwidth climbs from 0.05 by factors of 2, then of √2 and of ⁴√2, on the logarithmic scale.

    Args:
        train_x: ``(N, *shape)``.
        val_x: ``(V, *shape)``.
        manifold: where the points live.
        max_centres: most centres; of more training points this many are drawn by ``seed``.
        max_validation: likewise for the validation points.
        seed: of the two draws.

    Raises:
        ValueError: no validation points, or points of another shape.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> points = 0.5 * torch.randn(300, 1, generator=torch.Generator().manual_seed(0))
        >>> 0.05 < fit_kernel_density(points[:200], points[200:], Torus(1)).bandwidth < 0.5
        True
    """
    if not val_x.shape[0]:
        raise ValueError(f"val_x of shape {tuple(val_x.shape)} has no point to choose the bandwidth by; hold some out")
    centres, held_out = _subset(train_x, max_centres, seed, 0), _subset(val_x, max_validation, seed, 1)
    largest = _largest_bandwidth(manifold)

    @functools.cache
    def score(power: float) -> float:
        bandwidth = _FIRST * 2**power
        if bandwidth > largest:
            return -math.inf
        with torch.no_grad():
            return float(KernelDensity(manifold, centres, bandwidth).log_prob(held_out).double().mean())

    power = 0.0
    for step in _STEPS:
        best = max((power - step, power, power + step), key=score)
        while best != power and abs(best) <= _MOST_DOUBLINGS:
            power, best = best, max((best, 2 * best - power), key=score)
    return KernelDensity(manifold, centres, _FIRST * 2**power)


def kernels(manifold: Manifold, centres: Tensor, bandwidth: float) -> Family:
    """One kernel for each of ``(m, *shape)`` centres; which family is asked of the manifold's ``spec``."""
    family = _exponential_family(manifold)
    if family is None:
        return WrappedNormal(manifold, centres, bandwidth)
    return family(centres, bandwidth**-2)


def _exponential_family(manifold: Manifold) -> Callable[[Tensor, float], Family] | None:
    """From the spec's name before the dimension; a product's spec begins with that of its first factor."""
    return _KERNELS.get(manifold.spec.partition(":")[0]) if len(manifold.factors) == 1 else None


def _member_log_prob(family: Family) -> Callable[[Tensor], Tensor]:
    """Points ``(N, *shape)`` to log-densities ``(N, m)``: one matrix product where the family is exponential."""
    if not hasattr(family, "natural"):
        return lambda x: family.log_prob(x.unsqueeze(1))
    natural, log_normaliser = family.natural()
    return lambda x: family.statistics(x) @ natural.mT - log_normaliser


def _largest_bandwidth(manifold: Manifold) -> float:
    return largest_scale(manifold) if _exponential_family(manifold) is None else math.inf


def _subset(x: Tensor, most: int, seed: int, stream: int) -> Tensor:
    """At most ``most`` rows, drawn without replacement."""
    if x.shape[0] <= most:
        return x
    return x[torch.randperm(x.shape[0], generator=seeds.generator(seed, stream))[:most].sort().values]
