"""The matrix Fisher distribution on SO(3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from manifold_gen.distributions.base import Family
from manifold_gen.distributions.drawing import normals, uniforms
from manifold_gen.distributions.parameters import ArrayLike, Fixed, as_points, as_real, require
from manifold_gen.distributions.precisions import fit_precisions
from manifold_gen.distributions.quadrature import RULE, LogIntegral, log_bessel, log_integral
from manifold_gen.manifolds.conversions import matrix_from_quaternion, quaternion_from_displacement
from manifold_gen.manifolds.rotations import SO3

_NEGLIGIBLE = 40.0  # exp(−40) is below rounding
_BISECTIONS = 60


class MatrixFisher(Family):
    r"""Matrix Fisher on SO(3), p(R) ∝ exp(tr FᵀR), by its mode and its precision there.

    .. math:: \log p(R) = -2\, v^\top P v - \log c(\lambda) - \log 8\pi^2

    with v the vector part of the unit quaternion of modeᵀR, λ₁ ≤ λ₂ ≤ λ₃ the eigenvalues of P, and

    .. math:: c = \tfrac12 \int_0^2 e^{-\lambda_1 w}\, \tilde I(\tfrac12 (\lambda_2 - \lambda_1) w)\,
              \tilde I(\tfrac12 \lambda_3 (2 - w))\,dw, \quad \tilde I(z) = e^{-z} I_0(z).

    Then F = mode · (½ tr(P) I − P), and for large P the rotation vector of modeᵀR is normal with covariance P⁻¹. On
    quaternions it is Bingham's distribution. A precision of 0 in one direction leaves rotations about it free. Good to
    1e-9 for precisions up to 1e6. Sources: Khatri and Mardia, JRSS B 39, 1977; Lee, IEEE TAC 63, 2018, for the
    integral; Kent, Ganeiban and Mardia, JCGS 27, 2018, for the sampler, which is exact.

    Args:
        loc: the mode, ``(3, 3)`` or ``(K, 3, 3)`` for K members.
        precision: P in the body frame, symmetric and positive semidefinite, ``(3, 3)`` or ``(K, 3, 3)``; or a number
            ``()`` or ``(K,)`` for all directions alike.

    Raises:
        ValueError: a parameter is not finite, not a rotation, not positive semidefinite, or of a shape that does not
            fit.

    Example:
        >>> d = MatrixFisher(torch.eye(3), 0.0)
        >>> round(float(d.log_prob(torch.eye(3))), 3)  # uniform, −log 8π²
        -4.369
    """

    def __init__(self, loc: ArrayLike, precision: ArrayLike) -> None:
        mode = as_points(loc, SO3(), "loc")
        super().__init__(SO3(), tuple(mode.shape[:-2]))
        matrix = _as_matrices(as_real(precision, "precision").to(mode), self.batch_shape)
        values = torch.linalg.eigvalsh(matrix.double())
        rounding = 1e-5 * values[..., -1:].abs() + 1e-12
        require((values >= -rounding).all(-1), "precision", values[..., 0], "positive semidefinite")
        self._loc, self._precision = Fixed(mode), Fixed(matrix)

    @property
    def loc(self) -> Tensor:
        """Modes, ``(*batch_shape, 3, 3)``."""
        return self._loc()

    @property
    def precision(self) -> Tensor:
        """Precisions in the body frame, ``(*batch_shape, 3, 3)``."""
        return self._precision()

    def widened(self, factors: Sequence[float]) -> MatrixFisher:
        """Precisions over the squares of ``factors``, see ``Family``."""
        precision = torch.cat([self.precision / factor**2 for factor in factors])
        return MatrixFisher(self.loc.repeat(len(factors), 1, 1), precision)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of rotations ``(*batch, 3, 3)``."""
        loc, precision = self.loc.to(x), self.precision.to(x)
        v = quaternion_from_displacement(loc.mT @ (x - loc))[..., 1:]
        quadratic = (v * (precision @ v.unsqueeze(-1)).squeeze(-1)).sum(-1)
        return -2 * quadratic - (self._log_constant() + self.manifold.log_volume).to(x)

    def _log_constant(self) -> Tensor:
        return log_fisher_constant(torch.linalg.eigvalsh(self.precision.double()).clamp(min=0.0)).value

    def draw(self, member: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One point of each listed member, ``(m, 3, 3)``."""
        member = member.to(self.loc.device)
        values, axes = torch.linalg.eigh(self.precision.double().reshape(-1, 3, 3))
        values, axes = values.clamp(min=0.0)[member], axes[member]
        q = sample_bingham(torch.cat([torch.zeros_like(values[:, :1]), 2 * values], -1), generator)
        v = (axes @ q[:, 1:].unsqueeze(-1)).squeeze(-1)
        turn = matrix_from_quaternion(torch.cat([q[:, :1], v], -1))
        return self.manifold.projx((self.loc.double().reshape(-1, 3, 3)[member] @ turn).to(self.loc.dtype))

    # ---- exponential family -------------------------------------------------------------------------------------

    @staticmethod
    def statistics(x: Tensor) -> Tensor:
        """Sufficient statistics: the nine entries, ``(N, 9)``."""
        return x.reshape(-1, 9)

    def natural(self) -> tuple[Tensor, Tensor]:
        """Natural parameters F, ``(*batch_shape, 9)``, and the log-normaliser."""
        trace = self.precision.diagonal(dim1=-2, dim2=-1).sum(-1)
        eye = torch.eye(3, dtype=trace.dtype, device=trace.device)
        eta = self.loc @ (trace[..., None, None] / 2 * eye - self.precision)
        return eta.flatten(-2), self._log_constant().to(trace) + trace / 2 + self.manifold.log_volume

    @classmethod
    def from_moments(cls, moments: Tensor, kappa_max: float, start: Self | None = None) -> Self:
        """Maximum likelihood for mean matrices ``(K, 9)``, precisions at most ``kappa_max``, sought from ``start``."""
        left, length, right = torch.linalg.svd(moments.unflatten(-1, (3, 3)))
        sides = torch.linalg.det(left @ right).sign()
        proper = torch.ones_like(length)
        proper[:, 2] = sides
        loc = (left * proper.unsqueeze(-2)) @ right
        deficit = 1 - length * proper
        spread = deficit.sum(-1, keepdim=True) - 2 * deficit
        near = None if start is None else torch.linalg.eigvalsh(start.precision)
        values, _ = fit_precisions(spread, log_fisher_constant, kappa_max, near)
        return cls(loc, right.mT @ (values.unsqueeze(-1) * right))


def _as_matrices(precision: Tensor, batch: torch.Size) -> Tensor:
    """Scalars to multiples of the identity; symmetric parts of matrices; expanded to the batch."""
    expected = (*batch, 3, 3)
    eye = torch.eye(3, dtype=precision.dtype, device=precision.device)
    if precision.shape in (torch.Size(()), batch):
        return (precision[..., None, None] * eye).expand(expected)
    if precision.shape not in (torch.Size((3, 3)), torch.Size(expected)):
        raise ValueError(
            f"precision of shape {tuple(precision.shape)} must be a number for all directions, () or {tuple(batch)}, "
            f"or a matrix, (3, 3) or {expected}"
        )
    return ((precision + precision.mT) / 2).expand(expected)


def log_fisher_constant(values: Tensor) -> LogIntegral:
    """log ∫ exp(−2 vᵀ P v) for the uniform probability on SO(3), with two derivatives in the eigenvalues of P.

    Args:
        values: λ₁ ≤ λ₂ ≤ λ₃, ``(*batch, 3)``, at least 0.

    Example:
        >>> float(log_fisher_constant(torch.zeros(1, 3)).value.abs()) < 1e-12
        True
    """
    flat = values.double().reshape(-1, 3)
    first, second, third = (value.unsqueeze(-1) for value in flat.unbind(-1))
    end = (_NEGLIGIBLE / first.clamp(min=_NEGLIGIBLE / 2)).detach()
    w, log_weight = end * RULE.node.to(end), RULE.log_weight.to(end) + torch.log(end / 2)
    rest = torch.where(end == 2, 2 * RULE.rest.to(end), 2 - w)
    near, far = (second - first) * w / 2, third * rest / 2
    near_log, near_slope, near_bend = log_bessel(near)
    far_log, far_slope, far_bend = log_bessel(far)
    terms = -first * w + near_log + far_log
    slopes = torch.stack([-w * (1 + near_slope), w * (near_slope - 1), rest * (far_slope - 1)], -1) / 2
    bends = slopes.new_zeros(*w.shape, 3, 3)
    curve = w.square() * near_bend / 4
    bends[..., 0, 0], bends[..., 1, 1], bends[..., 2, 2] = curve, curve, rest.square() * far_bend / 4
    bends[..., 0, 1], bends[..., 1, 0] = -curve, -curve
    out = log_integral(terms + log_weight, slopes, bends)
    batch = values.shape[:-1]
    return LogIntegral(out.value.reshape(batch), out.gradient.reshape(values.shape), out.hessian.reshape(*batch, 3, 3))


def sample_bingham(form: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Unit vectors with density ∝ exp(−Σ aᵢ qᵢ²), one for each row of a ≥ 0 with least entry 0, ``(m, d)`` in float64.

    Rejection from the angular central Gaussian with Ω = I + 2 diag(a)/b, where Σ 1/(b + 2 aᵢ) = 1 makes it tightest.
    """
    form = form.double()
    size = form.shape[-1]
    low, high = torch.ones_like(form[:, :1]), torch.full_like(form[:, :1], float(size))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = (1 / (middle + 2 * form)).sum(-1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    b = (low + high).squeeze(-1) / 2
    omega = 1 + 2 * form / b.unsqueeze(-1)
    bound = -(size - b) / 2 + size / 2 * torch.log(size / b)
    q = torch.zeros_like(form)
    todo = torch.arange(form.shape[0], device=form.device)
    while todo.numel():
        g = normals(todo.numel(), size, like=form, generator=generator) * omega[todo].rsqrt()
        point = g / torch.linalg.vector_norm(g, dim=-1, keepdim=True)
        squared = point.square()
        log_ratio = -(form[todo] * squared).sum(-1) + size / 2 * torch.log((omega[todo] * squared).sum(-1))
        u = uniforms(todo.numel(), like=form, generator=generator)
        accept = log_ratio - bound[todo] >= torch.log(u)
        q = q.index_put((todo[accept],), point[accept])
        todo = todo[~accept]
    return q
