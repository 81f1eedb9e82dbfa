r"""Derivatives of maps between manifolds: Jacobians in tangent frames, volume changes, divergences.

Let g map M to M and let b(x) be its tangent frame, orthonormal for the metric. The Jacobian of g at x is the n × n
matrix :math:`J_{ij} = \langle b_i(g(x)),\ Dg(x)\, b_j(x)\rangle_{g(x)}`; log|det J| is the change of Riemannian volume,
whatever the ambient coordinates are. A frame's turning carries no gradient, since it changes no determinant; what does
carry one is that the frame stays tangent where x moves, and that the metric varies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold

Field = Callable[[Tensor], Tensor]

# Of Jacobians in reverse mode at a time, all points together: pairs of the points of a cloud, of which a network keeps
# many numbers each; elsewhere rows.
_PAIRS, _ROWS = 2**15, 512


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
    size = _rows_at_once(manifold, start)
    rows = torch.func.vmap(lambda v: pull(v.expand_as(start))[0], out_dims=-1, chunk_size=size)(unit).movedim(-1, 0)
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


def divergence_by_rows(field: Field, manifold: Manifold, x: Tensor) -> tuple[Tensor, Tensor]:
    """``field(x)`` and its ``divergence``, in reverse mode: for large networks and many dimensions.

    Rows of the Jacobian are taken a few at a time, so that what they need stays near the processor. On clouds of 4 to
    18 points it takes 2 to 5 times less time than tangents that are carried along (docs/molecules.md).

    Example:
        >>> from manifold_gen.manifolds import Euclidean
        >>> divergence_by_rows(lambda x: x**2, Euclidean(2), torch.tensor([1.0, 2.0]))
        (tensor([1., 4.]), tensor(6.))
    """
    basis, events = frame(manifold, x), len(manifold.shape)

    def coordinates(p: Tensor) -> tuple[Tensor, Tensor]:
        v = field(p)
        return manifold.to_coordinates(x.detach(), manifold.proju(x, v)), v

    start, pull, v = torch.func.vjp(coordinates, x, has_aux=True)

    def entry(direction: Tensor, b: Tensor) -> Tensor:
        return (pull(direction.expand_as(start))[0] * b).flatten(-events).sum(-1)

    unit = torch.eye(manifold.dim, dtype=x.dtype, device=x.device)
    trace = torch.func.vmap(entry, chunk_size=_rows_at_once(manifold, start))(unit, basis).sum(0)
    _, change = torch.func.jvp(manifold.log_sqrt_det_metric, (x,), (v,))
    return v, trace + change


def _rows_at_once(manifold: Manifold, coordinates: Tensor) -> int:
    """How many rows of the Jacobians of a batch ``(*batch, n)`` are taken together."""
    pairs = max(1, torch.Size(manifold.shape[:-1]).numel()) ** 2
    return max(1, min(_ROWS, _PAIRS // pairs) // max(1, coordinates.shape[:-1].numel()))


def divergence_of(manifold: Manifold, x: Tensor, v: Tensor, images: Tensor) -> Tensor:
    """``divergence`` of a field from its values ``v`` and its ambient derivatives ``images`` along ``frame``."""
    projected = manifold.proju(x.expand_as(images), images)
    # In an orthonormal frame the trace of P Dv is the sum of ⟨bᵢ, P Dv bᵢ⟩ whatever multiple of the metric is used.
    trace = in_frame(manifold, x, projected).diagonal(dim1=-2, dim2=-1).sum(-1)
    _, change = torch.func.jvp(manifold.log_sqrt_det_metric, (x,), (v,))
    return trace + change
