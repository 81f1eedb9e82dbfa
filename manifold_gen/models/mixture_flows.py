r"""Flows from a fitted mixture, see ``mixture_base``: of one evaluation, and of an ODE."""

from __future__ import annotations

from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.flow_matching import FlowMatching
from manifold_gen.models.free_form_flow import FreeFormFlow
from manifold_gen.models.mixture_base import FromMixture


class MixtureBaseFlow(FromMixture, FreeFormFlow):
    """A ``FreeFormFlow`` from a mixture fitted to the training points.

    Args:
        manifold: where data and latents live.
        components: of the mixture, at most; as many as raise the likelihood of held-out points.
        options: as in ``FreeFormFlow``, but that ``volume="auto"`` is ``"inverse"`` up to dimension 8.

    Raises:
        UsageError: fewer than one component, clouds of many sizes, or as ``FreeFormFlow``.

    Example:
        >>> import torch
        >>> from manifold_gen.manifolds import Torus
        >>> flow = MixtureBaseFlow(Torus(2), components=4, width=8, depth=1)
        >>> flow.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    # Beginning at the data, a flow has only fine structure left to learn, and the encoder's volume learns it for the
    # encoder: on RNA's torsions its likelihood rose by a nat in 3,000 steps, and the decoder's by 0.2.
    inverse_up_to = 8

    def __init__(self, manifold: Manifold, *, components: int = 128, **options: object) -> None:
        super().__init__(manifold, **options)
        self.begin_at(components)


class MixtureBaseMatching(FromMixture, FlowMatching):
    """``FlowMatching`` from a mixture fitted to the training points: geodesics begin at draws of the mixture.

    Args:
        manifold: where data and latents live.
        components: of the mixture, at most; as many as raise the likelihood of held-out points.
        options: as in ``FlowMatching``.

    Raises:
        UsageError: fewer than one component, clouds of many sizes, or as ``FlowMatching``.

    Example:
        >>> import torch
        >>> from manifold_gen.manifolds import Torus
        >>> flow = MixtureBaseMatching(Torus(2), components=4, width=8, depth=1, steps=2)
        >>> flow.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    def __init__(self, manifold: Manifold, *, components: int = 128, **options: object) -> None:
        super().__init__(manifold, **options)
        self.begin_at(components)
