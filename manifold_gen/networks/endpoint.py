r"""A network that guesses the clean cloud behind a noisy one, in terms that are of unit size at every noise level.

With :math:`x_t = (1 - t) z + t x_1`, z standard normal, positions of standard deviation σ and
:math:`s_t^2 = (1 - t)^2 + t^2 \sigma^2`, the guess of the positions is

.. math:: \hat x_1 = \frac{t \sigma^2}{s_t^2}\, x_t + \frac{(1 - t)\,\sigma}{s_t}\, F(x_t, t),

the preconditioning of Karras and others, *Elucidating the design space of diffusion-based generative models* (2022),
written for straight paths. Features that are one-hot vectors are guessed as probabilities, so that no noise is left in
them at the end; other features as positions are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen.errors import UsageError
from manifold_gen.networks.cloud_transformer import CloudTransformer
from manifold_gen.networks.egnn import EGNN

KINDS = {"egnn": EGNN, "transformer": CloudTransformer}


class EndpointNetwork(nn.Module):
    """(x_t, t, context) ↦ residual F of the positions and, of the features, logits or residuals.

    Args:
        position_dim, feature_dim: of the clouds.
        kind: ``"egnn"`` or ``"transformer"``.
        width, pair_width, depth, distance_features, attention: of the network.
        time_waves: waves of time that it sees.
        context_features: length of the context vector.
        guesses: it can be given an earlier guess.

    Raises:
        UsageError: an unknown kind.
    """

    def __init__(
        self,
        position_dim: int,
        feature_dim: int,
        kind: str,
        width: int,
        pair_width: int,
        depth: int,
        distance_features: int,
        attention: bool,
        time_waves: int,
        context_features: int,
        guesses: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise UsageError(f"network is {kind!r}, expected one of {', '.join(KINDS)}")
        self.position_dim, self.guesses = position_dim, guesses
        self.register_buffer("rates", torch.pi * torch.arange(1, time_waves + 1), persistent=False)
        beside = 1 + time_waves + context_features
        self.network = KINDS[kind](
            position_dim, (1 + guesses) * feature_dim, feature_dim, beside,
            width=width, pair_width=pair_width, depth=depth, distance_features=distance_features, attention=attention,
            guesses=guesses,
        )  # fmt: skip

    def forward(
        self, x: Tensor, t: Tensor, context: Tensor | None = None, guess: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Residuals ``(*batch, n, p)`` and outputs ``(*batch, n, k)`` at clouds ``x`` and times ``t`` ``(*batch,)``.

        ``guess`` is a clean cloud ``(*batch, n, p + k)`` guessed before, or nothing.
        """
        waves = torch.cat([t.unsqueeze(-1), torch.cos(t.unsqueeze(-1) * self.rates.to(t.dtype))], -1)
        beside = waves if context is None else torch.cat([waves, context], -1)
        positions, features = self._parted(x)
        if not self.guesses:
            return self.network(positions, features, beside)
        believed, kinds = (None, torch.zeros_like(features)) if guess is None else self._parted(guess)
        return self.network(positions, torch.cat([features, kinds], -1), beside, believed)

    def _parted(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[..., : self.position_dim], x[..., self.position_dim :]


def precondition(t: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    r"""What the velocity is made of: :math:`\dot x = a_t x_t + b_t F` for the guess above.

    ``a = (tσ² − (1 − t)) / s²`` and ``b = σ / s`` are regular on [0, 1], where the guess divided by 1 − t is not.
    """
    spread = (1 - t).square() + (t * scale).square()
    return (t * scale.square() - (1 - t)) / spread, scale / spread.sqrt()
