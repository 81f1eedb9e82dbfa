"""Hyperbolic space as the Poincaré ball."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.heat.hyperbolic import hyperbolic_law
from manifold_gen.manifolds.heat.radial import RadialHeatKernel
from manifold_gen.numerics import asinhc_sqrt, log_sinhc_sqrt, safe_sqrt, sech2_sqrt, tanhc_sqrt


class PoincareBall(RadialHeatKernel, Manifold):
    """{x ∈ Rⁿ : |x| < 1} with the metric λ² |dx|², λ = 2 / (1 − |x|²): curvature −1, infinite volume.

    With d(x) = 1 − |x|² the distance is 2 asinh(|x − y| / √(d(x) d(y))), and Möbius addition is written as

        x ⊕ w = (d(x) (x + w) + |x + w|² x) / (|x + w|² + d(x) d(w)),

    sums of positive terms only, so that nothing cancels but x + w itself. A point at distance r from the origin lies
    2 e^{−r} inside the unit sphere, so r can only be resolved as far as rounding lets it: see ``safe_radius``. Use
    float64 for densities.

    Convention: |u|_x = λ |u|, hence d(0, exp_0(u)) = 2 |u| in ambient coordinates and |c| in coordinates of
    ``tangent_basis``, which is also what ``embed`` returns.

    >>> ball = PoincareBall(2)
    >>> point = ball.unembed(torch.tensor([3.0, 0.0]))
    >>> round(float(ball.dist(ball.origin(), point)), 5)
    3.0

    Args:
        n: dimension, at least 1.

    Raises:
        UsageError: ``n`` is below 1.
    """

    name = "poincare"
    parallel_transport = True
    curvature = -1.0

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"PoincareBall needs a dimension of at least 1, got {n}")
        self.shape = (n,)
        self.dim = n
        self.spec = f"poincare:{n}"
        self.heat_law = hyperbolic_law(n)

    def projx(self, x: Tensor) -> Tensor:
        """``x``, pulled back along its ray to the largest representable radius where it lies on or beyond the edge."""
        limit = 1 - 2 * torch.finfo(x.dtype).eps
        radius = safe_sqrt((x * x).sum(-1, keepdim=True))
        outside = radius > limit
        return torch.where(outside, x * (limit / torch.where(outside, radius, 1.0)), x)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """``u`` itself: every vector is tangent."""
        return u

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        """u / λ²."""
        return u * (_gap(x) / 2) ** 2

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        """λ² ⟨u, v⟩."""
        v = u if v is None else v
        out = (u * v).sum(-1, keepdim=True) * (2 / _gap(x)) ** 2
        return out if keepdim else out.squeeze(-1)

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """x ⊕ (tanh(|u|_x / 2) u / |u|)."""
        gap = _gap(x)
        quarter = (u * u).sum(-1, keepdim=True) / gap**2
        total = x + tanhc_sqrt(quarter) / gap * u
        squared = (total * total).sum(-1, keepdim=True)
        return self.projx((gap * total + squared * x) / (squared + gap * sech2_sqrt(quarter)))

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """(2 / λ) artanh(|m|) m / |m| with m = (−x) ⊕ y."""
        gap = _gap(x)
        step = y - x
        squared = (step * step).sum(-1, keepdim=True)
        scale = gap * _gap(y)
        direction = gap * step - squared * x
        return gap * asinhc_sqrt(squared / scale) / torch.sqrt(scale * (squared + scale)) * direction

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """2 asinh(|x − y| / √(d(x) d(y))); gradient zero where x = y."""
        out = 2 * torch.asinh(safe_sqrt(self._ratio(x, y)))
        return out if keepdim else out.squeeze(-1)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Squared distance, smooth at x = y."""
        ratio = self._ratio(x, y)
        out = 4 * ratio * asinhc_sqrt(ratio) ** 2
        return out if keepdim else out.squeeze(-1)

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport along the geodesic: (λ_x / λ_y) times the gyration of (y, −x)."""
        gap, target = _gap(x), _gap(y)
        step = y - x
        squared = (step * step).sum(-1, keepdim=True)
        along, radial = (step * v).sum(-1, keepdim=True), (x * v).sum(-1, keepdim=True)
        first = -radial * (target + squared) - (x * x).sum(-1, keepdim=True) * along
        turned = v + 2 * (first * step + (gap * along - squared * radial) * x) / (squared + gap * target)
        return target / gap * turned

    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        """The centre, ``(*size, n)``; ``seed`` is geoopt's and is ignored."""
        return torch.zeros(*size, *self.shape, dtype=dtype, device=device)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The unit vectors divided by λ, ``(*batch, n, n)``."""
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return (_gap(x.detach()) / 2).unsqueeze(-1) * eye

    def embed(self, x: Tensor) -> Tensor:
        """Logarithm at the origin in orthonormal coordinates, ``(*batch, n)``; its length is the distance."""
        squared, gap = (x * x).sum(-1, keepdim=True), _gap(x)
        return 2 * asinhc_sqrt(squared / gap) / torch.sqrt(gap) * x

    def unembed(self, y: Tensor) -> Tensor:
        """Exponential at the origin: tanh(|y| / 2) y / |y|."""
        return self.projx(tanhc_sqrt((y * y).sum(-1, keepdim=True) / 4) / 2 * y)

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

    def tangent(self, x: Tensor, y: Tensor) -> Tensor:
        """The vector of coordinates ``y`` in ``tangent_basis(x)``, of length |y| however far x is."""
        return _gap(x) / 2 * y

    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        """n log λ."""
        return self.dim * (math.log(2) - torch.log(_gap(x).squeeze(-1)))

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        """(n − 1) log(sinh r / r) with r = |u|_x."""
        return (self.dim - 1) * log_sinhc_sqrt(self.inner(x, u))

    def half_distance(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """sinh²(r/2) = |x − y|² / (d(x) d(y)) and cosh²(r/2)."""
        h = self._ratio(x, y).squeeze(-1)
        return h, 1 + h

    def half_distance_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """(d(y) (y − x) + |y − x|² y) / 2 d(x)."""
        step = y - x
        squared = (step * step).sum(-1, keepdim=True)
        return (_gap(y) * step + squared * y) / (2 * _gap(x))

    def safe_radius(self, dtype: torch.dtype) -> float:
        """7 in float32 (distances good to 1e-4), 16 in float64 (to 1e-8); less in half precision."""
        return {torch.float64: 16.0, torch.float32: 7.0}.get(dtype, 2.0)

    def _ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """sinh²(distance / 2), ``(*batch, 1)``."""
        return ((x - y) ** 2).sum(-1, keepdim=True) / (_gap(x) * _gap(y))

    def _check_point_on_manifold(self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5) -> tuple[bool, str | None]:
        radius = float(torch.linalg.vector_norm(x, dim=-1).amax()) if x.numel() else 0.0
        if not radius < 1:
            return False, f"a point of {self} must have norm below 1, the largest is {radius:.9g}"
        reach, bound = 2 * math.atanh(radius), self.safe_radius(x.dtype)
        if reach > bound:
            return False, f"a point lies {reach:.3g} from the origin, {x.dtype} resolves at most {bound:g}: use float64"
        return True, None


def _gap(x: Tensor) -> Tensor:
    """1 − |x|² = 2 / λ, ``(*batch, 1)``."""
    return 1 - (x * x).sum(-1, keepdim=True)
