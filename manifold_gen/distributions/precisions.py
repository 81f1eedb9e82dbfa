r"""Maximum likelihood of concentrated densities in their principal precisions.

Kent's distribution on S² and the matrix Fisher distribution on SO(3) are, about their mode and along m principal
directions, exp(−½ Σ λᵢ vᵢ(x)) / c(λ), where vᵢ is close to the squared coordinate and λᵢ to an inverse variance. With
axes fixed the log-likelihood −½ Σ λᵢ v̄ᵢ − log c(λ) is concave in λ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen.distributions.quadrature import LogIntegral

LOWEST = 1e-5  # a precision below this is as good as none
_STEPS = 60
_STEPS_ON = 4  # from a given start, as in EM, whose next step goes on from the result
_FACTOR = 32.0
_ENOUGH = 1e-11  # twice the log-likelihood that a Newton step would gain
_SMALLEST_DAMPING = 1e-4


def fit_precisions(
    spread: Tensor, normaliser: Callable[[Tensor], LogIntegral], upper: float, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Precisions ``LOWEST`` ≤ λ₁ ≤ … ≤ λ_m ≤ ``upper`` that maximise −½ Σ λᵢ v̄ᵢ − log c(λ), and that maximum ``(K,)``.

    Newton's method, confined to the bounds and damped where it would lose, until the step promises
    nothing more; members that are done are not evaluated again.

    Args:
        spread: mean squared coordinates v̄, ``(K, m)``, descending along the last axis.
        normaliser: log c with two derivatives, for λ ``(K, m)``.
        upper: largest precision.
        start: where to begin, ``(K, m)``, for a few steps that gain but need not reach the maximum; default: the
            Gaussian solution λ = 1 / v̄.
    """
    precision = (1 / spread.clamp(min=1 / upper) if start is None else start).clamp(LOWEST, upper)
    value, slope, bend = _objective(precision, spread, normaliser)
    damping = torch.ones_like(value)
    for _ in range(_STEPS if start is None else _STEPS_ON):
        step = _newton(precision, slope, bend, upper)
        unfinished = ((slope * step).sum(-1) >= _ENOUGH) & (damping >= _SMALLEST_DAMPING)
        row = unfinished.nonzero().squeeze(-1)
        if not row.numel():
            break
        at = precision[row]
        trial = at + damping[row].unsqueeze(-1) * step[row]
        trial = torch.minimum(torch.maximum(trial, at / _FACTOR), at * _FACTOR).clamp(LOWEST, upper).cummax(-1).values
        new_value, new_slope, new_bend = _objective(trial, spread[row], normaliser)
        better = new_value > value[row]
        damping[row] = torch.where(better, (2 * damping[row]).clamp(max=1.0), damping[row] / 4)
        won = row[better]
        precision[won], value[won] = trial[better], new_value[better]
        slope[won], bend[won] = new_slope[better], new_bend[better]
    return precision, value


def _objective(
    precision: Tensor, spread: Tensor, normaliser: Callable[[Tensor], LogIntegral]
) -> tuple[Tensor, Tensor, Tensor]:
    log_c = normaliser(precision)
    return -0.5 * (precision * spread).sum(-1) - log_c.value, -0.5 * spread - log_c.gradient, log_c.hessian


def _newton(precision: Tensor, slope: Tensor, bend: Tensor, upper: float) -> Tensor:
    """Newton's step in the precisions that no bound holds, solved relative to their size for good scaling."""
    held = ((precision >= upper) & (slope > 0)) | ((precision <= LOWEST) & (slope < 0))
    scaled = torch.where(held, 0.0, slope * precision)
    system = bend * precision.unsqueeze(-1) * precision.unsqueeze(-2)
    eye = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    free = ~(held.unsqueeze(-1) | held.unsqueeze(-2))
    system = torch.where(free, system, eye) + 1e-12 * eye
    return precision * torch.linalg.solve(system, scaled.unsqueeze(-1)).squeeze(-1)
