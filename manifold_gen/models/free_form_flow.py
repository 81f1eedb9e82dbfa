r"""The manifold free-form flow: two plain networks that invert each other, trained by maximum likelihood.

A decoder g maps latents to data, an encoder f maps data to latents, and both map the manifold to itself. With a base
density p₀ of the latents, the density of the samples x = g(z) is

.. math:: \log p(x) = \log p_0(z) - \log|\det Dg(z)|, \qquad z = g^{-1}(x),

the determinant taken between orthonormal tangent frames. Sampling and encoding take one network evaluation each.
Sorrenson, Draxler, Rousselot, Hummerich and Köthe, *Learning distributions on manifolds with free-form flows* (2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen import calculus, surrogates
from manifold_gen.data.base import Split
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.decoded import DecodedDistribution
from manifold_gen.models.dequantisation import dequantised_bound, kind_size, spread_of, with_noise
from manifold_gen.models.inverse_likelihood import SMALLEST_DET, honest_nll, inverse_losses, spread
from manifold_gen.models.proposal import broad_proposal
from manifold_gen.models.resizing import resized
from manifold_gen.models.volume_choice import ESTIMATES, LARGEST_EXACT_DIM, choose_volume
from manifold_gen.networks.choose import free_form_map
from manifold_gen.networks.context import ContextEmbedding

LARGEST_FOLD_DIM = 3


class FreeFormFlow(GenerativeModel, DecodedDistribution):
    r"""Encoder and decoder on one manifold, with an exact likelihood and one-evaluation samples.

    Loss per sample: the negative log-likelihood with the volume change of ``volume``, and the terms that keep the two
    networks inverse to each other: ``reconstruction`` · dist²(g(f(x)), x), the same for latents z of the base and for
    points of a broad proposal, and a penalty on decoder Jacobians that turn the orientation round.

    Sampling, encoding and the likelihood, which never trusts the encoder, are those of ``DecodedDistribution``.
    Features of clouds that are one-hot in the training data are dequantised: training adds uniform noise, drawn afresh
    at each step, and ``elbo`` bounds the likelihood of the kinds themselves.

    Args:
        manifold: where data and latents live.
        width, depth: of each residual network: ``depth`` blocks of two layers.
        frequency, waves, decay: largest wave number of the features, how many at most, and how their amplitudes fall.
        head: how a network's output becomes a point, see ``FreeFormMap``.
        volume: ``"exact_encoder"`` (+log|det Df(x)|), ``"exact"`` (−log|det Dg(f(x))|), ``"surrogate"`` (the trace
            estimate, cost independent of the dimension), ``"conditional"`` and ``"restoring"`` (on the
            encoder's or on the decoder's side for each probe, see ``surrogates.Surrogates``), ``"inverse"``
            (−log|det Dg(z)| at the solved g(z) = x, see ``inverse_likelihood``), or ``"auto"``, see
            ``volume_choice``: restoring up to dimension 3 and on tori of 4 to 8, else exact_encoder up to 8.
        probes: directions a sample in the surrogates, K ≥ 1.
        reconstruction, latent_reconstruction, proposal_reconstruction: weights β of the three.
        consistency: weight of the squared length of Df(x) Dg(z) v − v at the surrogate's probes, on clouds of points.
            Without it the differentials of two networks on clouds come apart within tens of steps.
        tightening: the weights are multiplied by ``tightening`` to the power of the share of the training done.
        fold_penalty, fold_margin: weight λ and margin ε of λ · max(0, ε − det Dg(z)) / ε at latents z.
        latent_stride, proposal_stride: these terms are evaluated at one sample in so many.
        noise: standard deviation of tangent noise on the data, fading to 0 over the training.
        annealing: share of the training over which the waves fade in, long ones first; 0 for none.
        proposal_scale: spread of the proposal where it is not uniform.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Raises:
        UsageError: an unknown ``volume`` or ``head``, fewer than one probe, or on clouds a side for each probe.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> flow = FreeFormFlow(Torus(2), width=16, depth=1)
        >>> x = flow.sample(5, generator=torch.Generator().manual_seed(0))
        >>> flow.log_prob(x).detach()  # an untrained flow is the identity: uniform, −2 log 2π
        tensor([-3.6758, -3.6758, -3.6758, -3.6758, -3.6758])
    """

    bound_samples = 1
    inverse_up_to = 0  # dimension up to which ``volume="auto"`` is the one at the solved latent

    def __init__(
        self,
        manifold: Manifold,
        *,
        width: int = 64,
        depth: int = 3,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        stages: int = 1,
        head: str = "auto",
        volume: str = "auto",
        probes: int = 1,
        reconstruction: float = 30.0,
        latent_reconstruction: float = 30.0,
        proposal_reconstruction: float = 3.0,
        consistency: float = 0.1,
        tightening: float = 1.0,
        fold_penalty: float = 1.0,
        fold_margin: float = 5e-4,
        latent_stride: int = 2,
        proposal_stride: int = 4,
        noise: float = 0.0,
        annealing: float = 0.0,
        proposal_scale: float = 3.0,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        chosen = choose_volume(volume, manifold, self.inverse_up_to)
        if probes < 1:
            raise UsageError(f"probes is {probes}; expected at least 1")
        embedding = ContextEmbedding(context_features, context_categories)
        size = dict(
            width=width, depth=depth, frequency=frequency, waves=waves, decay=decay, stages=stages, head=head,
            context_features=embedding.out_features,
        )  # fmt: skip
        encoder = free_form_map(manifold, **size, seed=2 * seed)
        decoder = free_form_map(manifold, **size, seed=2 * seed + 1)
        super().__init__(manifold, encoder, decoder, embedding)
        self.hyperparameters = hyperparameters
        self.volume = chosen
        self.proposal = broad_proposal(manifold, proposal_scale)
        self.progress = 0.0
        self.consistency = consistency if manifold.symmetry == "euclidean" else 0.0
        # size of one-hot features, 0 where they are none; decided by the training data
        self.register_buffer("kind_size", torch.zeros(()), persistent=manifold.feature_dim > 0)

    def on_size(self, manifold: PointCloud) -> FreeFormFlow:
        """The same networks on clouds of another size; weights are shared, not copied."""
        other, told = resized(self, manifold), self.hyperparameters
        other.volume = choose_volume(told["volume"], manifold, self.inverse_up_to)
        other.proposal = broad_proposal(manifold, told["proposal_scale"]).to(next(self.parameters()))
        return other

    def elbo(
        self, x: Tensor, generator: torch.Generator | None = None, context: Tensor | None = None, samples: int = 32
    ) -> Tensor:
        """Estimates ``(b,)`` of a lower bound of log P(x), nats, one-hot features as kinds; see ``dequantised_bound``.

        −inf where a noisy point has no preimage.
        """
        return dequantised_bound(self, x, float(self.kind_size), context, generator, samples)

    def dequantised(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``x`` with uniform noise on one-hot features: a draw of what the density is a density of."""
        size = (*x.shape[:-1], self.manifold.feature_dim)
        uniform = torch.rand(size, generator=generator, dtype=x.dtype, device=x.device)
        return with_noise(self.manifold, x, self.kind_size.to(x), uniform) if self.kind_size > 0 else x

    # ---- training -----------------------------------------------------------------------------------------------

    def prepare(self, train: Split) -> None:
        """Sees whether the features of clouds are one-hot kinds, and how large clouds are."""
        if self.manifold.feature_dim:
            self.kind_size.fill_(kind_size(train.x[..., -self.manifold.feature_dim :]))
        if self.manifold.symmetry == "euclidean":
            told = spread_of(self.manifold, train.x, self.kind_size)
            self.encoder.standardise(*told, decodes=False)
            self.decoder.standardise(*told, decodes=True)

    @property
    def penalises_folds(self) -> bool:
        """Whether decoder Jacobians that turn the orientation round are looked for: a column a dimension each."""
        return bool(self.hyperparameters["fold_penalty"]) and self.manifold.dim <= LARGEST_FOLD_DIM

    def set_progress(self, fraction: float) -> None:
        """Tighten the reconstruction, fade the noise and let the waves in, as the hyperparameters say."""
        self.progress = fraction
        annealing = self.hyperparameters["annealing"]
        for network in (self.encoder, self.decoder):
            network.open(1.0 if annealing == 0 else fraction / annealing)

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Latents of the base, points of the proposal, probes and noise, one row a sample each."""
        drawn = {
            "latent": self.base.sample(n, generator=generator),
            "proposal": self.proposal.sample(n, generator=generator),
        }
        like = drawn["latent"]
        if self.volume in ESTIMATES:
            size = (n, self.hyperparameters["probes"], self.manifold.dim)
            drawn["probes"] = torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
        told = {"generator": generator, "dtype": like.dtype, "device": like.device}
        if self.hyperparameters["noise"]:
            drawn["noise"] = torch.randn(n, self.manifold.dim, **told)
        if self.kind_size > 0:
            drawn["kinds"] = torch.rand(n, self.manifold.shape[0], self.manifold.feature_dim, **told)
        return drawn

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``nll``, ``reconstruction`` and those of latents and of the proposal, ``consistency`` and ``fold``."""
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        context = self.context(context)
        x = self._noisy(self._dequantised(x, drawn), drawn)
        if self.volume == "inverse":
            return inverse_losses(self, x, context, drawn)
        z, back, log_volume, mismatch = self._flow(x, context, drawn)
        terms = {"nll": -self.base.log_prob(z) - log_volume}
        if self.consistency and mismatch is not None:
            terms["consistency"] = self.consistency * mismatch
        terms["reconstruction"] = self._weight("reconstruction") * self.manifold.dist2(back, x)
        if self.hyperparameters["latent_reconstruction"] or self.hyperparameters["fold_penalty"]:
            terms.update(self._latent_terms(drawn["latent"], context))
        if self.hyperparameters["proposal_reconstruction"]:
            terms.update(self._proposal_terms(drawn["proposal"], context))
        return terms

    def validation(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """What early stopping watches: the encoder's exact likelihood and the weighted reconstruction.

        A Jacobian has a column a dimension: beyond ``LARGEST_EXACT_DIM`` the likelihood is that of so many rows fewer.
        """
        x = x if auxiliary is None else self._dequantised(x, auxiliary)
        if self.volume == "inverse":
            return {"nll": honest_nll(self, x, context)}
        stride = -(-self.manifold.dim // LARGEST_EXACT_DIM)
        here = None if context is None else context[::stride]
        nll = spread(-self.log_prob_from_encoder(x[::stride], here), len(x), stride)
        back = self.decode(self.encode(x, context), context)
        return {"nll": nll, "reconstruction": self._weight("reconstruction") * self.manifold.dist2(back, x)}

    def _flow(
        self, x: Tensor, context: Tensor | None, drawn: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Latents, reconstructions, log|det Df(x)| or what stands in for it, and the surrogate's mismatch."""
        if self.volume == "exact":
            z = self.encoder(x, context)
            back, matrix = calculus.jacobian(self.decoder, self.manifold, z, context)
            return z, back, -calculus.bounded_log_det(matrix, SMALLEST_DET), None
        if self.volume == "exact_encoder":
            z, matrix = calculus.jacobian(self.encoder, self.manifold, x, context)
            return z, self.decoder(z, context), calculus.bounded_log_det(matrix, SMALLEST_DET), None
        probes = drawn["probes"].movedim(1, 0)
        networks = (self.encoder, self.decoder, self.manifold)
        if self.volume == "surrogate":
            z, trace, mismatch = surrogates.volume_surrogate(*networks, x, probes, context)
            return z, self.decoder(z, context), trace, mismatch
        found = surrogates.volume_surrogates(*networks, x, probes, context)
        trace = found.conditional if self.volume == "conditional" else found.restoring
        return found.latent, found.image, trace, None

    def _latent_terms(self, latents: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        n, stride = len(latents), self.hyperparameters["latent_stride"]
        z, here = latents[::stride], None if context is None else context[::stride]
        terms = {}
        if self.penalises_folds:
            y, matrix = calculus.jacobian(self.decoder, self.manifold, z, here)
            margin = self.hyperparameters["fold_margin"]
            short = torch.relu(margin - calculus.determinant(matrix)) / margin
            terms["fold"] = spread(self.hyperparameters["fold_penalty"] * short, n, stride)
        else:
            y = self.decoder(z, here)
        distance = self.manifold.dist2(self.encoder(y, here), z)
        terms["latent_reconstruction"] = spread(self._weight("latent_reconstruction") * distance, n, stride)
        return terms

    def _proposal_terms(self, proposal: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        n, stride = len(proposal), self.hyperparameters["proposal_stride"]
        x, here = proposal[::stride], None if context is None else context[::stride]
        distance = self.manifold.dist2(self.decoder(self.encoder(x, here), here), x)
        return {"proposal_reconstruction": spread(self._weight("proposal_reconstruction") * distance, n, stride)}

    def _weight(self, name: str) -> float:
        return self.hyperparameters[name] * self.hyperparameters["tightening"] ** self.progress

    def _dequantised(self, x: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        if "kinds" not in drawn:
            return x
        return with_noise(self.manifold, x, self.kind_size.to(x), drawn["kinds"])

    def _noisy(self, x: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        size = self.hyperparameters["noise"] * (1 - self.progress)
        if size == 0 or "noise" not in drawn:
            return x
        return self.manifold.expmap(x, self.manifold.from_coordinates(x, size * drawn["noise"].to(x)))
