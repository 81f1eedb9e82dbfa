r"""Riemannian flow matching: a vector field that carries the base to the data, learned without simulation.

A latent z of the base and a data point x₁ are joined by the geodesic :math:`x_t = \exp_z(t \log_z x_1)`; the field is
regressed on its velocity,

.. math:: E_{t, z, x_1}\, |v(x_t, t) - \dot x_t|^2_{x_t},

whose minimiser's flow carries the base to the data exactly.
Chen and Lipman, *Flow matching on general geometries* (2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen.geodesics import geodesic
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.continuous import NetworkFlow
from manifold_gen.models.resizing import resized
from manifold_gen.networks.choose import velocity_field
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.ode import Solver


class FlowMatching(GenerativeModel, NetworkFlow):
    """A continuous flow trained on geodesics between base and data; sampling and likelihood integrate its field.

    Args:
        manifold: where data and latents live; its exponential map and logarithm draw the paths.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, and how their amplitudes fall.
        time_waves: how many waves of time the network sees.
        method, steps, tolerance: the default ``Solver``.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Raises:
        UsageError: an unknown method, or fewer than one step.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> flow = FlowMatching(Torus(2), width=16, depth=1, steps=4)
        >>> flow.log_prob(torch.zeros(1, 2)).detach()  # untrained, the field is zero: uniform, −2 log 2π
        tensor([-3.6758])
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
        time_waves: int = 8,
        method: str = "rk4",
        steps: int = 32,
        tolerance: float = 1e-5,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        embedding = ContextEmbedding(context_features, context_categories)
        field = velocity_field(
            manifold, width, depth, frequency, waves, decay, time_waves, embedding.out_features, seed
        )  # fmt: skip
        super().__init__(manifold, field, embedding, Solver(method, steps, tolerance))
        self.hyperparameters = hyperparameters

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Latents of the base and times, one a sample."""
        latent = self.base.sample(n, generator=generator)
        time = torch.rand(n, generator=generator, dtype=latent.dtype, device=latent.device)
        return {"latent": latent, "time": time}

    def on_size(self, manifold: PointCloud) -> FlowMatching:
        """The same networks on clouds of another size; weights are shared, not copied."""
        return resized(self, manifold)

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``matching``: the squared distance of the field from the geodesic's velocity."""
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        x_t, velocity = geodesic(self.manifold, drawn["latent"], x, drawn["time"])
        v = self.velocity(x_t, drawn["time"], self.context(context))
        return {"matching": self.manifold.inner(x_t, v - velocity)}
