r"""Flow matching of point clouds that guesses the clean cloud instead of the velocity.

Paths are straight, :math:`x_t = (1 - t) z + t x_1`, and the field is :math:`(\hat x_1(x_t, t) - x_t) / (1 - t)`. For
positions the loss is that of ``FlowMatching`` with every noise level brought to the same size; one-hot features are
guessed as probabilities :math:`\pi` and trained by cross-entropy, which has the same minimiser,
:math:`E[x_1 \mid x_t]`, and leaves no noise in them at t = 1.
Lipman and others, *Flow matching for generative modeling* (2023); Eijkelboom and others, *Variational flow matching*
(2024), for probabilities as endpoints; Karras and others (2022) for the scaling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.chunks import CHUNK, in_chunks
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.models.endpoint_bound import evidence_bound
from manifold_gen.models.pairing import paired
from manifold_gen.models.renewal import Renewal
from manifold_gen.models.resizing import resized
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.networks.endpoint import EndpointNetwork, precondition
from manifold_gen.ode import Solver

if TYPE_CHECKING:
    from manifold_gen.data.base import Split

FEATURES = ("one-hot", "continuous")
# A guess is divided by 1 − t no smaller than this; the field is used up to there and the guess itself at t = 1.
_CLOSEST = 1e-3


class EndpointFlow(GenerativeModel, ContinuousDistribution):
    """A generator of clouds on ``PointCloud`` with a density by its ODE and a stochastic sampler of few steps.

    Args:
        manifold: where the clouds live.
        network: ``"egnn"``, which commutes with rotations, reflections and permutations, or ``"transformer"``, which
            commutes with permutations alone and sees every cloud in a random orientation.
        width, pair_width, depth: width of points and of pairs, layers.
        distance_features: numbers by which the EGNN sees a distance.
        attention: weigh the messages of the EGNN.
        time_waves: how many waves of time the network sees.
        features: ``"one-hot"`` or ``"continuous"``; without effect where there are none.
        feature_weight: of the features' loss beside that of the positions.
        time_power: times of training are u^time_power with u uniform; below 1 nearer to the data.
        self_conditioning: the network sees its guess of the step before (Chen, Zhang and Hinton, *Analog bits*, 2023),
            in half of the training steps one that it has just made. The ODE, and with it ``log_prob``, goes without.
        pairing: join each noise to its cloud in the order and orientation that make the path short (Hungarian, Kabsch).
        steps: of the sampler, one network evaluation each.
        noise, temperature: of the sampler, as in ``Renewal``.
        method, likelihood_steps: solver of ``log_prob``.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the initial weights.

    Raises:
        UsageError: an unknown kind of features, or numbers out of range.

    Example:
        >>> flow = EndpointFlow(PointCloud(4, 2), width=8, pair_width=8, depth=1)
        >>> flow.sample(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 4, 2])
    """

    bound_samples = 32

    def __init__(
        self,
        manifold: PointCloud,
        *,
        network: str = "egnn",
        width: int = 128,
        pair_width: int = 32,
        depth: int = 4,
        distance_features: int = 16,
        attention: bool = False,
        time_waves: int = 8,
        features: str = "one-hot",
        feature_weight: float = 1.0,
        time_power: float = 0.5,
        self_conditioning: bool = False,
        pairing: bool = False,
        steps: int = 100,
        noise: float = 0.5,
        temperature: float = 1.0,
        method: str = "rk4",
        likelihood_steps: int = 32,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        _check(features, time_power)
        Renewal(steps, noise, temperature)  # refuses what is out of range
        embedding = ContextEmbedding(context_features, context_categories)
        super().__init__(manifold, embedding, Solver(method, likelihood_steps))
        self.hyperparameters = hyperparameters
        self.one_hot = features == "one-hot" and manifold.feature_dim > 0
        self.turned = network == "transformer"
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("feature_scale", torch.ones(()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = EndpointNetwork(
                manifold.position_dim, manifold.feature_dim, network, width, pair_width, depth,
                distance_features, attention, time_waves, embedding.out_features, self_conditioning,
            )  # fmt: skip

    def prepare(self, train: Split) -> None:
        """Takes the standard deviation of positions, and of features their deviation or largest value."""
        positions = train.x[..., : self.manifold.position_dim]
        self.scale.copy_(positions.square().mean().sqrt())
        if self.manifold.feature_dim:
            features = train.x[..., self.manifold.position_dim :]
            self.feature_scale.copy_(features.max() if self.one_hot else features.square().mean().sqrt())

    # ---- field --------------------------------------------------------------------------------------------------

    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """(guess − x) / (1 − t), ``(*batch, n, p + k)``; ``context`` is embedded already."""
        raw, out = self.network(x, t, context)
        t = t.reshape(*t.shape, 1, 1)
        if not self.one_hot:
            return self._smooth(x, t, raw, out)
        left = (1 - t).clamp_min(_CLOSEST)
        features = (self._probable(out) - x[..., self.manifold.position_dim :]) / left
        return torch.cat([self._smooth(x, t, raw), features], -1)

    def endpoint(self, x: Tensor, t: Tensor, context: Tensor | None = None, guess: Tensor | None = None) -> Tensor:
        """The guess of the clean cloud, ``(*batch, n, p + k)``, from an earlier one where there is one."""
        raw, out = self.network(x, t, context, guess)
        t = t.reshape(*t.shape, 1, 1)
        if not self.one_hot:
            return x + (1 - t) * self._smooth(x, t, raw, out)
        positions = x[..., : self.manifold.position_dim] + (1 - t) * self._smooth(x, t, raw)
        return torch.cat([positions, self._probable(out)], -1)

    def _smooth(self, x: Tensor, t: Tensor, *residuals: Tensor) -> Tensor:
        """Velocities a x + b F of positions and, where their residuals are given too, of continuous features."""
        start, parts = 0, []
        for residual, scale in zip(residuals, (self.scale, self.feature_scale), strict=False):
            a, b = precondition(t, scale)
            parts.append(a * x[..., start : start + residual.shape[-1]] + b * residual)
            start += residual.shape[-1]
        return torch.cat(parts, -1)

    def _probable(self, logits: Tensor) -> Tensor:
        return self.feature_scale * logits.softmax(-1)

    @property
    def pairs_noise(self) -> bool:
        """Whether noise is joined to the nearest cloud, in training and by the sampler."""
        return self.hyperparameters["pairing"]

    def coupled(self, z: Tensor, x: Tensor) -> Tensor:
        """``z`` in the order and orientation nearest to ``x`` where the flow is one of ``pairing``."""
        return paired(z, x, self.manifold.position_dim) if self.pairs_noise else z

    def elbo(
        self,
        x: Tensor,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
        samples: int = 32,
    ) -> Tensor:
        """Estimates ``(b,)`` of a lower bound of log p(x), nats, one-hot features as kinds; see ``endpoint_bound``.

        Example:
            >>> flow = EndpointFlow(PointCloud(4, 2), width=8, pair_width=8, depth=1)
            >>> x = flow.base.sample(3)
            >>> flow.elbo(x, torch.Generator().manual_seed(0)).shape
            torch.Size([3])
        """
        return evidence_bound(self, x, context, generator, samples)

    # ---- training -----------------------------------------------------------------------------------------------

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Latents, times, orientations and, where it guesses twice, what decides whether; one a cloud."""
        latent = self.base.sample(n, generator=generator)
        options = {"generator": generator, "dtype": latent.dtype, "device": latent.device}
        p = self.manifold.position_dim
        frame = torch.linalg.qr(torch.randn(n, p, p, **options))[0] if self.turned else latent.new_zeros(n, 0)
        drawn = {"latent": latent, "time": torch.rand(n, **options), "frame": frame}
        if self.hyperparameters["self_conditioning"]:
            drawn["guessed"] = torch.rand(n, **options)
        return drawn

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``positions``: squared error of F, a mean over points; ``features``: cross-entropy or squared error."""
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        p, z = self.manifold.position_dim, drawn["latent"]
        if self.turned:
            x = torch.cat([x[..., :p] @ drawn["frame"], x[..., p:]], -1)
        z = self.coupled(z, x)
        times = drawn["time"] ** self.hyperparameters["time_power"]
        t = times.reshape(-1, 1, 1)
        x_t = torch.lerp(z, x, t)
        embedded = self.context(context)
        raw, out = self.network(x_t, times, embedded, self._first_guess(x_t, times, embedded, drawn.get("guessed")))
        a, b = precondition(t, self.scale)
        target = (x[..., :p] - z[..., :p] - a * x_t[..., :p]) / b
        terms = {"positions": (raw - target).square().sum(-1).mean(-1)}
        if self.manifold.feature_dim:
            terms["features"] = self.hyperparameters["feature_weight"] * self._feature_loss(x, z, x_t, t, out)
        return terms

    @torch.no_grad()
    def _first_guess(self, x: Tensor, t: Tensor, context: Tensor | None, guessed: Tensor | None) -> Tensor | None:
        """A guess for half of the batches; a batch is of one mind, so that the others cost nothing."""
        return None if guessed is None or guessed[0] < 0.5 else self.endpoint(x, t, context)

    def _feature_loss(self, x: Tensor, z: Tensor, x_t: Tensor, t: Tensor, out: Tensor) -> Tensor:
        p = self.manifold.position_dim
        if self.one_hot:
            return functional.cross_entropy(out.movedim(-1, 1), x[..., p:].argmax(-1), reduction="none").mean(-1)
        a, b = precondition(t, self.feature_scale)
        return (out - (x[..., p:] - z[..., p:] - a * x_t[..., p:]) / b).square().sum(-1).mean(-1)

    # ---- sampling -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        solver: Solver | None = None,
        chunk: int = CHUNK,
        steps: int | None = None,
        noise: float | None = None,
        temperature: float | None = None,
    ) -> Tensor:
        """Draw ``(n, *shape)`` clouds in ``steps`` evaluations, or along the ODE where a ``solver`` is given.

        What is left out is as the model was told; along the ODE none of it plays a part.
        """
        if n < 0:
            raise UsageError(f"cannot draw n = {n} clouds; n must be 0 or more")
        z = self.base.sample(n, generator=generator)
        if solver is not None:
            return in_chunks(lambda rows, here: self.decode(rows, here, solver), z, context, chunk)
        given = {"steps": steps, "noise": noise, "temperature": temperature}
        renewal = Renewal(**{k: self.hyperparameters[k] if v is None else v for k, v in given.items()})
        return in_chunks(lambda rows, here: renewal.refine(self, rows, here, generator), z, context, chunk)

    @torch.no_grad()
    def exact_sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """``n`` clouds along the ODE, whose density ``log_prob`` is; the stochastic sampler has another."""
        return self.sample(n, context, generator, solver=self.solver)

    def on_size(self, manifold: PointCloud) -> EndpointFlow:
        """The same networks on clouds of another size; weights are shared, not copied."""
        return resized(self, manifold)


def _check(features: str, time_power: float) -> None:
    if features not in FEATURES:
        raise UsageError(f"features is {features!r}, expected one of {', '.join(FEATURES)}")
    if time_power <= 0:
        raise UsageError(f"time_power is {time_power}, expected above 0")
