"""Manifolds built from another library's projections, metric and exponential map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.polar import polar, special_polar

_STEPS = 3
_DIFFERENTIABLE_STEPS = 3  # each makes derivatives right to one order more


@dataclass(frozen=True)
class Maps:
    """What a foreign space supplies, each as a function of plain tensors.

    Attributes:
        projx: nearest point, or some projection onto the space.
        proju: orthogonal projection onto a tangent space, (x, u) → u.
        inner: (x, u, v) → ``(*batch,)``.
        expmap: exponential map or a retraction, (x, u) → y, differentiable at u = 0.
    """

    projx: Callable[[Tensor], Tensor]
    proju: Callable[[Tensor, Tensor], Tensor]
    inner: Callable[[Tensor, Tensor, Tensor], Tensor]
    expmap: Callable[[Tensor, Tensor], Tensor]


class Adapted(Manifold):
    """A space of another library as a ``Manifold``.

    The dimension is the rank of the tangent projection. ``logmap`` solves exp_x(u) = y by Newton's method in tangent
    coordinates, since the logarithms of the libraries are singular or not differentiable at coincident points; it
    returns NaN where the search does not end at y, which happens only outside the injectivity radius.

    Args:
        shape: shape of one point.
        spec: text that rebuilds the manifold.
        maps: the functions of the space.
        log_volume, injectivity_radius: where known; a radius that is not known is taken as 1.
    """

    name = "adapted"
    oriented = False
    _stages = 6

    def __init__(
        self,
        shape: tuple[int, ...],
        spec: str,
        maps: Maps,
        *,
        log_volume: float = math.inf,
        injectivity_radius: float = 1.0,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.ndim = len(shape)
        self.spec = spec
        self.maps = maps
        self.log_volume = log_volume
        self.injectivity_radius = injectivity_radius
        x = self.origin(dtype=torch.float64)
        eye = torch.eye(math.prod(shape), dtype=x.dtype).reshape(-1, *shape)
        projector = self.proju(x.expand_as(eye), eye).reshape(len(eye), -1)
        self.dim = round(float(projector.trace()))

    def projx(self, x: Tensor) -> Tensor:
        return self.maps.projx(x).to(x.dtype)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        return self.maps.proju(x, u).to(u.dtype)

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        value = self.maps.inner(x, u, u if v is None else v).to(u.dtype)
        return value.reshape(*value.shape, *(1,) * len(self.shape)) if keepdim else value

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        basis = self.tangent_basis(x)
        axis = len(self._batch(x))
        slopes = (basis * u.unsqueeze(axis)).flatten(axis + 1).sum(-1)
        return (slopes.reshape(*slopes.shape, *(1,) * len(self.shape)) * basis).sum(axis)

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        return self.maps.expmap(x, u).to(u.dtype)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float64)  # a search in float32 would lose short vectors to rounding
        return self._log(*torch.broadcast_tensors(x.to(wide), y.to(wide))).to(x.dtype)

    def _log(self, x: Tensor, y: Tensor) -> Tensor:
        foot, goal = x.detach(), y.detach()
        source = self.tangent_basis(foot)
        with torch.no_grad():
            u = self._guess(foot, goal)
            for stage in range(1, self._stages + 1):
                part = self.projx(foot + (goal - foot) * (stage / self._stages)) if stage < self._stages else goal
                for _ in range(_STEPS if stage < self._stages else 2 * _STEPS):
                    u = u + self._advance(source, self._inverse(foot, u, source), part - self.expmap(foot, u))
            inverse = self._inverse(foot, u, source).detach()
        u = u.detach()
        for _ in range(_DIFFERENTIABLE_STEPS):
            step = self._advance(source, inverse, y - self.expmap(x, self.proju(x, u)))
            u = u + step
        off = self._size(self.projx(foot) - foot) + self._size(self.projx(goal) - goal)
        left = self._size(step) + self._size(self.expmap(foot, u) - goal)
        arrived = left < 8 * off + torch.finfo(u.dtype).eps ** 0.5
        return torch.where(arrived.reshape(*arrived.shape, *(1,) * len(self.shape)), self.proju(x, u), math.nan)

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        one = torch.zeros(self.shape, dtype=dtype, device=device)
        corner = one.reshape(-1, self.shape[-1])
        corner[:, :] = torch.eye(*corner.shape, dtype=dtype, device=device)
        return self.projx(one).expand(*size, *self.shape).clone()

    def _size(self, a: Tensor) -> Tensor:
        return a.detach().abs().flatten(-len(self.shape)).amax(-1)

    def _guess(self, x: Tensor, y: Tensor) -> Tensor:
        """A first tangent vector; the search then walks from x to y in stages."""
        return torch.zeros_like(x)

    def _inverse(self, x: Tensor, u: Tensor, source: Tensor) -> Tensor:
        """Damped least-squares inverse ``(*batch, n, D)`` of the differential of exp_x at u, in the frame at x.

        By reverse mode, which nests in every other mode of differentiation.
        """
        axis, size = len(self._batch(x)), math.prod(self.shape)
        eye = torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, *self.shape)
        point, vector = (a.unsqueeze(axis).expand(*a.shape[:axis], size, *self.shape).clone() for a in (x, u))
        pull = torch.func.vjp(lambda w: self.expmap(point, w), vector)[1]
        rows = pull(eye.expand_as(vector))[0].flatten(axis + 1)
        jacobian = rows @ source.flatten(axis + 1).mT
        square = jacobian.mT @ jacobian
        damping = torch.finfo(x.dtype).eps * square.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
        damped = square + damping * torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return torch.linalg.solve_ex(damped, jacobian.mT)[0]

    def _advance(self, source: Tensor, inverse: Tensor, miss: Tensor) -> Tensor:
        """The step that removes ``miss``, no longer than half the injectivity radius or one."""
        axis = miss.dim() - len(self.shape)
        weights = (inverse @ miss.flatten(axis).unsqueeze(-1)).squeeze(-1)
        length = weights.detach().norm(dim=-1, keepdim=True)
        weights = weights / (length / min(1.0, 0.5 * self.injectivity_radius)).clamp_min(1.0)
        return (weights.reshape(*weights.shape, *(1,) * len(self.shape)) * source).sum(axis)


class Stiefel(Adapted):
    """n×k matrices with orthonormal columns and the canonical metric tr(uᵀ(I − ½xxᵀ)v); exact geodesics.

    The lower bound √(4/5) π of the injectivity radius is Rentmeesters' ("Algorithms for data fitting on some common
    homogeneous spaces", Louvain 2013).

    Raises:
        UsageError: unless 1 ≤ k < n; for k = n use the group of rotations.
    """

    def __init__(self, n: int, k: int, spec: str) -> None:
        if not 1 <= k < n:
            raise UsageError(f"{spec}: expected shape n,k with 1 <= k < n, got {n},{k}")
        spheres = sum(math.log(2) + 0.5 * j * math.log(math.pi) - math.lgamma(0.5 * j) for j in range(n - k + 1, n + 1))
        maps = Maps(polar, _stiefel_tangent, _canonical_inner, _canonical_geodesic)
        super().__init__((n, k), spec, maps, log_volume=spheres, injectivity_radius=math.sqrt(0.8) * math.pi)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        return self.projx(torch.randn(*size, *self.shape, generator=generator, dtype=dtype, device=device))


class SpecialOrthogonal(Adapted):
    """Rotations of Rⁿ with ⟨u, v⟩ = scale · tr(uᵀv)."""

    def __init__(self, n: int, scale: float, spec: str) -> None:
        dim = n * (n - 1) // 2
        spheres = sum(math.log(2) + 0.5 * j * math.log(math.pi) - math.lgamma(0.5 * j) for j in range(2, n + 1))
        maps = Maps(special_polar, _stiefel_tangent, lambda x, u, v: scale * (u * v).sum((-2, -1)), _group_geodesic)
        volume, radius = spheres + 0.5 * dim * math.log(2 * scale), math.sqrt(2 * scale) * math.pi
        super().__init__((n, n), spec, maps, log_volume=volume, injectivity_radius=radius)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        return self.projx(torch.randn(*size, *self.shape, generator=generator, dtype=dtype, device=device))

    def _log(self, x: Tensor, y: Tensor) -> Tensor:
        """The square root of a rotation q is the rotation nearest to 1 + q: four of them, then a power series."""
        q = x.mT @ y
        eye = torch.eye(self.shape[0], dtype=x.dtype, device=x.device)
        for _ in range(4):
            q = special_polar(eye + q)
        sine = 0.5 * (q - q.mT)
        square, angle = sine @ sine, torch.zeros_like(sine)
        for k in reversed(range(12)):
            angle = angle @ square + eye * ((-1) ** k * math.comb(2 * k, k) / 4**k / (2 * k + 1))
        return 16 * x @ sine @ angle


class PositiveDefinite(Adapted):
    """Symmetric positive definite matrices with the affine-invariant metric tr(x⁻¹u x⁻¹v): no cut locus."""

    _stages = 1

    def __init__(self, n: int, spec: str) -> None:
        maps = Maps(_positive_part, lambda x, u: 0.5 * (u + u.mT), _affine_inner, _affine_geodesic)
        super().__init__((n, n), spec, maps, injectivity_radius=math.inf)

    def embed(self, x: Tensor) -> Tensor:
        """The matrix logarithm: grows like the distance from the identity, and every output of a network is a point."""
        eye = torch.eye(self.shape[0], dtype=x.dtype, device=x.device)
        return self.logmap(eye.expand_as(x), x).flatten(-2)

    def unembed(self, y: Tensor) -> Tensor:
        """The matrix exponential of the symmetric part."""
        y = y.unflatten(-1, self.shape)
        return torch.linalg.matrix_exp(0.5 * (y + y.mT))

    def _guess(self, x: Tensor, y: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(x)
        root = (vectors * values.sqrt().unsqueeze(-2)) @ vectors.mT
        inverse = (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mT
        ratios, axes = torch.linalg.eigh(inverse @ y @ inverse)
        return root @ (axes * ratios.log().unsqueeze(-2)) @ axes.mT @ root


def _positive_part(x: Tensor) -> Tensor:
    """The symmetric part with its eigenvalues lifted above rounding; inside the cone its derivative is exact."""
    x = 0.5 * (x + x.mT)
    values, vectors = torch.linalg.eigh(x.detach())
    floor = torch.finfo(x.dtype).eps * values.abs().amax(-1, keepdim=True)
    return x + (vectors * (values.maximum(floor) - values).unsqueeze(-2)) @ vectors.mT


def _stiefel_tangent(x: Tensor, u: Tensor) -> Tensor:
    along = x.mT @ u
    return u - 0.5 * x @ (along + along.mT)


def _canonical_inner(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return (u * v).sum((-2, -1)) - 0.5 * ((x.mT @ u) * (x.mT @ v)).sum((-2, -1))


def _canonical_geodesic(x: Tensor, u: Tensor) -> Tensor:
    """exp(w xᵀ − x wᵀ) x with w = (I − ½xxᵀ) u: the orbit of a horizontal one-parameter group of rotations."""
    w = u - 0.5 * x @ (x.mT @ u)
    turn = w @ x.mT
    return torch.linalg.matrix_exp(turn - turn.mT) @ x


def _group_geodesic(x: Tensor, u: Tensor) -> Tensor:
    along = x.mT @ u
    return x @ torch.linalg.matrix_exp(0.5 * (along - along.mT))


def _affine_inner(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    inverse = torch.linalg.inv(x)
    return ((inverse @ u) * (inverse @ v).mT).sum((-2, -1))


def _affine_geodesic(x: Tensor, u: Tensor) -> Tensor:
    y = x @ torch.linalg.matrix_exp(torch.linalg.inv(x) @ u)
    return 0.5 * (y + y.mT)
