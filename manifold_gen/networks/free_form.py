"""A plain network as a map from a manifold to itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.networks.features import WaveFeatures
from manifold_gen.networks.residual import ResidualNetwork

HEADS = ("auto", "projection", "displacement")


class FreeFormMap(nn.Module):
    r"""x ↦ head(x, network(features(x), context)), with no constraint on the network.

    The head keeps the result on the manifold:

    - ``"projection"``: ``manifold.unembed(embed(x) + y)``, as published: steep maps come easily, since an output near
      the origin of the embedding turns fast. Singular where the network leads through a point with no nearest one.
    - ``"displacement"``: ``manifold.displace(x, y)``. It has no singular point, and the map is homotopic to the
      identity, so on a compact manifold every point has a preimage.
    - ``"auto"``: ``manifold.advance(x, y)``: the projection, but the displacement in hyperbolic space.

    Args:
        manifold: domain and range.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, how their amplitudes fall.
        stages: residual networks one after the other, each seeing the point that the last one reached: steep maps are
            products of gentle ones, and the volume changes add.
        head: one of the three above.
        context_features: length of the context vector, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Raises:
        UsageError: an unknown head.

    Example:
        >>> from manifold_gen.manifolds import SO3
        >>> g = FreeFormMap(SO3(), width=8, depth=1)
        >>> float(SO3().dist(g(torch.eye(3)), torch.eye(3)).detach())  # at the start, the identity
        0.0
    """

    def __init__(
        self,
        manifold: Manifold,
        width: int = 64,
        depth: int = 3,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        stages: int = 1,
        head: str = "auto",
        context_features: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise UsageError(f"head is {head!r}; expected one of {', '.join(HEADS)}")
        self.manifold, self.head = manifold, head
        self.features = WaveFeatures(manifold, frequency, waves, seed, decay)
        sizes = {"projection": manifold.embed_dim, "displacement": manifold.displacement_dim}
        outputs = sizes.get(head, manifold.advance_dim)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = nn.ModuleList(
                ResidualNetwork(self.features.out_features, outputs, width, depth, context_features)
                for _ in range(stages)
            )

    def open(self, fraction: float) -> None:
        """Let the waves in, long ones first; all of them from ``fraction`` 1 on."""
        self.features.open(fraction)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Images of the points ``x``."""
        for k in range(len(self.networks)):
            x = self.stage(k, x, context)
        return x

    def stage(self, k: int, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Images of the points under the residual network number ``k`` alone."""
        return self.place(x, self.networks[k](self.features(x), context))

    def pushforward(self, x: Tensor, tangents: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images of the points, and of ``tangents`` ``(m, *batch, *shape)`` under the differential."""
        for network in self.networks:
            features, moved = self.features.pushforward(x, tangents)
            y, dy = network.pushforward(features, moved, context)

            def push(u: Tensor, v: Tensor, x: Tensor = x, y: Tensor = y) -> Tensor:
                return torch.func.jvp(self.place, (x, y), (u, v))[1]

            x, tangents = self.place(x, y), torch.func.vmap(push)(tangents, dy)
        return x, tangents

    def place(self, x: Tensor, y: Tensor) -> Tensor:
        """The point that the network output ``y`` stands for at ``x``."""
        if self.head == "displacement":
            return self.manifold.displace(x, y)
        if self.head == "projection":
            return self.manifold.unembed(self.manifold.embed(x) + y)
        return self.manifold.advance(x, y)
