"""Gradients through a flow by torchdiffeq's adjoint equation, in memory that does not grow with the steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from manifold_gen.errors import IntegrationError, MissingExtraError
from manifold_gen.models.continuous import NetworkFlow
from manifold_gen.ode import Solver
from manifold_gen.runge_kutta import VolumePath

_NAMES = {"euler": "euler", "midpoint": "midpoint", "rk4": "rk4", "adaptive": "dopri5"}


def pull_back(model: NetworkFlow, x: Tensor, context: Tensor | None, solver: Solver) -> VolumePath:
    """Latents of ``x`` with the volume change, as ``NetworkFlow.pull_back``; backwards by the adjoint equation.

    torchdiffeq works in the ambient space: the field there is that of the nearest point of the manifold, and the end is
    projected.

    Raises:
        MissingExtraError: torchdiffeq is not installed.
        IntegrationError: the step of the adaptive method underflowed.
    """
    try:
        from torchdiffeq import odeint_adjoint
    except ImportError as error:
        raise MissingExtraError(
            "gradient = 'adjoint' needs torchdiffeq; install it with: pip install 'manifold-gen[ode]'"
        ) from error
    field = _AmbientField(model, context)
    times = torch.tensor([1.0, 0.0], dtype=x.dtype, device=x.device)
    options = {} if solver.method == "adaptive" else {"options": {"step_size": 1 / solver.steps}}
    state = (x, x.new_zeros(x.shape[: x.dim() - len(model.manifold.shape)]))
    try:
        points, volumes = odeint_adjoint(
            field, state, times, rtol=solver.tolerance, atol=solver.tolerance, method=_NAMES[solver.method], **options
        )
    except AssertionError as error:  # what torchdiffeq raises when its step underflows
        raise IntegrationError(
            f"the adaptive solver failed: {error}; use a fixed method such as rk4 or a lower learning rate"
        ) from error
    return VolumePath(model.manifold.projx(points[-1]), volumes[-1], field.calls)


class _AmbientField(nn.Module):
    """The field and its divergence at the nearest point of the manifold, counting its calls."""

    def __init__(self, model: NetworkFlow, context: Tensor | None) -> None:
        super().__init__()
        self.model, self.context, self.calls = model, context, 0

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x = self.model.manifold.projx(state[0])
        self.calls += 1
        return self.model.velocity_and_divergence(x, t.expand_as(state[1]), self.context)
