"""What every manifold supplies, and what follows from it.

A manifold M is embedded in an ambient array space: a point has shape ``(*batch, *shape)``. It must supply the
projection onto M, the orthogonal projection onto a tangent space, the exponential map and the logarithm. Everything
else has a default built from these four; a subclass overrides a default where a closed form is more accurate or
faster.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import geoopt
import torch
from torch import Tensor

from manifold_gen import numerics
from manifold_gen.errors import CutLocusError
from manifold_gen.manifolds.heat.interface import HeatKernel
from manifold_gen.manifolds.network_view import NetworkView


class Manifold(NetworkView, HeatKernel, geoopt.Manifold):
    """A Riemannian manifold with everything that generative models ask of it.

    Args follow geoopt's names and order, so geoopt's optimisers work. Two things differ from geoopt: ``size`` counts
    batch dimensions only (the point shape is the manifold's), and scalars per point have shape ``(*batch,)``.

    Attributes:
        shape: shape of one point in ambient coordinates.
        dim: intrinsic dimension n.
        log_volume: logarithm of the Riemannian volume, ``inf`` where M is not compact.
        injectivity_radius: radius within which every exponential map is a diffeomorphism.
        curvature: the sectional curvature where it is constant, else ``None``.
        oriented: ``tangent_basis`` has one orientation on all of M, so that the sign of a determinant means something.
        parallel_transport: ``transp`` is parallel transport along the shortest geodesic, not a projection.
        varies: false; a family of manifolds, such as ``PointClouds``, says true.
        period: on a flat torus whose points are angles, the period common to all coordinates, else ``None``.
        symmetry: ``"euclidean"`` where a point is a set of places in space, so that functions on M should commute with
            permutations, rotations and reflections; models then choose networks that do. Else ``None``.
        feature_dim: so many last coordinates of each place are features, which may be one-hot kinds.
        spec: text from which ``manifolds.from_spec`` rebuilds the manifold, e.g. ``"sphere:2"``.
    """

    name = "manifold"
    reversible = False
    ndim = 1
    shape: tuple[int, ...]
    dim: int
    log_volume: float = math.inf
    injectivity_radius: float = math.inf
    curvature: float | None = None
    oriented: bool = True
    parallel_transport: bool = False
    varies: bool = False
    period: float | None = None
    symmetry: str | None = None
    feature_dim: int = 0
    spec: str

    # ---- required -----------------------------------------------------------------------------------------------

    @abstractmethod
    def projx(self, x: Tensor) -> Tensor:
        """The nearest point of M to the ambient array ``x``."""

    @abstractmethod
    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """Orthogonal projection of ``u`` onto T_xM, orthogonal for the ambient form."""

    @abstractmethod
    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """Exponential map exp_x(u)."""

    @abstractmethod
    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """Inverse of ``expmap`` inside the injectivity radius."""

    def at_cut_locus(self, x: Tensor, y: Tensor) -> Tensor:
        """Boolean ``(*batch,)``: no single shortest geodesic joins x and y, to rounding; default: never.

        There ``logmap`` is finite and of the right length, but its direction is a fixed arbitrary choice.
        """
        return torch.zeros(torch.broadcast_shapes(self._batch(x), self._batch(y)), dtype=torch.bool, device=x.device)

    def checked_logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """``logmap`` that refuses pairs without a unique answer instead of picking one.

        Raises:
            CutLocusError: some pairs are ``at_cut_locus``; the message counts them and names the first.
        """
        cut = self.at_cut_locus(x, y)
        if bool(cut.any()):
            first = tuple(cut.nonzero()[0].tolist())
            raise CutLocusError(
                f"{int(cut.sum())} of {cut.numel()} pairs on {self} have no unique logarithm (first at index {first}); "
                "move those points, or call logmap, which picks a direction"
            )
        return self.logmap(x, y)

    # ---- metric -------------------------------------------------------------------------------------------------

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        """Riemannian inner product ⟨u, v⟩_x; default: the ambient Euclidean one."""
        v = u if v is None else v
        return self._sum(u * v, keepdim=keepdim)

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False) -> Tensor:
        """Riemannian length |u|_x, with a zero gradient (not NaN) at u = 0."""
        return numerics.safe_sqrt(self.inner(x, u, keepdim=keepdim))

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Geodesic distance."""
        return self.norm(x, self.logmap(x, y), keepdim=keepdim)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Squared geodesic distance, smooth at x = y."""
        return self.inner(x, self.logmap(x, y), keepdim=keepdim)

    def dist2_matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Squared distances of all pairs, ``(n, m)`` from ``(n, *shape)`` and ``(m, *shape)``, for sums over pairs.

        An override may be faster than ``dist2`` and right to a few roundings of 1 only, not of the distance.
        """
        return self.dist2(x.unsqueeze(1), y.unsqueeze(0))

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        """Riemannian gradient from the ambient one."""
        return self.proju(x, u)

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        """Retraction; the exponential map unless a cheaper one is given."""
        return self.expmap(x, u)

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Transport of ``v`` from T_xM to T_yM; default: by projection."""
        return self.proju(y, v)

    def dexp_inverse(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        r"""(d exp_x)_u⁻¹ v: the tangent vector at ``x`` that exp_x, differentiated at ``u``, carries to ``v``.

        ``v`` is tangent at exp_x(u), and |u| below the injectivity radius. With constant curvature K and parallel
        transport this is v brought back along the geodesic, its part across u divided by sin r / r, r = √K |u|;
        elsewhere the derivative of the logarithm.
        """
        y = self.expmap(x, u)
        if self.curvature is None or not self.parallel_transport:
            return torch.func.jvp(lambda p: self.logmap(x, p), (y,), (v,))[1]
        back, squared = self.transp(y, x, v), self.inner(x, u, keepdim=True)
        along = self.inner(x, u, back, keepdim=True) / torch.where(squared > 0, squared, 1.0) * u
        scaled = self.curvature * squared
        shrink = numerics.sinc_sqrt(scaled) if self.curvature > 0 else numerics.sinhc_sqrt(-scaled)
        return along + (back - along) / shrink

    # ---- points and frames --------------------------------------------------------------------------------------

    @abstractmethod
    def origin(
        self, *size: int, dtype: torch.dtype | None = None, device: torch.device | None = None, seed: int | None = None
    ) -> Tensor:
        """A distinguished point, repeated to ``(*size, *shape)``; ``seed`` is geoopt's and is ignored."""

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Basis of T_xM, orthonormal for ``inner``, as ``(*batch, n, *shape)``; deterministic, carries no gradient.

        The default takes the leading left singular vectors of the projector and orthonormalises them for the metric;
        it does not promise one orientation, so a manifold that keeps it declares ``oriented = False``.
        """
        x = x.detach()  # ``no_grad`` alone would let forward-mode derivatives into the decomposition
        with torch.no_grad():
            batch, size = self._batch(x), math.prod(self.shape)
            eye = torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, *self.shape)
            point = x.unsqueeze(len(batch)).expand(*batch, size, *self.shape)
            projector = self.proju(point, eye.expand_as(point)).reshape(*batch, size, size)
            _, _, rows = torch.linalg.svd(projector)
            frame = rows[..., : self.dim, :].reshape(*batch, self.dim, *self.shape)
            gram = self._gram(x, frame)
            lower = torch.linalg.cholesky(gram)
            flat = frame.reshape(*batch, self.dim, size)
            return torch.linalg.solve_triangular(lower, flat, upper=False).reshape(*batch, self.dim, *self.shape)

    def from_coordinates(self, x: Tensor, coordinates: Tensor) -> Tensor:
        """Tangent vector with the given ``(*batch, n)`` coordinates in ``tangent_basis(x)``."""
        basis = self.tangent_basis(x)
        weights = coordinates.reshape(*coordinates.shape, *(1,) * len(self.shape))
        return (weights * basis).sum(len(coordinates.shape) - 1)

    def to_coordinates(self, x: Tensor, u: Tensor) -> Tensor:
        """Coordinates ``(*batch, n)`` of a tangent vector in ``tangent_basis(x)``."""
        basis = self.tangent_basis(x)
        axis = basis.dim() - len(self.shape) - 1
        return self.inner(x.unsqueeze(axis), basis, u.unsqueeze(axis))

    def random_tangent(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal vector of T_xM: E[v ⊗ v] is the identity of the tangent space."""
        size = (*self._batch(x), self.dim)
        coordinates = torch.randn(size, generator=generator, dtype=x.dtype, device=x.device)
        return self.from_coordinates(x, coordinates)

    def random_uniform(
        self,
        *size: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """``(*size, *shape)`` points, uniform for the Riemannian volume; compact manifolds only."""
        raise ValueError(f"{self} has infinite volume and no uniform distribution; use a wrapped normal instead")

    def of(self, x: Tensor) -> Manifold:
        """The manifold that the points ``x`` lie on: this one; a family of manifolds tells it by their shape."""
        return self

    @property
    def factors(self) -> tuple[Manifold, ...]:
        """The factors of a product; elsewhere the manifold itself alone."""
        return (self,)

    # ---- volumes ------------------------------------------------------------------------------------------------

    def log_sqrt_det_metric(self, x: Tensor) -> Tensor:
        """log √det of the metric relative to the ambient form, ``(*batch,)``; zero for an embedded metric.

        Differentiable in x: the value comes from a frame without gradient, the gradient from the metric in that frame.
        """
        basis = self.tangent_basis(x)
        flat = basis.flatten(-len(self.shape))
        value = -0.5 * torch.linalg.slogdet(flat @ flat.mT).logabsdet
        metric = 0.5 * torch.linalg.slogdet(self._gram(x, basis)).logabsdet
        return value + metric - metric.detach()

    def log_det_exp(self, x: Tensor, u: Tensor) -> Tensor:
        """log |det d(exp_x)_u| between orthonormal frames of T_xM and T_{exp_x(u)}M, ``(*batch,)``, by autodiff.

        The frames carry no gradient. What they lose where the metric varies is given back through
        ``log_sqrt_det_metric`` at both ends.
        """
        y = self.expmap(x, u)
        foot = y.detach()
        source, target = self.tangent_basis(x), self.tangent_basis(foot)
        axis = len(self._batch(x))

        def push(v: Tensor) -> Tensor:
            return torch.func.jvp(lambda w: self.expmap(x, w), (u,), (v,))[1]

        images = torch.func.vmap(push, in_dims=axis, out_dims=axis)(source)
        point = foot.unsqueeze(axis).unsqueeze(axis)
        jacobian = self.inner(point, target.unsqueeze(axis + 1), images.unsqueeze(axis))
        correction = self.log_sqrt_det_metric(y) - self.log_sqrt_det_metric(x)
        return torch.linalg.slogdet(jacobian).logabsdet + correction - correction.detach()

    # ---- promises -----------------------------------------------------------------------------------------------

    def safe_radius(self, dtype: torch.dtype) -> float:
        """Distance from the origin within which the maps keep their promised accuracy."""
        return math.inf

    # ---- helpers ------------------------------------------------------------------------------------------------

    def _batch(self, x: Tensor) -> torch.Size:
        return x.shape[: x.dim() - len(self.shape)]

    def _wide(self, numbers: Tensor) -> Tensor:
        """Numbers ``(*batch,)`` as factors of points."""
        return numbers.reshape(*numbers.shape, *(1,) * len(self.shape))

    def _sum(self, u: Tensor, *, keepdim: bool = False) -> Tensor:
        return u.sum(tuple(range(-len(self.shape), 0)), keepdim=keepdim)

    def _gram(self, x: Tensor, frame: Tensor) -> Tensor:
        axis = len(self._batch(x))
        return self.inner(x.unsqueeze(axis).unsqueeze(axis), frame.unsqueeze(axis), frame.unsqueeze(axis + 1))

    def _check_point_on_manifold(self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5) -> tuple[bool, str | None]:
        return _close(self.projx(x), x, atol, rtol, f"deviation from {self}")

    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        return _close(self.proju(x, u), u, atol, rtol, "normal part")

    def extra_repr(self) -> str:
        return ""

    def __repr__(self) -> str:
        return self.spec


def _close(projected: Tensor, given: Tensor, atol: float, rtol: float, what: str) -> tuple[bool, str | None]:
    if not given.numel():
        return True, None
    deviation, bound = (projected - given).abs().amax(), atol + rtol * given.abs().amax()
    if bool(deviation <= bound):
        return True, None
    return False, f"largest {what} is {float(deviation):.3g}, allowed {float(bound):.3g}"
