r"""A free-form flow whose latents follow a mixture that was fitted to the data first.

.. math:: \log p(x) = \log \sum_k w_k\, p_k(z) - \log|\det Dg(z)|, \qquad z = g^{-1}(x).

An untrained flow is the identity, so training begins at the mixture's own likelihood and the networks learn what is
left of it. The mixture is fitted by expectation maximisation and then held.
"""

from __future__ import annotations

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
from manifold_gen.models.free_form_flow import FreeFormFlow

HELD_OUT = 0.1  # of the training points, by which the number of components is chosen
# Nats by which a mixture may know its own points better than others: where it knows them by heart the networks find
# nothing to learn. On RNA's torsions 32 members end 0.44 nats better than 256, which are likelier by themselves.
BY_HEART = 0.5
LEAST_POINTS = 20
# log-weight of a component that is not used: finite, so that no difference of two is NaN
_NEVER = -1e4
# Networks learn what a fit that ends early has missed: on RNA's torsions it is 0.1 nats behind in a third of the time.
QUICK = EMSettings(steps=30, tolerance=1e-4, restarts=1, trial_steps=1, trial_points=5_000)


class MixtureBase(Distribution):
    """A mixture of the manifold's family with room for ``components`` members, until ``fit`` those of no data.

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
        points = default_base(manifold).sample(5 * components, generator=seeds.generator(0))
        once = EMSettings(steps=1, restarts=1, trial_steps=1)
        self.mixture = mixture_fit(manifold)(points, components, seeds.generator(0), once)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density, ``(*batch,)``."""
        return self.mixture.log_prob(x)

    def sample(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, *manifold.shape)`` points."""
        return self.mixture.sample(n, generator=generator)

    @torch.no_grad()
    def fit(self, x: Tensor, seed: int = 0) -> None:
        """Take the mixture of up to ``components`` members that is likeliest on a tenth of ``x`` held out.

        Raises:
            UsageError: fewer than ``LEAST_POINTS`` points.
        """
        if len(x) < LEAST_POINTS:
            raise UsageError(f"a mixture was to be fitted to {len(x)} points, expected at least {LEAST_POINTS}")
        order = torch.randperm(len(x), generator=seeds.generator(seed)).to(x.device)
        held = x[order[: max(1, round(HELD_OUT * len(x)))]]
        rest = x[order[len(held) :]]
        counts = candidates(self.components)
        self._take(fit_mixture(self.manifold, rest.cpu(), held.cpu(), counts, seed, QUICK, BY_HEART))

    def _take(self, found: Mixture) -> None:
        """Parameters of ``found``, its first member in the places that are left."""
        count = len(found.logits)
        place = torch.arange(self.components)
        used = place < count
        place = torch.where(used, place, 0)
        own = dict(self.mixture.named_buffers())
        for name, value in found.named_buffers():
            full = value[place] if value.shape[:1] == (count,) else value
            if name.startswith("_logits"):
                full = torch.where(used, full, _NEVER)
            own[name].copy_(full)


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


class MixtureBaseFlow(FreeFormFlow):
    """A ``FreeFormFlow`` from a mixture fitted to the training points.

    The mixture is fitted when a training begins, once: another training of the same model keeps it. It takes no
    context; networks do.

    Args:
        manifold: where data and latents live.
        components: of the mixture, at most; as many as raise the likelihood of held-out points.
        others: as in ``FreeFormFlow``.

    Raises:
        UsageError: fewer than one component, clouds of many sizes, or as ``FreeFormFlow``.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> flow = MixtureBaseFlow(Torus(2), components=4, width=8, depth=1)
        >>> flow.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        components: int = 128,
        width: int = 64,
        depth: int = 3,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        stages: int = 1,
        head: str = "auto",
        volume: str = "auto",
        probes: int = 1,
        reconstruction: float = 30.0,
        latent_reconstruction: float = 30.0,
        proposal_reconstruction: float = 3.0,
        tightening: float = 1.0,
        fold_penalty: float = 1.0,
        fold_margin: float = 5e-4,
        latent_stride: int = 2,
        proposal_stride: int = 4,
        noise: float = 0.0,
        annealing: float = 0.0,
        proposal_scale: float = 3.0,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        super().__init__(manifold, **{k: v for k, v in hyperparameters.items() if k != "components"})
        self.hyperparameters = hyperparameters
        self.base = MixtureBase(manifold, components).to(next(self.parameters()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def prepare(self, train: Split) -> None:
        """Fit the mixture to the rows, unless it has been."""
        if not bool(self.fitted):
            self.base.fit(train.x, self.hyperparameters["seed"])
            self.fitted.fill_(True)

    def on_size(self, manifold: Manifold) -> MixtureBaseFlow:
        """Refused: a mixture has one size.

        Raises:
            UsageError: always.
        """
        raise UsageError("a mixture is fitted to clouds of one size; choose free-form-flow for clouds of many")
