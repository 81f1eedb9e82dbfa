r"""An autoregressive model of angles: every angle a mixture of von Mises laws that the angles before it decide.

.. math:: p(x) = \prod_i \sum_{k=1}^K w_{ik}\, \mathrm{vM}(x_i;\, μ_{ik}, κ_{ik}),
   \qquad (w_i, μ_i, κ_i) = \text{network}_i(x_1, …, x_{i-1}, \text{context}).

The likelihood is exact and so is sampling, one angle after the other. Bishop, *Mixture density networks* (1994);
Uria, Côté, Gregor, Murray and Larochelle, *Neural autoregressive distribution estimation* (2016).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifold_gen.distributions.drawing import uniforms
from manifold_gen.distributions.von_mises import sample_von_mises
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.angular import AngularModel
from manifold_gen.networks.conditioner import Conditioner
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.numerics import wrap_angle

_LOG_TWO_PI = math.log(2 * math.pi)


class Autoregressive(AngularModel):
    """Mixtures of von Mises laws, angle by angle; one network an angle, n evaluations a sample.

    Args:
        manifold: a torus, or a product of tori.
        components: K of each mixture.
        concentration: bound of every κ.
        width, depth: of each residual network.
        harmonics: cosines and sines of each angle that the networks see.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the initial weights.

    Raises:
        UsageError: a manifold whose points are not angles, no component, or a bound that is too low.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> model = Autoregressive(Torus(2), width=8, depth=1)
        >>> model.sample(3).shape, model.log_prob(torch.zeros(3, 2)).shape
        (torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        components: int = 24,
        concentration: float = 1e4,
        width: int = 128,
        depth: int = 2,
        harmonics: int = 6,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        super().__init__(manifold, ContextEmbedding(context_features, context_categories))
        tiling = (components / 2) ** 2  # neighbours overlap so much that their equal mixture is uniform
        if components < 1 or concentration < 1 + 2 * tiling:
            raise UsageError(
                f"components is {components} and concentration {concentration}; expected at least 1, "
                f"and more than {1 + 2 * tiling} for so many components"
            )
        self.hyperparameters = hyperparameters
        self.log_bound = math.log(concentration)
        size = {"width": width, "depth": depth, "harmonics": harmonics}
        start = _start(components, self._unbounded(tiling))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.context = ContextEmbedding(context_features, context_categories)
            self.networks = nn.ModuleList(
                Conditioner(i, self.context.out_features, start, **size) for i in range(manifold.dim)
            )

    @property
    def evaluations(self) -> int:
        """n: every angle waits for those before it."""
        return self.manifold.dim

    def _log_prob_rows(self, x: Tensor, context: Tensor | None) -> Tensor:
        shapes = [network(x[:, :i], context) for i, network in enumerate(self.networks)]
        log_weights, loc, log_kappa = self._mixture(torch.stack(shapes, 1))
        kappa = log_kappa.exp()
        deficit = 2 * torch.sin((x.unsqueeze(-1) - loc) / 2).square()  # 1 − cos, without the cancellation
        each = log_weights - kappa * deficit - torch.special.i0e(kappa).log() - _LOG_TWO_PI
        return torch.logsumexp(each, -1).sum(-1)

    def _sample_rows(self, rows: int, context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        x = next(self.parameters()).new_zeros(rows, 0)
        for network in self.networks:
            log_weights, loc, log_kappa = self._mixture(network(x, context))
            cumulative = log_weights.double().exp().cumsum(-1)
            u = uniforms(rows, 1, like=cumulative, generator=generator) * cumulative[:, -1:]
            chosen = torch.searchsorted(cumulative, u, right=True).clamp(max=cumulative.shape[-1] - 1)
            turn = sample_von_mises(log_kappa.gather(-1, chosen).double().exp(), generator)
            angle = wrap_angle((loc.gather(-1, chosen).double() + turn).to(x.dtype))
            x = torch.cat([x, angle], -1)
        return x

    def _mixture(self, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, mean angles and logarithms of κ, each ``(..., K)``."""
        weights, cosine, sine, log_kappa = shape.chunk(4, -1)
        bounded = self.log_bound - F.softplus(self.log_bound - log_kappa)
        return torch.log_softmax(weights, -1), torch.atan2(sine, cosine), bounded

    def _unbounded(self, kappa: float) -> float:
        """What the network answers for κ."""
        return self.log_bound - math.log(math.expm1(self.log_bound - math.log(kappa)))


def _start(components: int, log_kappa: float) -> Tensor:
    """Equal weights, means all round the circle, one concentration."""
    angles = 2 * math.pi * torch.arange(components) / components
    zero = torch.zeros(components)
    return torch.cat([zero, torch.cos(angles), torch.sin(angles), zero + log_kappa])
