r"""Expectation maximisation for mixtures of von Mises chains.

It begins at a mixture of von Mises products. The M-step of centres and slopes has no closed form: one step of
Fisher scoring of the regression of every angle on the sines of those before it,

.. math:: \sum_n r_n \cos(e_n)\, \varphi_n \varphi_n^\top\, \delta = \sum_n r_n \sin(e_n)\, \varphi_n,
   \qquad \varphi = (1, \sin(x_j - \mu_j)_{j<i}), \quad e = x_i - m_i(x),

and then the concentrations, in closed form. A normal prior of deviation 1 holds the slopes. A step that would lower
the penalised likelihood of its member is shortened and in the end left out, so that it never falls.
Fisher and Lee, *Regression models for an angular response*, Biometrics 48 (1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.distributions.bessel import concentration
from manifold_gen.distributions.em import EMSettings, fit_von_mises_mixture, floored_weights
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.von_mises_chain import VonMisesChain

_DAMPING = (1.0, 0.25)
_PRIOR = 1.0  # precision of the normal prior of a slope
_LEAST_CURVATURE = 0.05  # of cos e in the weights: beyond a right angle the second derivative would turn round
_SHARE = 0.5  # of the steps of the products, from whose members the chains begin
_ROWS = 4096


@dataclass(frozen=True)
class _State:
    loc: Tensor
    slopes: Tensor
    kappa: Tensor
    weights: Tensor

    def family(self) -> VonMisesChain:
        return VonMisesChain(self.loc, self.slopes, self.kappa)


def fit_von_mises_chain_mixture(
    x: Tensor, k: int, generator: torch.Generator | None = None, settings: EMSettings | None = None
) -> Mixture:
    """Mixture of k von Mises chains by EM for angles ``(N, n)`` in radians.

    The fit is computed in float64 and returned in x's dtype. ``settings.steps`` are those of the products, and half as
    many follow for the chains.

    Args:
        x: angles ``(N, n)``, N ≥ k.
        k: number of components.
        generator: source of the starts; the global one where ``None``.
        settings: lengths and limits, see ``EMSettings``.

    Raises:
        ValueError: x is not ``(N, n)``, not finite, or has fewer rows than components.

    Example:
        >>> a = torch.linspace(-1, 1, 40)
        >>> fitted = fit_von_mises_chain_mixture(torch.stack([a, a + 0.1 * a.cos()], -1), 1)
        >>> bool(fitted.components.slopes[0, 1, 0] > 0.8)
        True
    """
    mixture, _ = chain_expectation_maximisation(x, k, generator, settings or EMSettings())
    return mixture


def chain_expectation_maximisation(
    x: Tensor, k: int, generator: torch.Generator | None, settings: EMSettings
) -> tuple[Mixture, list[float]]:
    """The fitted mixture and the penalised mean log-likelihood before each step."""
    start = fit_von_mises_mixture(x.double(), k, generator, settings)
    history: list[float] = []
    with torch.no_grad():
        points, product = x.double(), start.components
        n = points.shape[-1]
        state = _State(product.loc, points.new_zeros(k, n, n), product.kappa, torch.softmax(start.logits, -1))
        for _ in range(max(1, round(_SHARE * settings.steps)) if n > 1 else 0):
            joint = state.family().log_prob(points.unsqueeze(1)) + state.weights.log()
            evidence = torch.logsumexp(joint, -1, keepdim=True)
            history.append(float(evidence.mean() - _penalty(state.slopes).sum() / len(points)))
            if len(history) > 1 and history[-1] - history[-2] < settings.tolerance:
                break
            state = _maximise(points, torch.exp(joint - evidence), state, settings)
        mixture = Mixture(state.family(), state.weights.log())
    return mixture.to(device=x.device, dtype=x.dtype), history


def _maximise(x: Tensor, responsibility: Tensor, state: _State, settings: EMSettings) -> _State:
    count = responsibility.sum(0)
    weights = floored_weights(count, settings.weight_floor / count.shape[0])
    turns, curvatures, pulls = _moments(x, responsibility, state)
    stay = _concentrated(state.loc, state.slopes, turns, count, weights, settings)
    best, score = stay, _score(stay, turns, count)
    step_loc, step_slopes = _scoring_step(curvatures, pulls, stay)
    todo = torch.ones_like(score, dtype=torch.bool)
    for damping in _DAMPING:
        loc, slopes = state.loc + damping * step_loc, state.slopes + damping * step_slopes
        moved = _cosines(x, responsibility, loc, slopes)
        trial = _concentrated(loc, slopes, moved, count, weights, settings)
        better = todo & (_score(trial, moved, count) > score)
        best = _State(
            torch.where(better[:, None], trial.loc, best.loc),
            torch.where(better[:, None, None], trial.slopes, best.slopes),
            torch.where(better[:, None], trial.kappa, best.kappa),
            weights,
        )
        todo = todo & ~better
        if not bool(todo.any()):
            break
    return best


def _concentrated(
    loc: Tensor, slopes: Tensor, cosines: Tensor, count: Tensor, weights: Tensor, settings: EMSettings
) -> _State:
    """The state with the concentrations of maximum likelihood, which the means of cos e give."""
    mean = (cosines / count.clamp(min=1e-300).unsqueeze(-1)).clamp(0.0, 1.0)
    return _State(loc, slopes, concentration(mean, 0.0, settings.kappa_max), weights)


def _score(state: _State, cosines: Tensor, count: Tensor) -> Tensor:
    """Expected penalised log-likelihood of each member, ``(K,)``, up to what the state does not change."""
    normaliser = count.unsqueeze(-1) * (state.kappa + torch.special.i0e(state.kappa).log())
    return (state.kappa * cosines - normaliser).sum(-1) - _penalty(state.slopes)


def _penalty(slopes: Tensor) -> Tensor:
    return 0.5 * _PRIOR * slopes.square().sum((-2, -1))


def _errors(x: Tensor, loc: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Sines of the turns from the centres, and e = x − m, each ``(N, K, n)``."""
    turn = x.unsqueeze(1) - loc
    sines = torch.sin(turn)
    return sines, turn - (slopes @ sines.unsqueeze(-1)).squeeze(-1)


