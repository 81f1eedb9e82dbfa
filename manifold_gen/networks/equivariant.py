"""Fields and maps on clouds of points that commute with rotations, reflections and permutations.

They stand where ``VelocityField``, ``FreeFormMap`` and ``TwoTimeField`` stand on other manifolds, called alike. A flow
or a map that commutes with an isometry carries an invariant base to an invariant density.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from manifold_gen.derivatives import derivative_along
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.networks.egnn import EGNN
from manifold_gen.networks.free_form import HEADS

PAIR_WIDTH = 32  # of the messages, where the network is not narrower


def cloud_networks(
    manifold: PointCloud, width: int, depth: int, beside: int, seed: int, count: int = 1
) -> nn.ModuleList:
    """Networks of a cloud's points, their initial weights decided by ``seed`` alone."""
    k = manifold.feature_dim
    size = {"width": width, "pair_width": min(width, PAIR_WIDTH), "depth": max(depth, 1)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleList(EGNN(manifold.position_dim, k, k, beside, **size) for _ in range(count))


def carried(function: Callable[[Tensor], Tensor], x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """``function(x)`` and its derivatives along ``tangents`` ``(m, *x.shape)``: reverse mode for one, forward for more.

    A network of few points spends its time on starting operations, of which forward mode has three times as many.
    """
    if len(tangents) == 1:
        value, moved = _held(*derivative_along(function, (x,), (tangents[0],)))
        return value, moved.unsqueeze(0)
    return torch.func.vmap(lambda v: torch.func.jvp(function, (x,), (v,)), out_dims=(None, 0))(tangents)


def _held(value: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
    """Without the graph that reverse mode made for itself, where none was asked for."""
    return (value, moved) if torch.is_grad_enabled() else (value.detach(), moved.detach())


class EquivariantVelocity(nn.Module):
    r"""(x, t) ↦ tangent vector at the cloud x, by an ``EGNN`` that sees :math:`t, \cos(\pi j t)` and the context.

    Zero before it is trained.

    Args:
        manifold: clouds of points.
        width, depth: of the graph network.
        time_waves: how many waves of time the network sees.
        context_features: length of the context vector, 0 for none.
        seed: of the initial weights.

    Example:
        >>> field = EquivariantVelocity(PointCloud(3, 2), width=8, depth=1)
        >>> field(torch.zeros(1, 3, 2), torch.tensor([0.5])).abs().sum().detach()
        tensor(0.)
    """

    def __init__(
        self,
        manifold: PointCloud,
        width: int = 64,
        depth: int = 3,
        time_waves: int = 8,
        context_features: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.manifold = manifold
        self.register_buffer("rates", torch.pi * torch.arange(1, time_waves + 1), persistent=False)
        (self.network,) = cloud_networks(manifold, width, depth, 1 + time_waves + context_features, seed)

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Tangent vectors at the points ``x`` and times ``t`` ``(*batch,)``."""
        waves = torch.cat([t.unsqueeze(-1), torch.cos(t.unsqueeze(-1) * self.rates.to(t.dtype))], -1)
        beside = waves if context is None else torch.cat([waves, context], -1)
        return torch.cat(self.network(*self.manifold.split(x), beside), -1)

    def pushforward(
        self, x: Tensor, tangents: Tensor, t: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The field, and its derivatives along ``tangents`` ``(m, *batch, n, p + k)``."""
        return carried(lambda p: self(p, t, context), x, tangents)


class EquivariantMap(nn.Module):
    r"""x ↦ x + network(x, context), ``stages`` times over; the identity before it is trained.

    With ``standardise`` the network works in coordinates in which the data are of unit size, on the side of the data
    only: an encoder maps :math:`x \mapsto F((x - c)/s)`, a decoder :math:`z \mapsto c + s\,F(z)`, s one number for the
    positions and one for each feature.

    Args:
        manifold: clouds of points.
        width, depth: of each graph network.
        stages: networks one after the other, each seeing the cloud that the last one reached.
        head: as in ``FreeFormMap``; all of them are the same addition here.
        context_features: length of the context vector, 0 for none.
        seed: of the initial weights.

    Raises:
        UsageError: an unknown head.

    Example:
        >>> g = EquivariantMap(PointCloud(3, 2), width=8, depth=1)
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
        >>> torch.equal(g(x), x)
        True
    """

    def __init__(
        self,
        manifold: PointCloud,
        width: int = 64,
        depth: int = 3,
        stages: int = 1,
        head: str = "auto",
        context_features: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise UsageError(f"head is {head!r}; expected one of {', '.join(HEADS)}")
        self.manifold = manifold
        self.networks = cloud_networks(manifold, width, depth, context_features, seed, stages)
        wide = manifold.shape[-1]
        for name, value in (("scale_before", 1.0), ("shift_before", 0.0), ("scale_after", 1.0), ("shift_after", 0.0)):
            self.register_buffer(name, torch.full((wide,), value))

    def open(self, fraction: float) -> None:
        """Nothing: no waves are let in here."""

    def standardise(self, shift: Tensor, scale: Tensor, *, decodes: bool) -> None:
        """Work in units of the data: their mean and size ``(p + k,)``, the same for all positions; the mean there 0."""
        if decodes:
            self.scale_after.copy_(scale)
            self.shift_after.copy_(shift)
        else:
            self.scale_before.copy_(1 / scale)
            self.shift_before.copy_(-shift / scale)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Images of the points ``x``."""
        for k in range(len(self.networks)):
            x = self.stage(k, x, context)
        return x

    def stage(self, k: int, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Images under the network number ``k`` alone, with the scaling before the first and after the last."""
        if k == 0:
            x = torch.addcmul(self.shift_before, x, self.scale_before)
        x = x + torch.cat(self.networks[k](*self.manifold.split(x), context), -1)
        if k + 1 == len(self.networks):
            x = torch.addcmul(self.shift_after, x, self.scale_after)
        return x

    def pushforward(self, x: Tensor, tangents: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images of the points, and of ``tangents`` ``(m, *batch, n, p + k)`` under the differential."""
        return carried(lambda p: self(p, context), x, tangents)


class EquivariantTwoTime(nn.Module):
    r"""(x, s, t) ↦ tangent vector at the cloud x, by an ``EGNN`` that sees s, t and :math:`\cos(\pi j s) / j` of both.

    Zero before it is trained.

    Args:
        manifold: clouds of points.
        width, depth: of the graph network.
        time_waves: how many waves of each time the network sees.
        context_features: length of the context vector, 0 for none.
        seed: of the initial weights.

    Example:
        >>> field = EquivariantTwoTime(PointCloud(3, 2), width=8, depth=1)
        >>> field(torch.zeros(1, 3, 2), torch.zeros(1), torch.ones(1)).abs().sum().detach()
        tensor(0.)
    """

    def __init__(
        self,
        manifold: PointCloud,
        width: int = 64,
        depth: int = 3,
        time_waves: int = 4,
        context_features: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.manifold = manifold
        self.register_buffer("numbers", torch.arange(1.0, time_waves + 1), persistent=False)
        beside = 2 * (1 + time_waves) + context_features
        (self.network,) = cloud_networks(manifold, width, depth, beside, seed)

    def forward(self, x: Tensor, s: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Tangent vectors at the points ``x`` for the times ``s`` and ``t``, each ``(*batch,)``."""
        beside = [self._waves(s), self._waves(t)] + ([] if context is None else [context])
        return torch.cat(self.network(*self.manifold.split(x), torch.cat(beside, -1)), -1)

    def pushforward(
        self,
        x: Tensor,
        s: Tensor,
        t: Tensor,
        rates: tuple[float, float],
        velocity: Tensor | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The output ``(*batch, n (p + k))`` that ``manifold.tangent(x, y)`` makes the field of, and its rate.

        The rate is the derivative where s and t move at ``rates``, and x at ``velocity`` or not at all.
        """
        moves = (
            torch.zeros_like(x) if velocity is None else velocity,
            torch.full_like(s, rates[0]),
            torch.full_like(t, rates[1]),
        )
        return _held(*derivative_along(lambda *place: self(*place, context).flatten(-2), (x, s, t), moves))

    def _waves(self, t: Tensor) -> Tensor:
        t, numbers = t.unsqueeze(-1), self.numbers.to(t.dtype)
        return torch.cat([t, torch.cos(torch.pi * numbers * t) / numbers], -1)
