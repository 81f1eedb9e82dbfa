r"""MeanFlow on manifolds: the average velocity of a flow, learned from data alone by an identity that it obeys.

As in ``flow_map``, :math:`X_{s,t}(x) = \exp_x\big((t - s)\, u_{s,t}(x)\big)` is written by an average velocity u. Along
a path of the flow, :math:`\dot x_s = v(x_s, s)`, the arrival at time t is the same from every point of the path:

.. math:: \frac{d}{ds} X_{s,t}(x_s) = 0.

In flat space, where X = x + (t − s) u, this reads :math:`v + (t - s)\frac{du}{ds} - u = 0`, the MeanFlow identity. On a
manifold the derivative is a vector at the arrival, and its parallel transport back to the start,

.. math:: r[v] = P_{X \to x_s} \frac{d}{ds} X_{s,t}(x_s),

takes the place of the left-hand side: it is :math:`v - u` at s = t, and the differential of exp, which stands between
the two elsewhere, is invertible for |(t − s) u| below the injectivity radius. No logarithm enters, so no cut locus.

The field v is the mean of the velocities :math:`\dot x_s` of the geodesics from latents to data points. The path is
followed with the network's own field :math:`v = u_{s,s}`, held still as the derivative is, and u is regressed on

.. math:: \mathrm{sg}\big(u + r[v] + \dot x_s - v\big),

whose mean is u exactly where the identity holds. Were the path followed with :math:`\dot x_s` itself, the map's
differential would enlarge the noise of that velocity. Squares are not weighted by their size: in few dimensions that
would turn the mean into a median.

Geng et al., *Mean flows for one-step generative modeling* and *Improved mean flows* (2025), in flat space.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen.derivatives import derivative_along
from manifold_gen.errors import UsageError
from manifold_gen.geodesics import geodesic
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.flow_map import FewStepModel
from manifold_gen.networks.choose import two_time_field
from manifold_gen.networks.context import ContextEmbedding


class MeanFlow(FewStepModel):
    """The average velocity of the flow-matching field, by the MeanFlow identity.

    Args:
        manifold: where data and latents live; its exponential map and logarithm draw the paths.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, and how their amplitudes fall.
        time_waves: how many waves of each time the network sees.
        diagonal: share of the rows with s = t, which are flow matching and carry no error of the network's own.
        origin: share of the others that start at time 0, where a sample in one step does.
        steps: evaluations per sample unless a call names its own.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Raises:
        UsageError: fewer than one step, or a share outside [0, 1].

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> flow = MeanFlow(Torus(2), width=16, depth=1)
        >>> flow.sample(3, steps=2).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        width: int = 64,
        depth: int = 3,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        time_waves: int = 4,
        diagonal: float = 0.5,
        origin: float = 0.5,
        steps: int = 1,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        for name, value in (("diagonal", diagonal), ("origin", origin)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is {value}; expected a number from 0 to 1")
        embedding = ContextEmbedding(context_features, context_categories)
        field = two_time_field(
            manifold, width, depth, frequency, waves, decay, time_waves, embedding.out_features, seed
        )  # fmt: skip
        super().__init__(manifold, field, embedding, steps)
        self.hyperparameters = hyperparameters

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Latents of the base, and pairs of times s ≤ t ``(n, 2)``."""
        latent = self.base.sample(n, generator=generator)
        drawn = torch.rand(n, 4, generator=generator, dtype=latent.dtype, device=latent.device)
        s, t = drawn[:, :2].sort(-1).values.unbind(-1)
        start = drawn[:, 2] < self.hyperparameters["origin"]
        s, t = torch.where(start, 0.0, s), torch.where(start, drawn[:, 0], t)
        flat = drawn[:, 3] < self.hyperparameters["diagonal"]
        s, t = torch.where(flat, drawn[:, 0], s), torch.where(flat, drawn[:, 0], t)
        return {"latent": latent, "span": torch.stack([s, t], -1)}

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``mean_flow``: the squared distance of the network from what the identity makes of it."""
        drawn, embedded = self.auxiliary(len(x)) if auxiliary is None else auxiliary, self.context(context)
        s, t = drawn["span"].unbind(-1)
        x_s, velocity = geodesic(self.manifold, drawn["latent"], x, s)
        u = self.field(x_s, s, t, embedded)
        with torch.no_grad():
            v = self.field(x_s, s, s, embedded)
        target = u.detach() + self.residual(x_s, s, t, v, embedded) + velocity - v
        return {"mean_flow": self.manifold.inner(x_s, u - target)}

    def validation(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``matching``: the loss at s = t. Elsewhere it contains the network's own derivatives and grows as they do."""
        drawn = dict(self.auxiliary(len(x)) if auxiliary is None else auxiliary)
        drawn["span"] = drawn["span"][:, 1:].expand(-1, 2)
        return {"matching": self.losses(x, context, drawn)["mean_flow"]}

    def residual(self, x: Tensor, s: Tensor, t: Tensor, velocity: Tensor, context: Tensor | None = None) -> Tensor:
        """r at ``x`` for a path that passes it with ``velocity`` at time ``s``, without gradient.

        ``context`` is embedded already.
        """
        with torch.no_grad():
            output, change = self.field.pushforward(x, s, t, (1.0, 0.0), velocity, context)
        span = self._column(t - s)
        y, rate = derivative_along(self.arrival, (x, span, output), (velocity, -torch.ones_like(span), change))
        return self.manifold.transp(y, x, rate).detach()
