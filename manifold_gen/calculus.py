r"""Derivatives of maps between manifolds: Jacobians in tangent frames, volume changes, divergences.

Let g map M to M and let b(x) be its tangent frame, orthonormal for the metric. The Jacobian of g at x is the n × n
matrix :math:`J_{ij} = \langle b_i(g(x)),\ Dg(x)\, b_j(x)\rangle_{g(x)}`; log|det J| is the change of Riemannian volume,
whatever the ambient coordinates are. A frame's turning carries no gradient, since it changes no determinant; what does
carry one is that the frame stays tangent where x moves, and that the metric varies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold

Field = Callable[[Tensor], Tensor]


class TangentMap(Protocol):
    """A map between manifolds that carries tangent vectors along."""

    def __call__(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Images of the points ``x``."""
        ...

    def pushforward(self, x: Tensor, tangents: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images, and the images ``(m, *batch, *shape)`` of ``tangents`` of the same shape under the differential."""
        ...


def pushforward(function: Field, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """``function(x)`` and its derivatives along ``tangents`` ``(m, *x.shape)``, by forward-mode differentiation.

    Example:
        >>> value, images = pushforward(torch.sin, torch.zeros(2), torch.eye(2))
        >>> images
        tensor([[1., 0.],
                [0., 1.]])
    """

    def push(v: Tensor) -> Tensor:
        return torch.func.jvp(function, (x,), (v,))[1]

    return function(x), torch.func.vmap(push)(tangents)


def frame(manifold: Manifold, x: Tensor) -> Tensor:
    """The tangent basis with its index in front, ``(n, *batch, *shape)``: the tangents that ``pushforward`` takes.

    Its gradient in x is the part that keeps it tangent: a map differentiated along it never leaves the manifold, so how
    the map goes on outside cannot matter.
    """
    basis = manifold.tangent_basis(x).movedim(x.dim() - len(manifold.shape), 0)
    return manifold.proju(x.expand_as(basis), basis)


def in_frame(manifold: Manifold, y: Tensor, images: Tensor) -> Tensor:
    """Matrix ``(*batch, n, m)`` of the coordinates of ``images`` ``(m, *batch, *shape)`` in the frame at ``y``.

    Frame and metric are held still.
    """
    return manifold.to_coordinates(y.detach().expand_as(images), images).movedim(0, -1)


def jacobian(g: TangentMap, manifold: Manifold, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Images g(x) and the Jacobian ``(*batch, n, n)`` of ``g`` in the tangent frames of ``manifold``.

    The gradient of its determinant is right in x and in the parameters of g: the change of the metric at both ends,
    which frames held still do not show, enters as a factor of value 1.
    """
    y, images = g.pushforward(x, frame(manifold, x), context)
    change = (manifold.log_sqrt_det_metric(y) - manifold.log_sqrt_det_metric(x)) / manifold.dim
    factor = torch.exp(change - change.detach())
    return y, in_frame(manifold, y, images) * factor[..., None, None]


@torch.no_grad()
def jacobian_by_rows(
    g: Callable[[Tensor, Tensor | None], Tensor], manifold: Manifold, x: Tensor, context: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``jacobian`` in reverse mode and without gradient: half the time where n and the network are large.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> jacobian_by_rows(lambda x, context: x**2, Euclidean(2), torch.tensor([1.0, 2.0]))[1]
        tensor([[2., 0.],
                [0., 4.]])
    """
    y = g(x, context)

    def coordinates(p: Tensor) -> Tensor:
        return manifold.to_coordinates(y, g(p, context))

    start, pull = torch.func.vjp(coordinates, x)
    unit = torch.eye(manifold.dim, dtype=x.dtype, device=x.device)
    rows = torch.func.vmap(lambda v: pull(v.expand_as(start))[0], out_dims=-1)(unit).movedim(-1, 0)
    events = len(manifold.shape)
    rows = rows.flatten(-events).movedim(0, -2)
    return y, rows @ frame(manifold, x).flatten(-events).movedim(0, -1)


def determinant(matrix: Tensor) -> Tensor:
    """Determinant ``(*batch,)`` of ``(*batch, n, n)``, in closed form for n ≤ 3 (no batched LAPACK call)."""
    n = matrix.shape[-1]
    if n == 1:
        return matrix[..., 0, 0]
    if n == 2:
        return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]
    if n == 3:
        a, b, c = matrix.unbind(-1)
        return (a * torch.linalg.cross(b, c)).sum(-1)
    return torch.linalg.det(matrix)


def log_abs_det(matrix: Tensor) -> Tensor:
    """log|det| ``(*batch,)``; −inf where singular."""
    if matrix.shape[-1] <= 3:
        return determinant(matrix).abs().log()
    return torch.linalg.slogdet(matrix).logabsdet


def bounded_log_det(matrix: Tensor, smallest: float) -> Tensor:
    """log|det| ``(*batch,)``, with no gradient where n ≤ 3 and |det| is below ``smallest``."""
    if matrix.shape[-1] > 3:
        return log_abs_det(matrix)
    return determinant(matrix).abs().clamp_min(smallest).log()


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Solution ``(*batch, n)`` of ``matrix`` s = ``right``; not finite, without raising, where that is singular."""
    n = matrix.shape[-1]
    if n == 1:
        return right / matrix[..., 0]
    if n == 2:
        adjugate = torch.stack(
            [
                matrix[..., 1, 1] * right[..., 0] - matrix[..., 0, 1] * right[..., 1],
                matrix[..., 0, 0] * right[..., 1] - matrix[..., 1, 0] * right[..., 0],
            ],
            -1,
        )
        return adjugate / determinant(matrix).unsqueeze(-1)
    if n == 3:
        a, b, c = matrix.unbind(-1)
        rows = [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)]
        return torch.stack([(row * right).sum(-1) for row in rows], -1) / determinant(matrix).unsqueeze(-1)
    return torch.linalg.solve_ex(matrix, right.unsqueeze(-1)).result.squeeze(-1)


def isotropic(coefficients: Tensor) -> Tensor:
    r"""Vectors of length √n in the directions of ``coefficients`` ``(…, n)``, so that E[v ⊗ v] = 1 in n dimensions."""
    n = coefficients.shape[-1]
    return coefficients * (n**0.5 / torch.linalg.vector_norm(coefficients, dim=-1, keepdim=True))


def volume_surrogate(
    encoder: TangentMap,
    decoder: TangentMap,
    manifold: Manifold,
    x: Tensor,
    probes: Tensor,
    context: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Latents z = f(x), a scalar whose expected gradient is that of log|det Df(x)| where g inverts f, and how far it
    is from that.

    .. math:: \frac1K\sum_k \langle v_k,\ Df(x)\,\mathrm{sg}[Dg(z)\,v_k]\rangle_z + L(z) - \mathrm{sg}[L(z)]

    with :math:`v_k` isotropic in :math:`T_zM`, scaled by the **intrinsic** dimension, sg the stop-gradient, and L =
    ``log_sqrt_det_metric``: frames, probes and metric are detached, and the last two terms put back what that loses
    where the metric varies along the ambient form. Its value is no log-determinant; only its gradient means something.

    The third, :math:`\frac1K\sum_k |Df(x)\,\mathrm{sg}[Dg(z)\,v_k] - v_k|^2_z`, is 0 where the differentials invert
    each other: the trace grows with Df without end, its gradient right or wrong, and this says when it is wrong.

    Args:
        probes: ``(K, *batch, n)`` directions in the frame at z, of any length.
    """
    with torch.no_grad():
        start = encoder(x, context)
        directions = isotropic(probes)
        tangents = torch.stack([manifold.from_coordinates(start, v) for v in directions])
        back, images = decoder.pushforward(start, tangents, context)
        images = torch.stack([manifold.transp(back, x, image) for image in images])
    z, moved = encoder.pushforward(x, images, context)
    held = z.detach()
    trace = torch.stack([manifold.inner(held, v, w) for v, w in zip(tangents, moved, strict=True)]).mean(0)
    mismatch = torch.stack([manifold.inner(held, w - v) for v, w in zip(tangents, moved, strict=True)]).mean(0)
    density = manifold.log_sqrt_det_metric(z)
    return z, trace + density - density.detach(), mismatch


@dataclass(frozen=True)
class Surrogates:
    """Both surrogates of the volume change, one a probe.

    Attributes:
        latent: z = f(x), ``(*batch, *shape)``.
        image: g(z), of the same shape.
        encoder: scalars ``(K, *batch)`` whose expected gradient is that of log|det Df(x)| where g inverts f.
        decoder: scalars ``(K, *batch)`` whose expected gradient is that of −log|det Dg(z)| there.
        excess: c = ⟨v, (Df(x) Dg(z) − 1) v⟩_z ``(K, *batch)``, without gradient; 0 where g inverts f.
    """

    latent: Tensor
    image: Tensor
    encoder: Tensor
    decoder: Tensor
    excess: Tensor

    @property
    def conditional(self) -> Tensor:
        """The encoder's surrogate where c > 0 and the decoder's elsewhere, the mean over probes, ``(*batch,)``."""
        return torch.where(self.excess > 0, self.encoder, self.decoder).mean(0)

    @property
    def restoring(self) -> Tensor:
        """The decoder's surrogate where c > 0 and the encoder's elsewhere, ``(*batch,)``.

        To raise the encoder's is to raise c, to raise the decoder's is to lower it: so chosen, they bring it back to 0.
        """
        return torch.where(self.excess > 0, self.decoder, self.encoder).mean(0)


def volume_surrogates(
    encoder: TangentMap,
    decoder: TangentMap,
    manifold: Manifold,
    x: Tensor,
    probes: Tensor,
    context: Tensor | None = None,
) -> Surrogates:
    r"""The encoder's surrogate of ``volume_surrogate`` and, from the same probes, the decoder's.

    .. math:: -\langle v,\ \mathrm{sg}[Df(x)]\, Dg(z) P_z v\rangle_z - (L(g(z)) - L(z)), \qquad z = f(x),

    P_z the projection to :math:`T_zM`, which keeps v tangent where z moves with the encoder. Both have the value of
    the trace, so that a logged loss does not jump between them; only their gradients mean something.

    Args:
        probes: ``(K, *batch, n)`` directions in the frame at z, of any length.

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> class Scaling:  # x ↦ a x
        ...     def __init__(self, a): self.a = a
        ...     def __call__(self, x, context=None): return self.a * x
        ...     def pushforward(self, x, tangents, context=None): return self.a * x, self.a * tangents
        >>> found = volume_surrogates(Scaling(2.0), Scaling(0.75), Euclidean(1), torch.ones(1), torch.ones(1, 1))
        >>> found.excess  # 2 · 0.75 − 1
        tensor([0.5000])
    """
    z = encoder(x, context)
    held = z.detach()
    vectors = torch.stack([manifold.from_coordinates(held, v) for v in isotropic(probes)])
    image, pushed = decoder.pushforward(z, manifold.proju(z.expand_as(vectors), vectors), context)
    # what sticks out of T_xM where g(z) moves is no tangent, and how the encoder goes on outside M must not matter
    pushed = torch.stack([manifold.proju(x, manifold.transp(image.detach(), x, w)) for w in pushed])

    def traces(w: Tensor) -> Tensor:
        _, moved = encoder.pushforward(x, w, context)
        return torch.stack([manifold.inner(held, v, m) for v, m in zip(vectors, moved, strict=True)])

    trace, pull = torch.func.vjp(traces, pushed.detach())
    # ⟨v, Df w⟩ is linear in w: its derivative is the covector of w that holds the encoder still
    (covectors,) = pull(torch.ones_like(trace))
    paired = (covectors.detach() * pushed).flatten(trace.dim()).sum(-1)
    at_z, at_image = manifold.log_sqrt_det_metric(z), manifold.log_sqrt_det_metric(image)
    forth, back = trace + at_z, -(paired + at_image - at_z)
    value = trace.detach()
    return Surrogates(z, image, value + forth - forth.detach(), value + back - back.detach(), value - manifold.dim)


def divergence(field: Field, manifold: Manifold, x: Tensor) -> Tensor:
    r"""Riemannian divergence ``(*batch,)`` of a tangent field, exact.

    :math:`\mathrm{div}\,v = \mathrm{tr}(P\,Dv) + v(L)` with P the tangent projection, D the ambient derivative and L =
    ``log_sqrt_det_metric``; the trace is taken over the tangent frame, n derivatives.

    Example:
        >>> from manifold_gen.manifolds import Sphere
        >>> sphere, north = Sphere(2), torch.tensor([0.0, 0.0, 1.0])
        >>> up = lambda x: sphere.proju(x, torch.tensor([0.0, 0.0, 1.0]).expand_as(x))
        >>> divergence(up, sphere, north)  # −2 cos of the angle from the pole
        tensor(-2.)
    """
    basis = frame(manifold, x)
    return divergence_of(manifold, x, *pushforward(field, x, basis))


def divergence_of(manifold: Manifold, x: Tensor, v: Tensor, images: Tensor) -> Tensor:
    """``divergence`` of a field from its values ``v`` and its ambient derivatives ``images`` along ``frame``."""
    projected = manifold.proju(x.expand_as(images), images)
    # In an orthonormal frame the trace of P Dv is the sum of ⟨bᵢ, P Dv bᵢ⟩ whatever multiple of the metric is used.
    trace = in_frame(manifold, x, projected).diagonal(dim1=-2, dim2=-1).sum(-1)
    _, change = torch.func.jvp(manifold.log_sqrt_det_metric, (x,), (v,))
    return trace + change
