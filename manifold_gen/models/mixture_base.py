r"""Latents that follow a mixture fitted to the data first, in place of a law that knows nothing of them.

.. math:: p_0(z) = \sum_k w_k\, p_k(z)

An untrained flow is the identity, so training begins at the mixture's own likelihood and the networks learn what is
left of it. The mixture is fitted by expectation maximisation and then held.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data.base import Split
from manifold_gen.distributions import default_base
from manifold_gen.distributions.base import Distribution
from manifold_gen.distributions.choose import fit_mixture, mixture_fit
from manifold_gen.distributions.em import EMSettings
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.base import GenerativeModel

HELD_OUT = 0.1  # of the training points, by which the number of components is chosen
# Nats by which a mixture may know its own points better than others: where it knows them by heart the networks find
# nothing to learn. On RNA's torsions 32 members end 0.44 nats better than 256, which are likelier by themselves.
BY_HEART = 0.5
LEAST_POINTS = 20
MOST_POINTS = 20_000  # that a mixture is fitted to: more only take the time that networks would learn in
# Networks learn what a fit that ends early has missed: on RNA's torsions it is 0.1 nats behind in a third of the time.
QUICK = EMSettings(steps=30, tolerance=1e-4, restarts=1, trial_steps=1, trial_points=5_000)


class MixtureBase(Distribution):
    """A mixture of the manifold's family of at most ``components`` members, until ``fit`` one that knows no data.

    Args:
        manifold: where it lives.
        components: at most.

    Raises:
        UsageError: fewer than one.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> base = MixtureBase(Torus(1), 4)
        >>> points = torch.cat([torch.full((40, 1), 1.0), torch.full((40, 1), -1.0)])
        >>> base.fit(points + 0.1 * torch.randn(80, 1, generator=torch.Generator().manual_seed(0)))
        >>> bool(base.log_prob(torch.tensor([[1.0]])) > 0.5)
        True
    """

    def __init__(self, manifold: Manifold, components: int) -> None:
        super().__init__(manifold)
        if components < 1:
            raise UsageError(f"components is {components}, expected at least 1")
        self.components = components
        self.mixture = self._ignorant(1)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``."""
        return self.mixture.log_prob(x)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points."""
        return self.mixture.sample(n, generator=generator)

    @torch.no_grad()
    def fit(self, x: Tensor, seed: int = 0) -> None:
        """Take the mixture of up to ``components`` members that is likeliest on a tenth of ``x`` held out.

        No more members are tried than would have as many points each as numbers that describe one.

        Raises:
            UsageError: fewer than ``LEAST_POINTS`` points.
        """
        if len(x) < LEAST_POINTS:
            raise UsageError(f"a mixture was to be fitted to {len(x)} points, expected at least {LEAST_POINTS}")
        order = torch.randperm(len(x), generator=seeds.generator(seed)).to(x.device)
        held = x[order[: max(1, round(HELD_OUT * len(x)))]]
        rest = x[order[len(held) :][:MOST_POINTS]]
        described = sum(buffer.numel() for buffer in self.mixture.buffers()) / len(self.mixture.logits)
        tried = candidates(self.components)
        counts = [count for count in tried if count * described <= len(rest)] or tried[:1]
        found = fit_mixture(self.manifold, rest.cpu(), held.cpu(), counts, seed, QUICK, BY_HEART)
        self.mixture = found.to(self.mixture.logits)

    def _ignorant(self, count: int) -> Mixture:
        """Of ``count`` members, fitted to draws of the default base."""
        points = default_base(self.manifold).sample(5 * count, generator=seeds.generator(0))
        once = EMSettings(steps=1, restarts=1, trial_steps=1)
        return mixture_fit(self.manifold)(points, count, seeds.generator(0), once)

    def make_room(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        """As many members as the saved ``tensors`` have, so that they fit."""
        saved = tensors.get(f"{prefix}mixture._logits.value")
        if saved is not None and len(saved) != len(self.mixture.logits):
            self.mixture = self._ignorant(len(saved)).to(self.mixture.logits)

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *rest: object) -> None:
        self.make_room(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def candidates(most: int) -> list[int]:
    """Numbers of components that are tried: ``most`` and a quarter each of the one before.

    >>> candidates(128), candidates(3)
    ([2, 8, 32, 128], [1, 3])
    """
    found = []
    while most >= 1:
        found.insert(0, most)
        most = most // 4 if most >= 4 else most // 3
    return found


class FromMixture(GenerativeModel):
    """What a model with a ``base`` becomes when that base is a mixture fitted to the training points.

    The mixture is fitted when a training begins, once: another training of the same model keeps it. It takes no
    context; networks do.
    """

    def begin_at(self, components: int) -> None:
        """Take a mixture with room for ``components`` members as the base."""
        self.hyperparameters = {"components": components, **self.hyperparameters}
        self.base = MixtureBase(self.manifold, components).to(next(self.parameters()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def prepare(self, train: Split) -> None:
        """Fit the mixture to the rows, unless it has been."""
        if not bool(self.fitted):
            self.base.fit(train.x, self.hyperparameters["seed"])
            self.fitted.fill_(True)

    def on_size(self, manifold: Manifold) -> GenerativeModel:
        """Refused: a mixture has one size.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{type(self).__name__} begins at a mixture, which is fitted to clouds of one size; choose free-form-flow "
            "or flow-matching for clouds of many"
        )
