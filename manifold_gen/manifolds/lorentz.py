"""Hyperbolic space as the hyperboloid in Minkowski space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.heat.hyperbolic import hyperbolic_law
from manifold_gen.manifolds.heat.radial import RadialHeatKernel
from manifold_gen.numerics import asinhc_sqrt, log_sinhc_sqrt, safe_sqrt, sech2_sqrt, sinhc_sqrt, tanhc_sqrt


class Lorentz(RadialHeatKernel, Manifold):
    """{x ∈ R^{n+1} : ⟨x, x⟩ = −1, x₀ > 0} with ⟨u, v⟩ = −u₀ v₀ + Σ uᵢ vᵢ: curvature −1, infinite volume.

    The ambient form is Minkowski's, ``proju`` is orthogonal for it, and ``inner`` is it. A point is known by its
    spatial part; x₀ = √(1 + |x|²) follows. With Q = ⟨x − y, x − y⟩ the distance is 2 asinh(√Q / 2), and Q is taken
    from a sum of positive terms rather than from the difference of squares that defines it.

    Coordinates grow like eʳ with the distance r from the origin. Distances, norms and exp are good to about eps · eʳ;
    ``inner`` and ``transp``, which are differences of products, to eps · e²ʳ: use float64 (see ``safe_radius``).

    >>> space = Lorentz(2)
    >>> point = space.unembed(torch.tensor([3.0, 0.0]))
    >>> round(float(space.dist(space.origin(), point)), 5)
    3.0

    Args:
        n: dimension, at least 1.

    Raises:
        UsageError: ``n`` is below 1.
    """

    name = "lorentz"
    parallel_transport = True
    curvature = -1.0

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"Lorentz needs a dimension of at least 1, got {n}")
        self.shape = (n + 1,)
        self.dim = n
        self.spec = f"lorentz:{n}"
        self.heat_law = hyperbolic_law(n)

    def projx(self, x: Tensor) -> Tensor:
        """The point with the same spatial part (the nearest along the time axis)."""
        return _lift(x[..., 1:])

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """u + ⟨x, u⟩ x."""
        return u + _minkowski(x, u) * x

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        """The gradient with its time component negated, projected."""
        return self.proju(x, torch.cat([-u[..., :1], u[..., 1:]], -1))

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        """⟨u, v⟩ = −u₀ v₀ + Σ uᵢ vᵢ."""
        out = _minkowski(u, u if v is None else v)
        return out if keepdim else out.squeeze(-1)

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False) -> Tensor:
        """Length of the tangent vector ``u``, from its spatial part, which does not cancel; gradient zero at u = 0."""
        out = safe_sqrt(_squared_norm(x, u))
        return out if keepdim else out.squeeze(-1)

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """cosh|u| x + sinh|u| u / |u|, evaluated as Möbius addition in the ball, where it does not cancel.

        The ball's 1 − |ξ|² is 2 / (1 + x₀) here, to full relative precision however far x is.
        """
        time = torch.sqrt(1 + (x[..., 1:] ** 2).sum(-1, keepdim=True))
        gap, centre = 2 / (1 + time), x[..., 1:] / (1 + time)
        coordinates = _boost_back(x, u)
        quarter = (coordinates * coordinates).sum(-1, keepdim=True) / 4
        total = centre + tanhc_sqrt(quarter) / 2 * coordinates
        squared = (total * total).sum(-1, keepdim=True)
        return _lift(2 * (total + squared / gap * centre) / sech2_sqrt(quarter))

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """r / sinh r (y − cosh r x), r the distance."""
        gap = _squared_gap(x, y)
        direction = y - x - gap / 2 * x
        return asinhc_sqrt(gap / 4) / torch.sqrt(1 + gap / 4) * direction

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """2 asinh(√Q / 2); gradient zero where x = y."""
        out = 2 * torch.asinh(safe_sqrt(_squared_gap(x, y)) / 2)
        return out if keepdim else out.squeeze(-1)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Squared distance, smooth at x = y."""
        gap = _squared_gap(x, y)
        out = gap * asinhc_sqrt(gap / 4) ** 2
        return out if keepdim else out.squeeze(-1)

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport along the geodesic: v + ⟨y − x, v⟩ / (1 + cosh r) (x + y)."""
        return v + _minkowski(y - x, v) / (2 + _squared_gap(x, y) / 2) * (x + y)

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        """(1, 0, …, 0), ``(*size, n + 1)``; ``seed`` is geoopt's and is ignored."""
        return _lift(torch.zeros(*size, self.dim, dtype=dtype, device=device))

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The spatial unit vectors boosted from the origin to x, ``(*batch, n, n + 1)``."""
        x = x.detach()
        time, space = x[..., :1], x[..., 1:]
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        block = eye + space.unsqueeze(-1) * (space / (1 + time)).unsqueeze(-2)
        return torch.cat([space.unsqueeze(-1), block], -1)

    @property
    def embed_dim(self) -> int:
        """n."""
        return self.dim

    def embed(self, x: Tensor) -> Tensor:
        """Logarithm at the origin in orthonormal coordinates, ``(*batch, n)``; its length is the distance."""
        space = x[..., 1:]
        return asinhc_sqrt((space * space).sum(-1, keepdim=True)) * space

    def unembed(self, y: Tensor) -> Tensor:
        """Exponential at the origin: spatial part sinh|y| y / |y|."""
        return _lift(sinhc_sqrt((y * y).sum(-1, keepdim=True)) * y)

    @property
    def advance_dim(self) -> int:
        """n, as ``displacement_dim``."""
        return self.displacement_dim

    def advance(self, x: Tensor, y: Tensor) -> Tensor:
        """``displace``: a sum of logarithms at the origin is stretched exponentially with the radius."""
        return self.displace(x, y)

    def displace(self, x: Tensor, y: Tensor) -> Tensor:
        """exp_x of the coordinates ``y`` in ``tangent_basis(x)``: a step of length |y| however far x is."""
        return self.expmap(x, self.tangent(x, y))

    @property
    def tangent_dim(self) -> int:
        """n."""
        return self.dim

    def tangent(self, x: Tensor, y: Tensor) -> Tensor:
        """The vector of coordinates ``y`` in ``tangent_basis(x)``, of length |y| however far x is."""
        time, space = x[..., :1], x[..., 1:]
        radial = (space * y).sum(-1, keepdim=True)
        return torch.cat([radial, y + radial / (1 + time) * space], -1)

    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        """Zero: the metric is the ambient (Minkowski) form."""
        return x.new_zeros(self._batch(x))

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        """(n − 1) log(sinh r / r) with r = |u|."""
        return (self.dim - 1) * log_sinhc_sqrt(_squared_norm(x, u).squeeze(-1))

    def half_distance(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """sinh²(r/2) = Q/4 and cosh²(r/2)."""
        h = 0.25 * _squared_gap(x, y).squeeze(-1)
        return h, 1 + h

    def half_distance_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """½ (cosh r y − x)."""
        return 0.5 * (y - x + 0.5 * _squared_gap(x, y) * y)

    def safe_radius(self, dtype: torch.dtype) -> float:
        """3 in float32, 8 in float64, where inner products are good to 1e-4 and 1e-8; less in half precision."""
        return {torch.float64: 8.0, torch.float32: 3.0}.get(dtype, 1.0)

    def _check_point_on_manifold(self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5) -> tuple[bool, str | None]:
        fits, reason = super()._check_point_on_manifold(x, atol=atol, rtol=rtol)
        if not fits or not x.numel():
            return fits, reason
        reach = math.asinh(float(torch.linalg.vector_norm(x[..., 1:], dim=-1).amax()))
        bound = self.safe_radius(x.dtype)
        if reach > bound:
            return False, f"a point lies {reach:.3g} from the origin, {x.dtype} resolves at most {bound:g}: use float64"
        return True, None


def _lift(space: Tensor) -> Tensor:
    """The point with the given spatial part."""
    return torch.cat([torch.sqrt(1 + (space * space).sum(-1, keepdim=True)), space], -1)


def _minkowski(u: Tensor, v: Tensor) -> Tensor:
    """−u₀ v₀ + Σ uᵢ vᵢ, ``(*batch, 1)``."""
    return (u[..., 1:] * v[..., 1:]).sum(-1, keepdim=True) - u[..., :1] * v[..., :1]


def _boost_back(x: Tensor, u: Tensor) -> Tensor:
    """Coordinates of a tangent vector in ``tangent_basis(x)``, ``(*batch, n)``, from its spatial part alone."""
    space = x[..., 1:]
    time = torch.sqrt(1 + (space * space).sum(-1, keepdim=True))
    radial = (space * u[..., 1:]).sum(-1, keepdim=True)
    return u[..., 1:] - radial / (time * (1 + time)) * space


def _squared_norm(x: Tensor, u: Tensor) -> Tensor:
    """⟨u, u⟩ of a tangent vector, ``(*batch, 1)``, without the cancellation of the definition."""
    return (_boost_back(x, u) ** 2).sum(-1, keepdim=True)


def _squared_gap(x: Tensor, y: Tensor) -> Tensor:
    """Q = ⟨x − y, x − y⟩ = 4 sinh²(r / 2), ``(*batch, 1)``, from spatial parts, as a sum of positive terms.

    Where the spatial parts p, q make an acute angle, Q = 4 (|p − q|² + |(p − q) ∧ p|²) / (2 + 2 x₀ y₀ + 2 ⟨p, q⟩);
    elsewhere Q = 2 (x₀ y₀ − 1) − 2 ⟨p, q⟩ with x₀ − 1 = |p|² / (1 + x₀).
    """
    p, q = x[..., 1:], y[..., 1:]
    p2, q2 = (p * p).sum(-1, keepdim=True), (q * q).sum(-1, keepdim=True)
    p0, q0 = torch.sqrt(1 + p2), torch.sqrt(1 + q2)
    product = (p * q).sum(-1, keepdim=True)
    step = p - q
    plane = step.unsqueeze(-1) * p.unsqueeze(-2) - p.unsqueeze(-1) * step.unsqueeze(-2)
    wedge = (plane * plane).sum((-2, -1)).unsqueeze(-1) / 2
    acute = product >= 0
    near = 4 * ((step * step).sum(-1, keepdim=True) + wedge) / (2 + 2 * p0 * q0 + 2 * torch.where(acute, product, 0.0))
    far = 2 * (p2 / (1 + p0) * q0 + q2 / (1 + q0)) - 2 * product
    return torch.where(acute, near, far)
