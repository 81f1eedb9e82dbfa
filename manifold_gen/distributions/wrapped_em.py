"""Expectation maximisation for mixtures of wrapped normals on any manifold.

The M-step of the centres has no closed form: each takes a damped step along the gradient of the expected
log-likelihood, in units of its own scales, which on a flat space is the weighted mean and on a curved one a step to
the Karcher mean, corrected for the volume of the exponential map. A step that would lower the expected log-likelihood
of its component is shortened and in the end left out, so the log-likelihood never falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.distributions.drawing import categories, uniforms
from manifold_gen.distributions.em import EMSettings, floored_weights
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.wrapped_normal import WrappedNormal, largest_scale
from manifold_gen.manifolds.base import Manifold

_DAMPING = (1.0, 0.5, 0.125)


@dataclass(frozen=True)
class _State:
    loc: Tensor
    scale: Tensor
    weights: Tensor


def fit_wrapped_normal_mixture(
    manifold: Manifold,
    x: Tensor,
    k: int,
    generator: torch.Generator | None = None,
    settings: EMSettings | None = None,
) -> Mixture:
    """Mixture of k wrapped normals by EM, each with a scale per vector of the tangent basis at its centre.

    The fit is computed in float64 and returned in x's dtype. Scales lie between 1/√``kappa_max`` and the largest that
    keeps the mass within the injectivity radius.

    Args:
        manifold: where the points live.
        x: points ``(N, *shape)``, N ≥ k.
        k: number of components.
        generator: source of the starts; the global one where ``None``.
        settings: lengths and limits, see ``EMSettings``.

    Raises:
        ValueError: x is not ``(N, *shape)``, not finite, or has fewer rows than components.

    Example:
        >>> from manifold_gen.manifolds import PoincareBall
        >>> points = torch.tensor([[0.1, 0.0], [0.2, 0.1], [-0.5, 0.0], [-0.5, 0.1]])
        >>> fit_wrapped_normal_mixture(PoincareBall(2), points, 2).components.scale.shape
        torch.Size([2, 2])
    """
    mixture, _ = wrapped_expectation_maximisation(manifold, x, k, generator, settings or EMSettings())
    return mixture


def wrapped_expectation_maximisation(
    manifold: Manifold, x: Tensor, k: int, generator: torch.Generator | None, settings: EMSettings
) -> tuple[Mixture, list[float]]:
    """The fitted mixture and the mean log-likelihood before each step of the final run."""
    if x.shape[1:] != torch.Size(manifold.shape) or not 1 <= k <= x.shape[0]:
        raise ValueError(
            f"x of shape {tuple(x.shape)} must be points (N, {str(tuple(manifold.shape))[1:]} of {manifold} with at "
            f"least k = {k} rows, k at least 1"
        )
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"x of shape {tuple(x.shape)} must be finite, got NaN or infinity")
    with torch.no_grad():
        points = x.double()
        order = uniforms(x.shape[0], like=points, generator=generator).argsort()
        trial = points[order[: max(settings.trial_points, k)]]
        best, best_score = None, -math.inf
        for _ in range(settings.restarts):
            start = _start(manifold, trial, k, generator, settings)
            state, history = _run(manifold, trial, start, settings.trial_steps, settings)
            if history[-1] > best_score:
                best, best_score = state, history[-1]
        state, history = _run(manifold, points, best, settings.steps, settings)
        mixture = Mixture(WrappedNormal(manifold, state.loc, state.scale), state.weights.log())
    return mixture.to(device=x.device, dtype=x.dtype), history


def _run(manifold: Manifold, x: Tensor, state: _State, steps: int, settings: EMSettings) -> tuple[_State, list[float]]:
    history: list[float] = []
    for _ in range(steps):
        joint = _log_density(manifold, x, state) + state.weights.log()
        evidence = torch.logsumexp(joint, -1, keepdim=True)
        history.append(float(evidence.mean()))
        if len(history) > 1 and history[-1] - history[-2] < settings.tolerance:
            break
        state = _maximise(manifold, x, torch.exp(joint - evidence), state, settings)
    return state, history


def _log_density(manifold: Manifold, x: Tensor, state: _State) -> Tensor:
    """Log-density of every member at every point, ``(N, K)``."""
    return WrappedNormal(manifold, state.loc, state.scale).log_prob(x.unsqueeze(1))


def _maximise(manifold: Manifold, x: Tensor, responsibility: Tensor, state: _State, settings: EMSettings) -> _State:
    count = responsibility.sum(0)
    share = responsibility / count.clamp(min=1e-300)
    weights = floored_weights(count, settings.weight_floor / count.shape[0])
    stay = _State(state.loc, _scales(manifold, x, share, state.loc, settings), weights)
    score = (share * _log_density(manifold, x, stay)).sum(0)
    loc, scale = stay.loc, stay.scale
    direction = _direction(manifold, x, share, stay)
    todo = torch.ones_like(score, dtype=torch.bool)
    for damping in _DAMPING:
        moved = manifold.projx(manifold.expmap(state.loc, damping * direction))
        trial = _State(moved, _scales(manifold, x, share, moved, settings), weights)
        better = todo & ((share * _log_density(manifold, x, trial)).sum(0) > score)
        loc = torch.where(better.reshape(-1, *(1,) * len(manifold.shape)), trial.loc, loc)
        scale = torch.where(better.unsqueeze(-1), trial.scale, scale)
        todo = todo & ~better
        if not bool(todo.any()):
            break
    return _State(loc, scale, weights)


def _coordinates(manifold: Manifold, x: Tensor, loc: Tensor) -> Tensor:
    """Logarithms of all points at all centres in their tangent bases, ``(N, K, n)``."""
    events = len(manifold.shape)
    u = manifold.logmap(loc, x.unsqueeze(1))
    return manifold.inner(loc.unsqueeze(1), manifold.tangent_basis(loc), u.unsqueeze(-1 - events))


def _scales(manifold: Manifold, x: Tensor, share: Tensor, loc: Tensor, settings: EMSettings) -> Tensor:
    """Scales of maximum likelihood for given centres, ``(K, n)``; where exp is not injective, for the nearest image."""
    variance = torch.einsum("nk,nki->ki", share, _coordinates(manifold, x, loc).square())
    least = settings.kappa_max**-0.5
    return variance.sqrt().clamp(min=least, max=max(least, largest_scale(manifold)))


def _direction(manifold: Manifold, x: Tensor, share: Tensor, state: _State) -> Tensor:
    """The gradient in the centres times the variances, a tangent vector for each."""
    mean = torch.einsum("nk,nki->ki", share, _coordinates(manifold, x, state.loc))
    with torch.enable_grad():
        loc = state.loc.clone().requires_grad_()
        centre = loc.expand(x.shape[0], *loc.shape)
        volume = manifold.log_det_exp(centre, manifold.logmap(centre, x.unsqueeze(1)))
        (slope,) = torch.autograd.grad((share * volume).sum(), loc)
    pull = manifold.to_coordinates(state.loc, manifold.egrad2rgrad(state.loc, slope))
    return manifold.from_coordinates(state.loc, mean - state.scale.square() * pull)


def _start(manifold: Manifold, x: Tensor, k: int, generator: torch.Generator | None, settings: EMSettings) -> _State:
    """k-means++ centres by geodesic distance, scales from the nearest points, equal weights."""
    centres = [x[int(uniforms(1, like=x, generator=generator) * x.shape[0])]]
    distances = [manifold.dist2(centres[0], x)]
    for _ in range(k - 1):
        nearest = torch.stack(distances).amin(0)
        spread = nearest if bool((nearest > 0).any()) else torch.ones_like(nearest)
        centres.append(x[categories(spread, 1, generator)[0]])
        distances.append(manifold.dist2(centres[-1], x))
    hard = torch.nn.functional.one_hot(torch.stack(distances, -1).argmin(-1), k).to(x)
    soft = 0.95 * hard + 0.05 / k
    loc = torch.stack(centres)
    scale = _scales(manifold, x, soft / soft.sum(0), loc, settings)
    return _State(loc, scale, soft.sum(0) / x.shape[0])
