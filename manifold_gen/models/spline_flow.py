r"""Spline flows of the torus: circular splines of single angles, each shaped by a network that sees other angles.

A layer carries an angle :math:`x_i` to :math:`z_i = S(x_i;\, θ_i(x_{<i}))`, S a monotone circular spline. Its Jacobian
is triangular, so that

.. math:: \log p(x) = -n \log 2π + \sum_{\text{layers}} \sum_i \log S'(x_i;\, θ_i(x_{<i}))

is exact, and so is the inverse, angle by angle. In coupling layers "before" means: in the other half.
Rezende et al., *Normalizing flows on tori and spheres* (2020); Durkan et al., *Neural spline flows* (2019).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from manifold_gen import seeds
from manifold_gen.distributions import default_base
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.angular import AngularModel
from manifold_gen.networks.circular_spline import SMALLEST_BIN, circular_spline, spline_size
from manifold_gen.networks.conditioner import Conditioner
from manifold_gen.networks.context import ContextEmbedding

STRUCTURES = ("coupling", "autoregressive")
MOST_BINS = round(0.5 / SMALLEST_BIN)


class SplineLayer(nn.Module):
    """One spline for each angle, shaped by the angles of the blocks before its own.

    Args:
        blocks: the angles' numbers, parted; the first block's splines depend on the context alone.
        phases: ``(n,)`` where the splines start at first.
        bins: K of each spline.
        context_features: length of the embedded context.
        width, depth, harmonics: of the networks, one a block.
    """

    def __init__(
        self, blocks: list[list[int]], phases: Tensor, *, bins: int, context_features: int, **size: int
    ) -> None:
        super().__init__()
        self.blocks, self.size = blocks, spline_size(bins)
        self.order = [i for block in blocks for i in block]
        self.position = sorted(range(len(self.order)), key=self.order.__getitem__)
        networks, before = [], 0
        for block in blocks:
            start = torch.zeros(len(block), self.size)
            start[:, -1] = phases[block]
            networks.append(Conditioner(before, context_features, start.flatten(), **size))
            before += len(block)
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Latents ``(rows, n)`` and the sum of the splines' log-slopes ``(rows,)``."""
        x = x[:, self.order]
        shapes, before = [], 0
        for block, network in zip(self.blocks, self.networks, strict=True):
            shapes.append(network(x[:, :before], context).unflatten(-1, (len(block), self.size)))
            before += len(block)
        z, log_slope = circular_spline(x, torch.cat(shapes, -2))
        return z[:, self.position], log_slope.sum(-1)

    def inverse(self, z: Tensor, context: Tensor | None) -> Tensor:
        """The points ``(rows, n)`` of latents, block after block."""
        z = z[:, self.order]
        x = z[:, :0]
        for block, network in zip(self.blocks, self.networks, strict=True):
            shape = network(x, context).unflatten(-1, (len(block), self.size))
            here = z[:, x.shape[-1] : x.shape[-1] + len(block)]
            x = torch.cat([x, circular_spline(here, shape, inverse=True)[0]], -1)
        return x[:, self.position]


