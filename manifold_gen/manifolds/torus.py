"""The flat torus Tⁿ = (R / 2πZ)ⁿ."""

from __future__ import annotations

import math
from itertools import combinations, product

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.flat import Flat
from manifold_gen.manifolds.heat.interface import as_times
from manifold_gen.manifolds.heat.wrapped import wrapped_log_density, wrapped_slope
from manifold_gen.numerics import wrap_angle

_WHOLE_LATTICE_DIM = 3  # above it, wave vectors with more than two nonzero entries are left out


class Torus(Flat):
    """Tⁿ with points as angles in [−π, π), radians, and the flat metric: volume (2π)ⁿ, injectivity radius π.

    The logarithm is y − x wrapped to [−π, π) in each angle. Half a turn has two shortest ways; it takes the negative
    one, and ``at_cut_locus`` says where that happens.

    >>> torus = Torus(2)
    >>> torus.dist(torch.tensor([3.0, 0.0]), torch.tensor([-3.0, 0.0]))
    tensor(0.2832)

    Args:
        n: number of angles, at least 1.

    Raises:
        UsageError: ``n`` is below 1.
    """

    name = "torus"
    injectivity_radius = math.pi
    period = 2 * math.pi

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"Torus needs at least one angle, got {n}")
        self.shape = (n,)
        self.dim = n
        self.log_volume = n * math.log(2 * math.pi)
        self.spec = f"torus:{n}"

    def projx(self, x: Tensor) -> Tensor:
        """Angles wrapped to [−π, π)."""
        return wrap_angle(x)

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """x + u, wrapped."""
        return wrap_angle(x + u)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """y − x, wrapped."""
        return wrap_angle(y - x)

    def dist2_matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Σ min(|xᵢ − yᵢ|, 2π − |xᵢ − yᵢ|)², angle by angle."""
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for a, b in zip(self.projx(x).unbind(-1), self.projx(y).unbind(-1), strict=True):
            gap = (a.unsqueeze(1) - b).abs()
            total = total + torch.minimum(gap, 2 * math.pi - gap).square()
        return total

    def at_cut_locus(self, x: Tensor, y: Tensor) -> Tensor:
        """Boolean ``(*batch,)``: some angle differs by half a turn, to rounding."""
        gap = math.pi - wrap_angle(y - x).abs()
        return (gap <= 4 * torch.finfo(gap.dtype).eps).any(-1)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """``(*size, n)`` independent uniform angles."""
        u = torch.rand(*size, *self.shape, generator=generator, dtype=dtype, device=device)
        return wrap_angle((2 * u - 1) * math.pi)

    @property
    def embed_dim(self) -> int:
        """2n: a cosine and a sine of each angle."""
        return 2 * self.dim

    def embed(self, x: Tensor) -> Tensor:
        """Cosines of all angles, then sines, ``(*batch, 2n)``."""
        return torch.cat([torch.cos(x), torch.sin(x)], -1)

    def unembed(self, y: Tensor) -> Tensor:
        """The angle of each (cosine, sine) pair; a pair (0, 0) has no angle and NaN for a gradient."""
        cosine, sine = y.split(self.dim, -1)
        return wrap_angle(torch.atan2(sine, cosine))

    @property
    def displacement_dim(self) -> int:
        """n: one angle each."""
        return self.dim

    def displace(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y, wrapped."""
        return wrap_angle(x + y)

    def wave_coordinates(self, x: Tensor) -> Tensor:
        """The angles: a wave cos(k·x) is smooth on the torus for integer k."""
        return x

    def wave_vectors(self, degree: float, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Integer wave vectors of length ≤ ``degree``, one of each pair ±k, at most ``count``: ``(count', n)``.

        Up to three angles: the whole lattice, shortest first. Above, where the lattice explodes: every harmonic of
        every single angle first, then combinations k eᵢ ± l eⱼ of two angles, shortest first. No random number is
        drawn.
        """
        top = math.floor(degree)
        pair = (range(1, top + 1), [k for k in range(-top, top + 1) if k])
        if self.dim <= _WHOLE_LATTICE_DIM:
            groups = [list(product(range(-top, top + 1), repeat=self.dim))]
        else:
            single = [self._sparse({i: k}) for i in range(self.dim) for k in pair[0]]
            double = [
                self._sparse({i: k, j: l}) for i, j in combinations(range(self.dim), 2) for k, l in product(*pair)
            ]
            groups = [single, double]
        chosen = [k for group in groups for k in sorted(_half_ball(group, degree), key=_shortest_first)]
        return torch.tensor(chosen[:count], dtype=torch.get_default_dtype()).reshape(-1, self.dim)

    def heat_kernel(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """Sum over the angles of the log-density of a normal one wrapped around 2π."""
        return wrapped_log_density(wrap_angle(y - x), as_times(t, x).unsqueeze(-1)).sum(-1)

    def heat_kernel_score(self, x: Tensor, y: Tensor, t: Tensor | float) -> Tensor:
        """Derivative of that in each angle."""
        return wrapped_slope(wrap_angle(y - x), as_times(t, x).unsqueeze(-1))

    def _sparse(self, entries: dict[int, int]) -> tuple[int, ...]:
        return tuple(entries.get(i, 0) for i in range(self.dim))


def _half_ball(vectors: list[tuple[int, ...]], degree: float) -> list[tuple[int, ...]]:
    """Those of length at most ``degree`` whose first nonzero entry is positive."""
    zero = (0,) * len(vectors[0]) if vectors else ()
    return [k for k in vectors if k > zero and sum(i * i for i in k) <= degree**2]


def _shortest_first(k: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    return sum(i * i for i in k), sum(map(abs, k)), tuple(-i for i in k)
