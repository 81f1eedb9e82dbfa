r"""A graph network that commutes with rotations, reflections, translations and permutations of a cloud of points.

Every layer forms a message for each ordered pair of points from numbers that no motion changes, and moves points along
the lines that join them:

.. math::
   m_{ij} = \phi\big(W h_i + W' h_j + W'' e(d_{ij})\big), \quad
   x_i \leftarrow x_i + \frac{r}{\sqrt n} \sum_j \tanh(w \cdot m_{ij})\, \frac{x_i - x_j}{d_{ij} + 1}, \quad
   h_i \leftarrow h_i + \psi\Big(h_i, \frac{1}{\sqrt n}\sum_j m_{ij}\Big).

Satorras, Hoogeboom and Welling, *E(n) equivariant graph neural networks* (2021). Two things make it fast: the first
layer of φ is linear in either end, so that it costs one product a point and not one a pair; and the messages are
narrower than the nodes, for a cloud has n² of one and n of the other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Added to d², so that the distance is smooth where points coincide; in the square of the unit of the positions.
SOFTENING = 1e-3
# The distance features cover 0 to so many units; beyond it they are all zero.
FURTHEST = 15.0
# Bumps end at e^-40: smaller numbers, times the gradients that meet them, are denormal, and a product of matrices
# with denormal entries takes six times as long.
LOWEST = -40.0
REACH = 2.0  # r above, before it is trained


class EGNN(nn.Module):
    r"""(positions, features, beside) ↦ (displacements, outputs), equivariant and invariant; zero before it is trained.

    Displacements turn with the positions and have mean zero; outputs do not change when the cloud turns or moves; both
    are permuted with the points. All of it is smooth, also where points coincide. Distances enter as Gaussian bumps
    that are equally spaced in log(1 + d): those of the cloud as it is moved, of the input cloud and, where there is
    one, of a guess.

    Args:
        position_dim: p, dimension of the space of the positions.
        in_features, out_features: f and k, invariant numbers that a point has and gets; may be 0.
        beside_features: c, numbers that the whole cloud has beside: time, context; 0 for none.
        width: of the points' features inside.
        pair_width: of the messages.
        depth: number of layers, at least 1.
        distance_features: number of bumps that see a distance.
        attention: weigh each message by a gate of its own.
        guesses: it can be given another cloud of the same points, a guess of what is looked for.

    Example:
        >>> network = EGNN(3, 5, 2, width=16, pair_width=8, depth=2)
        >>> displacement, outputs = network(torch.randn(4, 7, 3), torch.ones(4, 7, 5))
        >>> displacement.shape, outputs.shape, bool(displacement.any())
        (torch.Size([4, 7, 3]), torch.Size([4, 7, 2]), False)
    """

    def __init__(
        self,
        position_dim: int,
        in_features: int,
        out_features: int,
        beside_features: int = 0,
        *,
        width: int = 64,
        pair_width: int = 32,
        depth: int = 4,
        distance_features: int = 16,
        attention: bool = False,
        guesses: bool = False,
    ) -> None:
        super().__init__()
        self.guesses = guesses
        self.position_dim, self.in_features, self.out_features = position_dim, in_features, out_features
        self.bumps = DistanceBumps(distance_features)
        self.entry = nn.Linear(max(in_features, 1), width)
        # the features of the last layer matter only where there are outputs
        updates = [k + 1 < depth or out_features > 0 for k in range(depth)]
        self.layers = nn.ModuleList(
            Layer(width, pair_width, (2 + guesses) * distance_features, depth, attention, updates[k])
            for k in range(depth)
        )
        self.beside = nn.Linear(beside_features, width * (1 + sum(updates))) if beside_features else None
        self.norm = nn.LayerNorm(width) if out_features else None
        self.last = zeroed(nn.Linear(width, out_features)) if out_features else None

    def forward(
        self, positions: Tensor, features: Tensor, beside: Tensor | None = None, guess: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Displacements ``(*batch, n, p)`` and outputs ``(*batch, n, k)``.

        Args:
            positions: ``(*batch, n, p)``.
            features: ``(*batch, n, f)``.
            beside: ``(*batch, c)``, or nothing.
            guess: ``(*batch, n, p)``, or nothing.
        """
        x = start = positions.mT  # (*batch, p, n): arrays over pairs then end in (n, n), along which work is fast
        h = self.entry(features if self.in_features else torch.ones_like(positions[..., :1]))
        parts = self._parts(beside)
        if parts:
            h = h + parts.pop(0)
        seen = None
        for layer in self.layers:
            difference, distance = apart(x)
            part = parts.pop(0) if parts and layer.updates else None
            bumps = self.bumps(distance)
            seen = self._seen(bumps, guess) if seen is None else seen
            near = torch.cat([bumps, seen], -1)
            move, h = layer(difference / (distance + 1).unsqueeze(-3), h, near, part)
            x = x + move
        displacement = (x - start).mT
        displacement = displacement - displacement.mean(-2, keepdim=True)
        outputs = displacement[..., :0] if self.last is None else self.last(F.silu(self.norm(h)))
        return displacement, outputs

    def _seen(self, seen: Tensor, guess: Tensor | None) -> Tensor:
        """Bumps of the distances that all layers see: of the input and, where it can be told one, of the guess."""
        if not self.guesses:
            return seen
        return torch.cat([seen, torch.zeros_like(seen) if guess is None else self.bumps(apart(guess.mT)[1])], -1)

    def _parts(self, beside: Tensor | None) -> list[Tensor]:
        """What each place of the network gets of ``beside``, ``(*batch, 1, width)``."""
        if self.beside is None or beside is None:
            return []
        return list(self.beside(beside).unsqueeze(-2).split(self.entry.out_features, -1))


