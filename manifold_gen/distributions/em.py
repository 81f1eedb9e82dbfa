"""Expectation maximisation for mixtures of exponential families.

For a family log p(x) = ⟨η, T(x)⟩ − A(η) the E-step is one matrix product T(x) ηᵀ and the M-step one product rᵀ T(x):
nothing else of the data is needed. The weight floor and the bound on the concentration are constraints of the
maximisation, solved exactly, so the log-likelihood never falls and no component can collapse onto a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from manifold_gen.distributions.base import Family
from manifold_gen.distributions.drawing import categories, uniforms
from manifold_gen.distributions.kent import Kent
from manifold_gen.distributions.matrix_fisher import MatrixFisher
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.von_mises import VonMisesProduct
from manifold_gen.distributions.von_mises_fisher import VonMisesFisher


class ExponentialFamily(Protocol):
    """What EM needs of a family class."""

    def statistics(self, x: Tensor) -> Tensor:
        """Sufficient statistics T(x), ``(N, p)``."""

    def from_moments(self, moments: Tensor, kappa_max: float, start: Family | None = None) -> Family:
        """The members of maximum likelihood for mean statistics ``(K, p)``, sought from those of ``start``."""


@dataclass(frozen=True)
class EMSettings:
    """How long and how often.

    Attributes:
        steps: most EM steps of the final run.
        tolerance: the run ends when the mean log-likelihood gains less than this in a step, in nats.
        restarts: independent k-means++ starts, of which the best after ``trial_steps`` is continued.
        trial_steps: EM steps of every start.
        trial_points: most points that the starts are tried on; the final run takes all.
        kappa_max: largest concentration.
        weight_floor: smallest weight, as a share of 1/K.
    """

    steps: int = 200
    tolerance: float = 1e-6
    restarts: int = 4
    trial_steps: int = 15
    trial_points: int = 20_000
    kappa_max: float = 1e4
    weight_floor: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.steps, self.restarts, self.trial_steps, self.trial_points) < 1:
            raise ValueError(f"steps, restarts, trial_steps and trial_points must be at least 1, got {self}")
        if not (self.kappa_max > 0 and 0 <= self.weight_floor <= 1):
            raise ValueError(f"kappa_max must be positive and weight_floor in [0, 1], got {self}")


@dataclass(frozen=True)
class _State:
    family: Family
    weights: Tensor


def fit_von_mises_mixture(
    x: Tensor, k: int, generator: torch.Generator | None = None, settings: EMSettings | None = None
) -> Mixture:
    """Mixture of k von Mises products by EM for angles ``(N, n)`` in radians.

    The fit is computed in float64 and returned in x's dtype.

    Args:
        x: angles ``(N, n)``, N ≥ k.
        k: number of components.
        generator: source of the starts; the global one where ``None``.
        settings: lengths and limits, see ``EMSettings``.

    Raises:
        ValueError: x is not ``(N, n)``, not finite, or has fewer rows than components.

    Example:
        >>> angles = torch.tensor([[0.1], [-0.1], [3.0], [3.2]])
        >>> fitted = fit_von_mises_mixture(angles, 2, torch.Generator().manual_seed(0))
        >>> fitted.components.loc.shape
        torch.Size([2, 1])
    """
    mixture, _ = expectation_maximisation(VonMisesProduct, x, k, generator, settings or EMSettings())
    return mixture


def fit_von_mises_fisher_mixture(
    x: Tensor, k: int, generator: torch.Generator | None = None, settings: EMSettings | None = None
) -> Mixture:
    """Mixture of k von Mises–Fisher distributions by EM for unit vectors ``(N, n + 1)``; otherwise as above.

    Example:
        >>> points = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
        >>> fit_von_mises_fisher_mixture(points, 2, torch.Generator().manual_seed(0)).components.kappa.shape
        torch.Size([2])
    """
    mixture, _ = expectation_maximisation(VonMisesFisher, x, k, generator, settings or EMSettings())
    return mixture


def fit_kent_mixture(
    x: Tensor, k: int, generator: torch.Generator | None = None, settings: EMSettings | None = None
) -> Mixture:
    """Mixture of k Kent distributions by EM for unit vectors ``(N, 3)``; κ + 2β is at most ``kappa_max``.

    Example:
        >>> points = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
        >>> fit_kent_mixture(points, 2, torch.Generator().manual_seed(0)).components.beta.shape
        torch.Size([2])
    """
    mixture, _ = expectation_maximisation(Kent, x, k, generator, settings or EMSettings())
    return mixture


def fit_rotation_mixture(
    x: Tensor, k: int, generator: torch.Generator | None = None, settings: EMSettings | None = None
) -> Mixture:
    """Mixture of k matrix Fisher distributions by EM for rotations ``(N, 3, 3)``; precisions at most ``kappa_max``.

    Example:
        >>> from manifold_gen.manifolds import SO3
        >>> fit_rotation_mixture(SO3().random_uniform(50), 2, torch.Generator().manual_seed(0)).components.loc.shape
        torch.Size([2, 3, 3])
    """
    if x.dim() != 3 or x.shape[1:] != (3, 3):
        raise ValueError(f"x of shape {tuple(x.shape)} must be rotations (N, 3, 3)")
    settings = settings or EMSettings()
    mixture, _ = expectation_maximisation(MatrixFisher, x.reshape(-1, 9), k, generator, settings)
    return mixture


def expectation_maximisation(
    family: ExponentialFamily, x: Tensor, k: int, generator: torch.Generator | None, settings: EMSettings
) -> tuple[Mixture, list[float]]:
    """The fitted mixture and the mean log-likelihood before each step of the final run."""
    if x.dim() != 2 or not 1 <= k <= x.shape[0]:
        raise ValueError(f"x of shape {tuple(x.shape)} must be (N, d) with at least k = {k} rows, k at least 1")
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"x of shape {tuple(x.shape)} must be finite, got NaN or infinity")
    with torch.no_grad():
        statistics = family.statistics(x.double())
        order = uniforms(x.shape[0], like=statistics, generator=generator).argsort()
        trial = statistics[order[: max(settings.trial_points, k)]]
        best, best_score = None, -float("inf")
        for _ in range(settings.restarts):
            start = _start(family, trial, k, generator, settings)
            state, history = _run(family, trial, start, settings.trial_steps, settings)
            if history[-1] > best_score:
                best, best_score = state, history[-1]
        state, history = _run(family, statistics, best, settings.steps, settings)
        mixture = Mixture(state.family, state.weights.log())
    return mixture.to(device=x.device, dtype=x.dtype), history


def _run(
    family: ExponentialFamily, statistics: Tensor, state: _State, steps: int, settings: EMSettings
) -> tuple[_State, list[float]]:
    history: list[float] = []
    for _ in range(steps):
        responsibility, score = _expect(statistics, state)
        history.append(score)
        if len(history) > 1 and history[-1] - history[-2] < settings.tolerance:
            break
        state = _maximise(family, statistics, responsibility, settings, state.family)
    return state, history


def _expect(statistics: Tensor, state: _State) -> tuple[Tensor, float]:
    natural, log_normaliser = state.family.natural()
    joint = statistics @ natural.mT + (state.weights.log() - log_normaliser)
    evidence = torch.logsumexp(joint, -1, keepdim=True)
    return torch.exp(joint - evidence), float(evidence.mean())


def _maximise(
    family: ExponentialFamily,
    statistics: Tensor,
    responsibility: Tensor,
    settings: EMSettings,
    start: Family | None = None,
) -> _State:
    count = responsibility.sum(0)
    moments = (responsibility.mT @ statistics) / count.clamp(min=1e-300).unsqueeze(-1)
    floor = settings.weight_floor / count.shape[0]
    return _State(family.from_moments(moments, settings.kappa_max, start), floored_weights(count, floor))


def floored_weights(count: Tensor, floor: float) -> Tensor:
    """The weights w ≥ floor, Σw = 1, that maximise Σ count·log w: those below are lifted, the rest keep proportion."""
    low = torch.zeros_like(count, dtype=torch.bool)
    weights = count / count.sum()
    while bool((weights < floor).any()):
        low = low | (weights < floor)
        rest = torch.where(low, 0.0, count)
        weights = torch.where(low, floor, rest / rest.sum() * (1 - floor * low.sum()))
    return weights


def _start(
    family: ExponentialFamily, statistics: Tensor, k: int, generator: torch.Generator | None, settings: EMSettings
) -> _State:
    """k-means++ centres in the space of statistics, then one softened hard assignment."""
    first = int(uniforms(1, like=statistics, generator=generator) * statistics.shape[0])
    centres = [statistics[first]]
    nearest = (statistics - centres[0]).square().sum(-1)
    for _ in range(k - 1):
        spread = nearest if bool((nearest > 0).any()) else torch.ones_like(nearest)
        centres.append(statistics[categories(spread, 1, generator)[0]])
        nearest = torch.minimum(nearest, (statistics - centres[-1]).square().sum(-1))
    distance = torch.cdist(statistics, torch.stack(centres))
    hard = torch.nn.functional.one_hot(distance.argmin(-1), k).to(statistics)
    return _maximise(family, statistics, 0.95 * hard + 0.05 / k, settings)
