r"""Riemannian diffusion: data diffuse to the base, and a network learns the score that leads back.

The network is the relative score r of ``score_flow``, trained on the variational bound of the log-density itself, the
negative of

.. math:: -\log π(x) + E\, |\dot s|\left(\tfrac12 |r|^2 + \langle r, \nabla\log π\rangle + \mathrm{div}\, r\right)
   = -\log π(x) + E\, |\dot s|\left(\tfrac12 |r|^2 + \langle r, \nabla\log π - \nabla\log k\rangle\right),

the mean over times t and over X, which is x after a time s(t) of the forward process, and k its density there. The left
side (implicit score matching) needs no k, the right one (denoising score matching) no divergence; both are the mean
nats of the bound. De Bortoli et al. (2022), Huang et al. (2022); Lou et al., *Scaling Riemannian diffusion models*
(2023), for the heat kernels; on Rⁿ Sohl-Dickstein et al. (2015).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen import calculus
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.noise_schedule import NoiseClock
from manifold_gen.models.noising import noising_of
from manifold_gen.models.resizing import resized
from manifold_gen.models.score_flow import ScoreFlow
from manifold_gen.networks.choose import velocity_field
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.ode import Solver

OBJECTIVES = ("auto", "denoising", "implicit")
_FORGOTTEN = 9.0  # gap · S: at most e⁻⁹ of a nat is left of the data in each of a few directions
_EXACT_UP_TO = 3  # dimensions in which the divergence is taken exactly; above, along one random direction


class Diffusion(GenerativeModel, ScoreFlow):
    """A diffusion with a learned score; sampling and likelihood follow its probability flow.

    The score is ``e^{−gap s/2} / √(1 − e^{−s} + resolution²)`` times the network, which is the size that scores of data
    with details of that size have at all noises.

    Args:
        manifold: where data and noise live.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, and how their amplitudes fall.
        time_waves: how many waves of time the network sees.
        objective: ``"denoising"``, ``"implicit"``, or ``"auto"``: denoising where transitions are known.
        smoothing: standard deviation of the noise that data keep, √s(1), radians or units.
        horizon: S = s(0); 0 for 9 / spectral gap (torus and Rⁿ 9, S² 4.5).
        resolution: size of the finest details of the data, radians or units.
        walk_steps: steps of the forward process where its transitions are not known.
        method, steps, tolerance: the default ``Solver``.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Raises:
        UsageError: an unknown objective, or denoising where no transitions are known; a noise that does not fall.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> model = Diffusion(Torus(2), width=16, depth=1, steps=4)
        >>> model.log_prob(torch.zeros(1, 2)).detach()  # untrained, the relative score is zero: uniform, −2 log 2π
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
        objective: str = "auto",
        smoothing: float = 0.02,
        horizon: float = 0.0,
        resolution: float = 0.1,
        walk_steps: int = 32,
        method: str = "rk4",
        steps: int = 16,
        tolerance: float = 1e-5,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        process = noising_of(manifold)
        if objective not in OBJECTIVES:
            raise UsageError(f"the objective is {objective!r}; expected one of {', '.join(OBJECTIVES)}")
        if objective == "denoising" and not process.exact:
            raise UsageError(f"no transition density is known on {manifold}; use objective 'implicit' or 'auto'")
        clock = NoiseClock(horizon or _FORGOTTEN / process.gap, smoothing**2)
        embedding = ContextEmbedding(context_features, context_categories)
        super().__init__(manifold, clock, embedding, Solver(method, steps, tolerance), walk_steps)
        self.field = velocity_field(
            manifold, width, depth, frequency, waves, decay, time_waves, embedding.out_features, seed
        )  # fmt: skip
        self.denoising = process.exact and objective != "implicit"
        self.resolution = resolution
        self.hyperparameters = hyperparameters

    def relative_score(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """The network's field times the size of scores at that noise."""
        return self._size(t) * self.field(x, t, context)

    def relative_score_and_divergence(
        self, x: Tensor, t: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The relative score and its divergence in one pass that carries n tangents along."""
        size = self._size(t)
        v, images = self.field.pushforward(x, calculus.frame(self.manifold, x), t, context)
        return size * v, calculus.divergence_of(self.manifold, x, size * v, size * images)

    # ---- training -----------------------------------------------------------------------------------------------

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Times, one in each of n equal parts of [0, 1]; noise of the forward process; directions of a derivative."""
        like = next(self.field.parameters())
        uniform = torch.rand(n, generator=generator, dtype=like.dtype, device=like.device)
        time = (torch.arange(n, dtype=like.dtype, device=like.device) + uniform) / max(n, 1)
        drawn = {"time": time, "noise": self._noise(self.clock.at(time), generator)}
        if not self.denoising and self.manifold.dim > _EXACT_UP_TO:
            size = (n, self.manifold.dim)
            drawn["probe"] = torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
        return drawn

    def on_size(self, manifold: PointCloud) -> Diffusion:
        """The same networks on clouds of another size; weights are shared, not copied."""
        other = resized(self, manifold)
        other.noising = noising_of(manifold)
        return other

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``bound``: an unbiased estimate of minus the variational bound of the log-density, nats."""
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        t, embedded = drawn["time"], self.context(context)
        with torch.no_grad():
            s = self.clock.at(t)
            y = self._forward(x, s, drawn["noise"])
        if self.denoising:
            r = self.relative_score(y, t, embedded)
            target = self.noising.transition_score(x, y, s) - 2 * self.noising.pull(y)
            matching = self.manifold.inner(y, r, 0.5 * r - target)
        elif "probe" in drawn:
            matching = self.implicit(y, *self._probed(y, t, embedded, drawn["probe"]))
        else:
            matching = self.implicit(y, *self.relative_score_and_divergence(y, t, embedded))
        return {"bound": self.clock.rate(t) * matching - self.base.log_prob(x)}

    def _probed(self, y: Tensor, t: Tensor, context: Tensor | None, probe: Tensor) -> tuple[Tensor, Tensor]:
        """The relative score and an unbiased estimate of its divergence along one random direction."""
        coordinates, size = calculus.isotropic(probe), self._size(t)
        direction = self.manifold.from_coordinates(y, coordinates)
        v, (image,) = self.field.pushforward(y, direction.unsqueeze(0), t, context)
        r, image = size * v, self.manifold.proju(y, size * image)
        trace = (self.manifold.to_coordinates(y, image) * coordinates).sum(-1)
        _, change = torch.func.jvp(self.manifold.log_sqrt_det_metric, (y,), (r,))
        return r, trace + change

    def _size(self, t: Tensor) -> Tensor:
        s = self.clock.at(t)
        size = torch.exp(-0.5 * self.noising.gap * s) / torch.sqrt(self.resolution**2 - torch.expm1(-s))
        return size.reshape(*t.shape, *(1,) * len(self.manifold.shape))
