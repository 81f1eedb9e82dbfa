r"""Estimates of the volume change of a pair of networks, at one product with each Jacobian for each probe.

Let f be the encoder, g the decoder and z = f(x). Where g inverts f, :math:`\nabla\log|\det Df(x)|` is the expected
gradient of :math:`\langle v,\ Df(x)\,Dg(z)\,v\rangle_z` with the decoder's factor held still (the encoder's
surrogate), and that of its negative with the encoder's held still (the decoder's). Where they are not inverse the two
differ, and one of them brings the pair back to being inverse along v: see ``Surrogates.restoring``.
Draxler, Sorrenson, Zimmermann, Rousselot and Köthe, *Free-form flows: make any architecture a normalizing flow* (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.calculus import TangentMap, isotropic
from manifold_gen.manifolds.base import Manifold


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
    # in reverse: one pass through the encoder gives z and the covector ⟨v, Df ·⟩, which then meets any tangent at x
    z, pull = torch.func.vjp(lambda p: encoder(p, context), x)
    vectors = torch.stack([manifold.from_coordinates(z.detach(), v) for v in isotropic(probes)])
    covectors = torch.stack([pull(dual)[0] for dual in _duals(manifold, z.detach(), vectors)])
    image, pushed = decoder.pushforward(z, manifold.proju(z.expand_as(vectors), vectors), context)
    # what sticks out of T_xM where g(z) moves is no tangent, and how the encoder goes on outside M must not matter
    pushed = torch.stack([manifold.proju(x, manifold.transp(image.detach(), x, w)) for w in pushed])
    trace = (covectors * pushed.detach()).flatten(z.dim() - len(manifold.shape) + 1).sum(-1)
    paired = (covectors.detach() * pushed).flatten(z.dim() - len(manifold.shape) + 1).sum(-1)
    at_z, at_image = manifold.log_sqrt_det_metric(z), manifold.log_sqrt_det_metric(image)
    forth, back = trace + at_z, -(paired + at_image - at_z)
    value = trace.detach()
    return Surrogates(z, image, value + forth - forth.detach(), value + back - back.detach(), value - manifold.dim)


@torch.no_grad()
def _duals(manifold: Manifold, z: Tensor, vectors: Tensor) -> Tensor:
    """The linear forms u ↦ ⟨v, u⟩_z as arrays of the coordinates of u, one a vector."""

    def against(u: Tensor) -> Tensor:
        return torch.stack([manifold.inner(z, v, w) for v, w in zip(vectors, u, strict=True)])

    products, pull = torch.func.vjp(against, vectors)
    return pull(torch.ones_like(products))[0]
