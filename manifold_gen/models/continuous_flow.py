r"""A continuous normalizing flow on a manifold: a vector field trained by maximum likelihood through the solver.

The loss is the negative log-likelihood :math:`-\log p_0(x_0) + \int_0^1 \operatorname{div} v\, dt` along the path back
from the data, plus a kinetic energy :math:`\lambda \int |v|^2 dt` that picks, of all fields with the same density, one
that is easy to follow. Mathieu and Nickel, *Riemannian continuous normalizing flows* (2020); the penalty is that of
Finlay et al., *How to train your neural ODE* (2020).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models import adjoint
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.continuous import NetworkFlow
from manifold_gen.networks.choose import velocity_field
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.ode import Solver, integrate_with_volume

GRADIENTS = ("backprop", "adjoint")


class ContinuousFlow(GenerativeModel, NetworkFlow):
    """A vector field whose flow carries the base to the data, trained by maximum likelihood.

    Args:
        manifold: where data and latents live.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, and how their amplitudes fall.
        time_waves: how many waves of time the network sees.
        method, steps, tolerance: the ``Solver`` of sampling and likelihood.
        training_method, training_steps: the solver that training differentiates through.
        gradient: ``"backprop"`` through the steps, or ``"adjoint"`` (torchdiffeq), whose memory does not grow with the
            steps and which takes more time; install ``manifold-gen[ode]`` for it.
        kinetic: weight λ of the kinetic energy; with the adjoint it is not available and must be 0.
        context_features, context_categories: length of a continuous or number of categories of a categorical context.
        seed: of the random wave vectors and of the initial weights.

    Raises:
        UsageError: an unknown method or gradient, or a kinetic penalty with the adjoint.
        IntegrationError: (by every call) the field became too steep to follow.

    Example:
        >>> from manifold_gen.manifolds import Sphere
        >>> flow = ContinuousFlow(Sphere(2), width=16, depth=1)
        >>> flow.log_prob(torch.tensor([[0.0, 0.0, 1.0]])).detach()  # untrained: uniform, −log 4π
        tensor([-2.5310])
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        width: int = 64,
        depth: int = 2,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        time_waves: int = 2,
        method: str = "rk4",
        steps: int = 16,
        tolerance: float = 1e-5,
        training_method: str = "midpoint",
        training_steps: int = 6,
        gradient: str = "backprop",
        kinetic: float = 0.01,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        if gradient not in GRADIENTS:
            raise UsageError(f"gradient is {gradient!r}; expected one of {', '.join(GRADIENTS)}")
        if gradient == "adjoint" and kinetic:
            raise UsageError(f"the adjoint has no kinetic penalty, got kinetic = {kinetic}; set kinetic = 0")
        embedding = ContextEmbedding(context_features, context_categories)
        field = velocity_field(
            manifold, width, depth, frequency, waves, decay, time_waves, embedding.out_features, seed
        )
        super().__init__(manifold, field, embedding, Solver(method, steps, tolerance))
        self.training_solver = Solver(training_method, training_steps, tolerance)
        self.hyperparameters = hyperparameters

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``nll``, and ``kinetic`` where it has a weight."""
        embedded, weight = self.context(context), self.hyperparameters["kinetic"]
        energies = []

        def field(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            v, divergence = self.velocity_and_divergence(x, t, embedded)
            energies.append(self.manifold.inner(x, v))
            return v, divergence

        if self.hyperparameters["gradient"] == "adjoint":
            path = adjoint.pull_back(self, x, embedded, self.training_solver)
        else:
            path = integrate_with_volume(field, self.manifold, x, 1.0, 0.0, self.training_solver)
        terms = {"nll": -self.base.log_prob(path.x) - path.log_volume}
        if weight:
            terms["kinetic"] = weight * torch.stack(energies).mean(0)
        return terms

    def validation(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``nll`` with the solver of the likelihood."""
        return {"nll": -self.log_prob(x, context)}