class Layer(nn.Module):
    """One round of messages.

    Args:
        width, pair_width: of the points' features and of the messages.
        distance_features: numbers that tell how far apart two points are, in all clouds together.
        depth: number of layers of the network, which scales the residual branch down.
        attention: weigh each message by a gate.
        updates: the points' features change too, not only the positions.
    """

    compiled_alone = True  # where training compiles; layers are alike, so that one compilation serves them all

    def __init__(
        self, width: int, pair_width: int, distance_features: int, depth: int, attention: bool, updates: bool
    ) -> None:
        super().__init__()
        self.updates = updates
        self.norm = nn.LayerNorm(width)
        self.ends = nn.Linear(width, 2 * pair_width)
        self.near = nn.Linear(distance_features, pair_width, bias=False)
        self.second = nn.Linear(pair_width, pair_width, bias=False)
        self.pull = zeroed(nn.Linear(pair_width, 1))
        self.reach = nn.Parameter(torch.tensor(REACH))
        self.gate = nn.Linear(pair_width, 1) if attention and updates else None
        if updates:
            self.own = nn.Linear(width, width)
            self.heard = nn.Linear(pair_width, width, bias=False)
            self.outer = nn.Linear(width, width)
            with torch.no_grad():
                self.outer.weight.mul_(depth**-0.5)

    def forward(self, direction: Tensor, h: Tensor, near: Tensor, beside: Tensor | None) -> tuple[Tensor, Tensor]:
        """Moves ``(*batch, p, n)`` and new features ``(*batch, n, width)``.

        Args:
            direction: ``(*batch, p, n, n)``, (x_i − x_j) / (d_ij + 1).
            h: features of the points.
            near: ``(*batch, n, n, distance_features)``, distances now, in the input and in the guess.
            beside: ``(*batch, 1, width)`` or nothing.
        """
        share = h.shape[-2] ** -0.5
        normed = self.norm(h)
        to, from_ = self.ends(normed).chunk(2, -1)
        message = F.silu(added(to.unsqueeze(-2) + from_.unsqueeze(-3), near, self.near.weight))
        message = F.silu(self.second(message))
        pull = torch.tanh(self.pull(message)).squeeze(-1)
        move = (self.reach * share) * (direction * pull.unsqueeze(-3)).sum(-1)
        if not self.updates:
            return move, h
        if self.gate is not None:
            message = message * torch.sigmoid(self.gate(message))
        # a mean, which in bfloat16 adds up in float32 without a copy of all messages in it; a sum copies
        inner = self.own(normed) + self.heard(h.shape[-2] ** 0.5 * message.mean(-2))
        return move, h + self.outer(F.silu(inner if beside is None else inner + beside))


def apart(x: Tensor) -> tuple[Tensor, Tensor]:
    """x_i − x_j, ``(*batch, p, n, n)``, and softened distances ``(*batch, n, n)`` of points ``(*batch, p, n)``."""
    difference = x.unsqueeze(-1) - x.unsqueeze(-2)
    return difference, torch.sqrt(difference.square().sum(-3) + SOFTENING)


def added(start: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """``start + x @ weight.T`` in one pass over memory, which is what arrays over pairs cost."""
    flat = torch.addmm(start.reshape(-1, start.shape[-1]), x.reshape(-1, x.shape[-1]), weight.mT)
    return flat.reshape(start.shape)


class DistanceBumps(nn.Module):
    """Gaussian bumps of distances, equally spaced and as wide as their spacing in log(1 + d).

    Args:
        count: how many, at least 2.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.scale = (count - 1) / math.log1p(FURTHEST)
        self.register_buffer("centres", torch.arange(float(count)), persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """``(*shape, count)`` numbers from 0 to 1."""
        place = self.scale * torch.log1p(distance)
        return torch.exp((-0.5 * (place.unsqueeze(-1) - self.centres).square()).clamp_min(LOWEST))


def zeroed(layer: nn.Linear) -> nn.Linear:
    """The layer with all weights zero: what it ends starts as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