def _cosines(x: Tensor, responsibility: Tensor, loc: Tensor, slopes: Tensor) -> Tensor:
    """Σ r cos e, ``(K, n)``."""
    total = torch.zeros_like(loc)
    for rows, share in zip(x.split(_ROWS), responsibility.split(_ROWS), strict=True):
        total += torch.einsum("nk,nki->ki", share, torch.cos(_errors(rows, loc, slopes)[1]))
    return total


def _moments(x: Tensor, responsibility: Tensor, state: _State) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Σ r cos e ``(K, n)``, and for each angle i the matrix ``(K, i + 1, i + 1)`` and the right side of its step."""
    k, n = state.loc.shape
    cosines = torch.zeros_like(state.loc)
    matrices = [x.new_zeros(k, i + 1, i + 1) for i in range(n)]
    sides = [x.new_zeros(k, i + 1, 1) for i in range(n)]
    for rows, share in zip(x.split(_ROWS), responsibility.split(_ROWS), strict=True):
        sines, error = _errors(rows, state.loc, state.slopes)
        features = torch.cat([torch.ones_like(sines[..., :1]), sines], -1).transpose(0, 1)
        cosine = share.unsqueeze(-1) * torch.cos(error)
        cosines += cosine.sum(0)
        weight = torch.maximum(cosine, _LEAST_CURVATURE * share.unsqueeze(-1)).permute(1, 2, 0)
        pull = (share.unsqueeze(-1) * torch.sin(error)).permute(1, 2, 0)
        for i in range(n):
            seen = features[..., : i + 1]
            matrices[i] += (seen.mT * weight[:, i : i + 1]) @ seen
            sides[i] += seen.mT @ pull[:, i].unsqueeze(-1)
    return cosines, matrices, sides


def _scoring_step(matrices: list[Tensor], sides: list[Tensor], state: _State) -> tuple[Tensor, Tensor]:
    """Steps of centres ``(K, n)`` and slopes ``(K, n, n)``."""
    loc, slopes = torch.zeros_like(state.loc), torch.zeros_like(state.slopes)
    for i, (matrix, side) in enumerate(zip(matrices, sides, strict=True)):
        held = _PRIOR / state.kappa[:, i].clamp(min=1e-6).unsqueeze(-1)  # the prior in units of the likelihood's κ
        prior = torch.cat([torch.full_like(held, 1e-9), held.expand(-1, i)], -1)
        before = torch.cat([torch.zeros_like(held), state.slopes[:, i, :i]], -1)
        step = torch.linalg.solve(matrix + torch.diag_embed(prior), side - (prior * before).unsqueeze(-1)).squeeze(-1)
        loc[:, i], slopes[:, i, :i] = step[:, 0], step[:, 1:]
    return loc, slopes
