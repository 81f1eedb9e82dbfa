"""Pairs of a continuous model's deterministic flow: latents, the data points they flow to, and how volumes change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from manifold_gen import calculus, seeds
from manifold_gen.models.chunks import at_once, in_chunks
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.ode import Solver, integrate

if TYPE_CHECKING:
    from manifold_gen.manifolds.point_cloud import PointCloud

CHUNK = 4096
_LATENTS, _ROWS, _CONTEXTS = 11, 12, 13  # streams of random numbers


@dataclass(frozen=True)
class FlowPairs:
    """What a flow does to latents.

    Attributes:
        z: latents ``(N, *shape)``.
        stops: where they are at times 1/K, 2/K, … 1, ``(N, K, *shape)``; the last are the data points.
        jacobian: of the whole flow in the tangent frames of both ends, ``(N, n, n)``; ``None`` where nobody asked.
        context: what the flow was conditioned on, one row a latent.
    """

    z: Tensor
    stops: Tensor
    jacobian: Tensor | None
    context: Tensor | None = None

    @property
    def x(self) -> Tensor:
        """Data points ``(N, *shape)``."""
        return self.stops[:, -1]

    def __len__(self) -> int:
        return len(self.z)

    def take(self, rows: Tensor) -> FlowPairs:
        """The pairs at ``rows``."""
        context = None if self.context is None else self.context[rows]
        jacobian = None if self.jacobian is None else self.jacobian[rows]
        return FlowPairs(self.z[rows], self.stops[rows], jacobian, context)

    def to(self, like: Tensor) -> FlowPairs:
        """The same pairs with the dtype and on the device of ``like``."""
        context = None if self.context is None else self.context.to(like.device)
        if context is not None and context.is_floating_point():
            context = context.to(like.dtype)
        jacobian = None if self.jacobian is None else self.jacobian.to(like)
        return FlowPairs(self.z.to(like), self.stops.to(like), jacobian, context)


class LearnsPairs:
    """What models share that learn the pairs of another one; it stands before the model's class among the bases.

    Attributes:
        pairs: of the manifold that the model lives on; ``None`` before it was given any. They are not saved.
        pairs_by_size: of clouds, by their number of points.
    """

    pairs: FlowPairs | None = None
    pairs_by_size: Mapping[int, FlowPairs] = MappingProxyType({})

    def on_size(self, manifold: PointCloud) -> Self:
        """The same networks on clouds of another size, with the pairs of that size."""
        other = super().on_size(manifold)
        other.pairs = self.pairs_by_size.get(manifold.shape[0])
        return other

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """What the model draws, and one pair a sample."""
        drawn = super().auxiliary(n, generator)
        if self.pairs is not None:
            size = len(self.pairs)
            drawn["pair"] = torch.randint(size, (n,), generator=generator, device=drawn["latent"].device)
        return drawn


def flow_pairs(
    teacher: ContinuousDistribution,
    points: Tensor,
    context: Tensor | None,
    count: int,
    near: int,
    solver: Solver,
    stages: int = 1,
    seed: int = 0,
    jacobians: bool = True,
) -> FlowPairs:
    """Follow ``count`` latents of the base, and the latents of ``near`` of the ``points``, to the data.

    Args:
        teacher: the flow; its manifold and dtype are those of the pairs.
        points: data ``(N, *shape)`` whose latents are wanted; where N is below ``near``, all of them.
        context: what they are conditioned on, ``(N, …)``; latents of the base get the context of a random point.
        count, near: how many of either.
        solver: of each stage.
        stages: K.
        seed: of the latents and of the choice of points.
        jacobians: whether to follow n tangents along with each latent.
    """
    like = next(iter(teacher.parameters()))
    rows = torch.randperm(len(points), generator=seeds.generator(seed, _ROWS))[:near].to(points.device)
    drawn = torch.randint(len(points), (count,), generator=seeds.generator(seed, _CONTEXTS)).to(points.device)
    chosen, there = points[rows].to(like), None if context is None else context[rows]
    z = teacher.base.sample(count, generator=seeds.generator(seed, _LATENTS, device=like.device)).to(like)
    whole = Solver(solver.method, solver.steps * stages)
    back = in_chunks(lambda x, here: transport(teacher, x, here, 1.0, 0.0, whole), chosen, there, CHUNK)
    z, context = torch.cat([z, back]), None if context is None else torch.cat([context[drawn], there])
    follow = _followed if jacobians else _passed
    chunk = at_once(teacher.manifold.shape, CHUNK)
    parts = [
        follow(teacher, z[i : i + chunk], None if context is None else context[i : i + chunk], solver, stages)
        for i in range(0, len(z), chunk)
    ]
    stops, found = zip(*parts, strict=True)
    return FlowPairs(z, torch.cat(stops), torch.cat(found) if jacobians else None, context)


def _passed(
    teacher: ContinuousDistribution, z: Tensor, context: Tensor | None, solver: Solver, stages: int
) -> tuple[Tensor, None]:
    """Where the latents are after each stage."""
    stops = []
    for k in range(stages):
        z = transport(teacher, z, context, k / stages, (k + 1) / stages, solver)
        stops.append(z)
    return torch.stack(stops, 1), None


def _followed(
    teacher: ContinuousDistribution, z: Tensor, context: Tensor | None, solver: Solver, stages: int
) -> tuple[Tensor, Tensor]:
    """The same, with the Jacobian of all stages together."""
    manifold, stops = teacher.manifold, []
    x, moved = z, calculus.frame(manifold, z)
    for k in range(stages):

        def stage(points: Tensor, k: int = k) -> Tensor:
            return transport(teacher, points, context, k / stages, (k + 1) / stages, solver)

        # one tangent at a time: the integration checks its values, which vmap does not allow
        pushed = [torch.func.jvp(stage, (x,), (tangent,)) for tangent in moved]
        x, moved = pushed[0][0], torch.stack([image for _, image in pushed])
        stops.append(x)
    return torch.stack(stops, 1), calculus.in_frame(manifold, x, moved)


@torch.no_grad()
def transport(
    teacher: ContinuousDistribution, x: Tensor, context: Tensor | None, start: float, end: float, solver: Solver
) -> Tensor:
    """Where ``teacher`` carries points from time ``start`` to time ``end``, without gradient."""
    embedded = teacher.context(context)

    def field(x: Tensor, t: Tensor) -> Tensor:
        return teacher.velocity(x, t, embedded)

    return integrate(field, teacher.manifold, x, start, end, solver).x
