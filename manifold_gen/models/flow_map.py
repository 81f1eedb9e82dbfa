r"""Flow maps: samplers in one, two, four … evaluations, learned without solving an equation.

The flow of a field v carries a point at time s to :math:`X_{s,t}(x)` at time t. It is written as one geodesic step,

.. math:: X_{s,t}(x) = \exp_x\big((t - s)\, v_{s,t}(x)\big),

with a network for the average velocity :math:`v_{s,t}`, so that X_{s,s} is the identity and the field itself is the
diagonal :math:`v_{t,t}`. The diagonal is learned by flow matching; off it the map must obey the equation of the flow,
which it is regressed on with its own diagonal for a field (Lagrangian self-distillation):

.. math:: E_{t,z,x_1} |v_{t,t}(x_t) - \dot x_t|^2
          + E_{s<t} \big|\partial_t X_{s,t}(x_s) - \mathrm{sg}\, v_{t,t}(X_{s,t}(x_s))\big|^2

with sg for what is held still: the field teaches the map, never the other way round. Where both terms reach their least
values, X is the flow of the flow-matching field.

Boffi, Albergo and Vanden-Eijnden, *Flow map matching* (2024) and *How to build a consistency model: learning flow maps
via self-distillation* (2025); on manifolds Davis et al., *Generalised flow maps for few-step generative modelling on
Riemannian manifolds* (2025).
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from manifold_gen.derivatives import derivative_along
from manifold_gen.distributions import default_base
from manifold_gen.errors import UsageError
from manifold_gen.geodesics import geodesic
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.chunks import CHUNK, in_chunks
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.models.resizing import resized
from manifold_gen.networks.choose import two_time_field
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.networks.flow_map import TwoTimeField


class FewStepModel(GenerativeModel):
    """What the models of X_{s,t} share: the map, and sampling by composing it.

    Args:
        manifold: where data and latents live.
        field: the network of the average velocity.
        context: what it is conditioned on.
        steps: evaluations per sample unless a call names its own.

    Raises:
        UsageError: fewer than one step.
    """

    def __init__(self, manifold: Manifold, field: TwoTimeField, context: ContextEmbedding, steps: int) -> None:
        super().__init__(manifold)
        self.field, self.context, self.steps = field, context, _checked(steps)
        self.base = default_base(manifold)

    def on_size(self, manifold: PointCloud) -> Self:
        """The same networks on clouds of another size; weights are shared, not copied."""
        return resized(self, manifold)

    def flow(self, x: Tensor, s: Tensor | float, t: Tensor | float, context: Tensor | None = None) -> Tensor:
        """X_{s,t}(x), one evaluation: where points ``(*batch, *shape)`` at time ``s`` are at time ``t``.

        Times are numbers, or one a point ``(*batch,)``.
        """
        s, t = (torch.as_tensor(time, dtype=x.dtype, device=x.device).expand(self._batch(x)) for time in (s, t))
        return self._step(x, s, t, self.context(context))

    def decode(self, z: Tensor, context: Tensor | None = None, steps: int | None = None) -> Tensor:
        """Data points that the latents ``z`` are mapped to, shape as ``z``, in ``steps`` equal steps of time."""
        count, embedded = self.steps if steps is None else _checked(steps), self.context(context)
        times = torch.linspace(0.0, 1.0, count + 1, dtype=z.dtype, device=z.device)
        for s, t in itertools.pairwise(times):
            z = self._step(z, s.expand(self._batch(z)), t.expand(self._batch(z)), embedded)
        return z

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        steps: int | None = None,
        chunk: int = CHUNK,
    ) -> Tensor:
        """Draw ``(n, *shape)`` points with ``steps`` evaluations each, ``chunk`` points at a time."""
        if n < 0:
            raise UsageError(f"cannot draw n = {n} points; n must be 0 or more")
        z = self.base.sample(n, generator=generator)
        return in_chunks(lambda rows, here: self.decode(rows, here, steps), z, context, chunk)

    @abstractmethod
    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Terms of the loss, each ``(batch,)``."""

    def arrival(self, x: Tensor, span: Tensor, output: Tensor) -> Tensor:
        """Where the geodesic step of duration ``span`` leads that a free output of the network means at ``x``."""
        return self.manifold.expmap(x, span * self.manifold.tangent(x, output))

    def _step(self, x: Tensor, s: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
        return self.manifold.expmap(x, self._column(t - s) * self.field(x, s, t, context))

    def _column(self, t: Tensor) -> Tensor:
        """A number per point, shaped to multiply points."""
        return t.reshape(*t.shape, *(1,) * len(self.manifold.shape))

    def _batch(self, x: Tensor) -> torch.Size:
        return x.shape[: x.dim() - len(self.manifold.shape)]


class FlowMap(FewStepModel):
    """A generalised flow map, learned by Lagrangian self-distillation or from a trained flow.

    ``distil`` replaces the diagonal by the field of a teacher: the map is then learned from it alone, and the data only
    say where.

    Args:
        manifold: where data and latents live; its exponential map and logarithm draw the paths.
        width, depth: of the residual network.
        frequency, waves, decay: largest wave number of the features, how many at most, and how their amplitudes fall.
        time_waves: how many waves of each time the network sees.
        share: of the rows of a batch that the map is compared on, weighted up by its inverse; the field sees them all.
        origin: share of those that start at time 0, where a sample in one step does.
        steps: evaluations per sample unless a call names its own.
        context_features: length of a continuous context vector, 0 for none.
        context_categories: number of categories of a categorical context, 0 for none.
        seed: of the random wave vectors and of the initial weights.

    Raises:
        UsageError: fewer than one step, or a share outside its range.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> flow = FlowMap(Torus(2), width=16, depth=1)
        >>> flow.sample(3, steps=2).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        manifold: Manifold,
        *,
        width: int = 64,
        depth: int = 3,
        frequency: float = 6.0,
        waves: int = 128,
        decay: float = 1.0,
        time_waves: int = 4,
        share: float = 0.5,
        origin: float = 0.5,
        steps: int = 1,
        context_features: int = 0,
        context_categories: int = 0,
        seed: int = 0,
    ) -> None:
        hyperparameters = {k: v for k, v in locals().items() if k not in ("self", "manifold", "__class__")}
        if not 0 < share <= 1 or not 0 <= origin <= 1:
            raise UsageError(f"share = {share} and origin = {origin}; expected shares, the first above 0")
        embedding = ContextEmbedding(context_features, context_categories)
        field = two_time_field(
            manifold, width, depth, frequency, waves, decay, time_waves, embedding.out_features, seed
        )  # fmt: skip
        super().__init__(manifold, field, embedding, steps)
        self.share, self.origin, self.hyperparameters = share, origin, hyperparameters
        self._teacher: tuple[ContinuousDistribution, ...] = ()  # in a tuple it is no part of the state

    def distil(self, teacher: ContinuousDistribution | None) -> None:
        """Learn from the field of ``teacher`` from now on; ``None`` ends that. A checkpoint does not hold it.

        Of families of clouds give the members: ``student.member.distil(teacher.member)``.

        Raises:
            UsageError: the teacher lives on another manifold.
        """
        if teacher is not None and teacher.manifold.spec != self.manifold.spec:
            raise UsageError(f"the teacher lives on {teacher.manifold.spec}, this model on {self.manifold.spec}")
        self._teacher = () if teacher is None else (teacher,)

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Latents of the base, times of the field ``(n,)`` and pairs s ≤ t of the map ``(n, 2)``."""
        latent = self.base.sample(n, generator=generator)
        drawn = torch.rand(n, 4, generator=generator, dtype=latent.dtype, device=latent.device)
        pair = drawn[:, 1:3].sort(-1).values
        from_start = torch.stack([torch.zeros_like(drawn[:, 1]), drawn[:, 1]], -1)
        span = torch.where(drawn[:, 3:] < self.origin, from_start, pair)
        return {"latent": latent, "time": drawn[:, 0], "span": span}

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``matching``: the diagonal against the geodesic's velocity; ``lagrangian``: the map against its field."""
        return self._losses(x, context, auxiliary, max(1, round(self.share * len(x))))

    def validation(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """``losses`` with the map compared on every row."""
        return self._losses(x, context, auxiliary, len(x))

    def _losses(
        self, x: Tensor, context: Tensor | None, auxiliary: Mapping[str, Tensor] | None, rows: int
    ) -> dict[str, Tensor]:
        drawn, embedded = self.auxiliary(len(x)) if auxiliary is None else auxiliary, self.context(context)
        z, time = drawn["latent"], drawn["time"]
        for teacher in self._teacher:
            z = teacher.coupled(z, x)
        x_t, velocity = geodesic(self.manifold, z, x, time)
        if self._teacher:
            velocity = self._taught(x_t, time, context, embedded)
        matching = self.manifold.inner(x_t, self.field(x_t, time, time, embedded) - velocity)
        s, t = drawn["span"][:rows].unbind(-1)
        x_s = self.manifold.expmap(z[:rows], self._column(s) * self.manifold.logmap(z[:rows], x[:rows]))
        context, embedded = (None if c is None else c[:rows] for c in (context, embedded))
        y, rate = self.flow_rate(x_s, s, t, embedded)
        residual = self.manifold.inner(y, rate - self._taught(y, t, context, embedded))
        lagrangian = torch.cat([residual * (len(x) / rows), residual.new_zeros(len(x) - rows)])
        return {"matching": matching, "lagrangian": lagrangian}

    def flow_rate(self, x: Tensor, s: Tensor, t: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """X_{s,t}(x), held still, and ∂_t X_{s,t}(x); ``context`` is embedded already."""
        output, change = self.field.pushforward(x, s, t, (0.0, 1.0), context=context)
        span = self._column(t - s)
        moves = (torch.ones_like(span), change)
        y, rate = derivative_along(lambda span, output: self.arrival(x, span, output), (span, output), moves)
        return y.detach(), rate

    @torch.no_grad()
    def _taught(self, x: Tensor, t: Tensor, context: Tensor | None, embedded: Tensor | None) -> Tensor:
        """The field to follow: the teacher's, or the diagonal."""
        for teacher in self._teacher:
            return teacher.velocity(x, t, teacher.context(context))
        return self.field(x, t, t, embedded)


def _checked(steps: int) -> int:
    if steps < 1:
        raise UsageError(f"a sample takes {steps} steps; expected at least 1")
    return steps
