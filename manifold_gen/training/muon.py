r"""Muon for the hidden layers, AdamW for the rest.

A hidden matrix W with gradient G moves by −lr · scale · orth(momentum), orth(M) = U Vᵀ for M = U S Vᵀ: every singular
direction moves equally far, where Adam's steps follow the few largest. orth is found by five Newton–Schulz steps of the
odd quintic with coefficients (3.4445, −4.7750, 2.0315), which bring every singular value into about [0.7, 1.2].
K. Jordan et al., *Muon: an optimizer for hidden layers in neural networks* (2024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
# One learning rate serves both rules: an orthogonal step is this many times the AdamW step it stands in for.
RELATIVE_RATE = 4.0


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearly orthogonal factors of ``(k, n, n)`` matrices, all singular values near 1.

    Example:
        >>> w = orthogonalise(torch.diag(torch.tensor([3.0, 1.0])).unsqueeze(0))
        >>> torch.linalg.svdvals(w[0]).sub(1).abs().max() < 0.35
        tensor(True)
    """
    a, b, c = COEFFICIENTS
    x = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp_min(1e-12)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.AdamW):
    """AdamW, except that square matrices (the hidden layers of a residual network) take orthogonal steps.

    Args:
        parameters: all parameters to train.
        lr: learning rate of the AdamW part; the orthogonal steps take ``RELATIVE_RATE`` times as much.
        betas: moment decays of the AdamW part.
        momentum: decay of the gradient average that is orthogonalised (Nesterov's form).
        weight_decay: decoupled, for matrices.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        trained = list(parameters)
        square = [p for p in trained if p.dim() == 2 and p.shape[0] == p.shape[1]]
        oblong = [p for p in trained if p.dim() > 1 and not (p.dim() == 2 and p.shape[0] == p.shape[1])]
        flat = [p for p in trained if p.dim() <= 1]
        groups = [
            {"params": params, "weight_decay": decay, "orthogonal": orthogonal}
            for params, decay, orthogonal in (
                (oblong, weight_decay, False),
                (flat, 0.0, False),
                (square, weight_decay, True),
            )
            if params
        ]
        super().__init__(groups, lr=lr, betas=betas, fused=True)
        self.momentum = momentum

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both rules."""
        every = self.param_groups
        self.param_groups = [group for group in every if not group["orthogonal"]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = every
        for group in every:
            if group["orthogonal"]:
                self._orthogonal_step(group)
        return loss

    @torch.no_grad()
    def _orthogonal_step(self, group: dict) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for parameters in by_shape.values():
            updates = []
            for parameter in parameters:
                state = self.state[parameter]
                if "momentum" not in state:
                    state["step"] = torch.zeros(())  # AdamW asks every saved state for it when one is loaded
                    state["momentum"] = torch.zeros_like(parameter)
                average = state["momentum"].lerp_(parameter.grad, 1 - self.momentum)
                updates.append(parameter.grad.lerp(average, self.momentum))
            steps = list(orthogonalise(torch.stack(updates)).unbind())
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, steps, alpha=-RELATIVE_RATE * group["lr"])
