"""Mixtures of the members of one batched family."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen.distributions.base import Distribution, Family
from manifold_gen.distributions.drawing import categories
from manifold_gen.distributions.parameters import ArrayLike, Fixed, as_real


class Mixture(Distribution):
    r"""p(x) = Σₖ wₖ pₖ(x), with w = softmax(logits) and the K members held as one batched family.

    Args:
        components: a family with ``batch_shape`` ``(K,)``.
        logits: ``(K,)`` unnormalised log-weights.
        learnable: hold the logits as a parameter; the components say for themselves whether they learn.

    Raises:
        ValueError: the components carry no batch axis, or the logits do not match it.

    Example:
        >>> from manifold_gen.distributions.von_mises import VonMisesProduct
        >>> pair = VonMisesProduct(loc=[[-1.0], [1.0]], kappa=[[5.0], [5.0]])
        >>> Mixture(pair, torch.zeros(2)).log_prob(torch.zeros(3, 1)).shape
        torch.Size([3])
    """

    def __init__(self, components: Family, logits: ArrayLike, learnable: bool = False) -> None:
        super().__init__(components.manifold)
        weights = as_real(logits, "logits")
        if len(components.batch_shape) != 1 or weights.shape != components.batch_shape:
            raise ValueError(
                f"logits of shape {tuple(weights.shape)} must match the components' batch shape (K,), "
                f"got components of batch shape {tuple(components.batch_shape)}"
            )
        self.components = components
        self._logits: nn.Module = _Logits(weights) if learnable else Fixed(weights)

    @property
    def logits(self) -> Tensor:
        """Unnormalised log-weights, ``(K,)``."""
        return self._logits()

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``; one evaluation of all members at all points."""
        return torch.logsumexp(self._joint(x), -1)

    def responsibilities(self, x: Tensor) -> Tensor:
        """Posterior probability of each member at each point, ``(*batch, K)``."""
        return torch.softmax(self._joint(x), -1)

    def _joint(self, x: Tensor) -> Tensor:
        """log(weight · density) of each member, ``(*batch, K)``."""
        member = self.components.log_prob(x.unsqueeze(x.dim() - len(self.manifold.shape)))
        return member + torch.log_softmax(self.logits, -1).to(member)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points: a member by its weight, then a point of it."""
        member = categories(torch.softmax(self.logits.double(), -1), n, generator)
        return self.components.draw(member, generator)


class _Logits(nn.Module):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value.detach().clone())

    def forward(self) -> Tensor:
        return self.value