class SplineFlow(AngularModel):
    """Circular splines in layers, from the data to uniform angles, with an exact likelihood and exact samples.

    With ``structure="coupling"`` each layer parts the angles in two halves, by their numbers' binary digits so that
    every two angles are parted by some layer; sampling takes one pass. With ``"autoregressive"`` every angle waits for
    those before it, in an order that is reversed from layer to layer; sampling takes a pass for each angle. One angle
    alone has nothing to be conditioned on: its splines are plain parameters, or depend on the context.

    Args:
        manifold: a torus, or a product of tori.
        structure: ``"coupling"`` or ``"autoregressive"``.
        layers: how many.
        bins: of each spline.
        width, depth: of each residual network.
        harmonics: cosines and sines of each angle that the networks see.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the phases and of the initial weights.

    Raises:
        UsageError: a manifold whose points are not angles, an unknown structure, no layer, or too few or many bins.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> flow = SplineFlow(Torus(2), layers=2, width=8, depth=1)
        >>> flow.log_prob(torch.zeros(1, 2)).detach()  # untrained, every layer is a rotation: uniform, −2 log 2π
        tensor([-3.6758])
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        structure: str = "coupling",
        layers: int = 6,
        bins: int = 16,
        width: int = 64,
        depth: int = 2,
        harmonics: int = 6,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        super().__init__(manifold, ContextEmbedding(context_features, context_categories))
        if structure not in STRUCTURES:
            raise UsageError(f"structure is {structure!r}; expected one of {', '.join(STRUCTURES)}")
        if layers < 1 or not 1 <= bins <= MOST_BINS:
            raise UsageError(f"layers is {layers} and bins {bins}; expected at least 1 and 1 to {MOST_BINS}")
        self.hyperparameters = hyperparameters
        self.base = default_base(manifold)
        size = {"bins": bins, "width": width, "depth": depth, "harmonics": harmonics}
        phases = torch.rand(layers, manifold.dim, generator=seeds.generator(seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.context = ContextEmbedding(context_features, context_categories)
            self.layers = nn.ModuleList(
                SplineLayer(
                    partition(structure, manifold.dim, number),
                    2 * math.pi * phases[number],
                    context_features=self.context.out_features,
                    **size,
                )
                for number in range(layers)
            )

    @property
    def evaluations(self) -> int:
        """1 for coupling, n for autoregressive layers."""
        return 1 if self.hyperparameters["structure"] == "coupling" else self.manifold.dim

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Latents of the points ``x``, shape as ``x``."""
        rows, here = self._rows(x, context)
        return self._to_base(rows, here)[0].reshape(x.shape)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Points of the latents ``z``, shape as ``z``: the inverse of ``encode``."""
        rows, here = self._rows(z, context)
        return self._from_base(rows, here).reshape(z.shape)

    def reconstruction_error(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """dist(decode(encode(x)), x), ``(*batch,)``: rounding alone."""
        return self.manifold.dist(self.decode(self.encode(x, context), context), x)

    def _log_prob_rows(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, log_slope = self._to_base(x, context)
        return self.base.log_prob(z) + log_slope

    def _sample_rows(self, rows: int, context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return self._from_base(self.base.sample(rows, generator=generator), context)

    def _to_base(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(x[:, 0])
        for layer in self.layers:
            x, log_slope = layer(x, context)
            total = total + log_slope
        return x, total

    def _from_base(self, z: Tensor, context: Tensor | None) -> Tensor:
        for layer in reversed(self.layers):
            z = layer.inverse(z, context)
        return z


class AutoregressiveSplineFlow(SplineFlow):
    """``SplineFlow`` with ``structure="autoregressive"``, under a name and with sizes of its own.

    Args:
        manifold: a torus, or a product of tori.
        layers, bins, width, depth, harmonics, context_features, context_categories, seed: as for ``SplineFlow``.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> AutoregressiveSplineFlow(Torus(3), layers=1, width=8).evaluations
        3
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        layers: int = 1,
        bins: int = 32,
        width: int = 64,
        depth: int = 2,
        harmonics: int = 6,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        super().__init__(manifold, structure="autoregressive", **hyperparameters)
        self.hyperparameters = hyperparameters

    @property
    def evaluations(self) -> int:
        """n: every angle waits for those before it."""
        return self.manifold.dim


def partition(structure: str, n: int, number: int) -> list[list[int]]:
    """Blocks of the angles 0 … n−1 in the layer of that number.

    Example:
        >>> [partition("coupling", 3, number) for number in range(4)]
        [[[0, 2], [1]], [[1], [0, 2]], [[0, 1], [2]], [[2], [0, 1]]]
        >>> partition("autoregressive", 3, 1), partition("coupling", 1, 0)
        ([[2], [1], [0]], [[0]])
    """
    if structure == "autoregressive" or n == 1:
        blocks = [[i] for i in range(n)]
    else:
        digit = (number // 2) % (n - 1).bit_length()
        blocks = [[i for i in range(n) if (i >> digit) % 2 == side] for side in (0, 1)]
    return blocks[::-1] if number % 2 else blocks
