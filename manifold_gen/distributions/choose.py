"""One front for the mixtures: the family that fits the manifold, the number of components that fits the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.distributions.chain_em import fit_von_mises_chain_mixture
from manifold_gen.distributions.em import (
    EMSettings,
    fit_kent_mixture,
    fit_rotation_mixture,
    fit_von_mises_fisher_mixture,
)
from manifold_gen.distributions.heavy_tails import with_tails
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.wrapped_em import fit_wrapped_normal_mixture
from manifold_gen.manifolds.base import Manifold

MixtureFit = Callable[[Tensor, int, torch.Generator | None, EMSettings | None], Mixture]

_POINTS_PER_COMPONENT = 5
_PATIENCE = 2
# by the manifold's ``spec``: all of it, then the name before the dimension
_FITS: dict[str, MixtureFit] = {
    "sphere:2": fit_kent_mixture,
    "sphere": fit_von_mises_fisher_mixture,
    "torus": fit_von_mises_chain_mixture,
    "so3": fit_rotation_mixture,
}


def mixture_fit(manifold: Manifold) -> MixtureFit:
    """The EM of the family for a manifold: Kent on S², von Mises–Fisher on other spheres, chains of von Mises laws on
    tori, matrix Fisher on SO(3), wrapped normals elsewhere and on products.

    Example:
        >>> from manifold_gen.manifolds import Sphere
        >>> mixture_fit(Sphere(2)).__name__
        'fit_kent_mixture'
    """
    keys = (manifold.spec, manifold.spec.partition(":")[0])
    known = [_FITS[key] for key in keys if key in _FITS and len(manifold.factors) == 1]
    return known[0] if known else partial(fit_wrapped_normal_mixture, manifold)


def fit_mixture(
    manifold: Manifold,
    train_x: Tensor,
    val_x: Tensor,
    components: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128),
    seed: int = 0,
    settings: EMSettings | None = None,
    by_heart: float = float("inf"),
) -> Mixture:
    """The mixture of largest validation likelihood over numbers of components, ``with_tails``.

    The numbers are tried in ascending order, as far as there are five training points for each component, and until
    two in a row have brought no gain. Then each component is there a second time, wider. Which mixture comes out is a
    function of the arguments alone.

    Args:
        manifold: where the points live.
        train_x: ``(N, *shape)``.
        val_x: ``(V, *shape)``.
        components: numbers to choose from.
        seed: of the starts.
        settings: of every fit; default: two starts, tried on 5,000 points, and at most 60 steps.
        by_heart: nats by which a mixture may know its own points better than ``val_x`` and still be chosen; the
            first may in any case.

    Raises:
        ValueError: no number to choose from, no validation point, or points that cannot be fitted.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> points = torch.cat([torch.full((50, 1), 1.0), torch.full((50, 1), -1.0)])
        >>> points = points + 0.1 * torch.randn(100, 1, generator=torch.Generator().manual_seed(0))
        >>> fit_mixture(Torus(1), points[::2], points[1::2], components=(1, 2)).logits.shape
        torch.Size([4])
    """
    if not components or min(components) < 1 or not val_x.shape[0]:
        raise ValueError(
            f"components {tuple(components)} must be positive numbers, at least one, "
            f"and val_x of shape {tuple(val_x.shape)} must hold points to choose among them"
        )
    settings = settings or EMSettings(steps=60, tolerance=1e-5, restarts=2, trial_steps=8, trial_points=5_000)
    fit = mixture_fit(manifold)
    best, best_score, idle = None, -float("inf"), 0
    for k in sorted(set(components)):
        if best is not None and (k * _POINTS_PER_COMPONENT > train_x.shape[0] or idle == _PATIENCE):
            break
        mixture = fit(train_x, min(k, train_x.shape[0]), seeds.generator(seed, k), settings)
        score = _likelihood(mixture, val_x)
        learned = best is None or by_heart == float("inf") or _likelihood(mixture, train_x) - score <= by_heart
        better = score > best_score and learned
        idle = 0 if better else idle + 1
        if better:
            best, best_score = mixture, score
    return with_tails(best, val_x)


@torch.no_grad()
def _likelihood(mixture: Mixture, x: Tensor) -> float:
    return float(mixture.log_prob(x).double().mean())
