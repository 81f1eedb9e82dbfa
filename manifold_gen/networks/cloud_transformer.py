"""A plain transformer over the points of a cloud: the control that knows permutations but no rotations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from manifold_gen.networks.egnn import zeroed

HEADS = 4


class CloudTransformer(nn.Module):
    r"""(positions, features, beside) ↦ (displacements, outputs) by self-attention; zero before it is trained.

    A token is a point, its position and features. The result is permuted with the points, and displacements have mean
    zero; unlike those of ``EGNN`` they do not turn with the cloud, so training needs ``random_rotations``, and they
    change when it is moved. Vaswani and others, *Attention is all you need* (2017), with the norms before the blocks.

    Args:
        position_dim, in_features, out_features, beside_features, guesses: as in ``EGNN``.
        width: of the tokens, a multiple of 4, the number of heads.
        depth: number of blocks.
        pair_width, distance_features, attention: without effect, so that it stands wherever ``EGNN`` does.

    Example:
        >>> network = CloudTransformer(3, 5, 2, width=16, depth=2)
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
        self.sizes = [position_dim, out_features]
        self.guesses = guesses
        self.entry = nn.Linear((1 + guesses) * position_dim + in_features, width)
        self.beside = nn.Linear(beside_features, width * (1 + depth)) if beside_features else None
        self.blocks = nn.ModuleList(Block(width, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        # one displacement for all points is none, so a bias would mean nothing
        self.last = zeroed(nn.Linear(width, position_dim + out_features, bias=False))

    def forward(
        self, positions: Tensor, features: Tensor, beside: Tensor | None = None, guess: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Displacements ``(*batch, n, p)`` and outputs ``(*batch, n, k)``, as ``EGNN.forward``."""
        told = [positions, features]
        if self.guesses:
            told.append(torch.zeros_like(positions) if guess is None else guess)
        h = self.entry(torch.cat(told, -1))
        if self.beside is None or beside is None:
            parts = [torch.zeros_like(h[..., :1, :])] * (1 + len(self.blocks))
        else:
            parts = list(self.beside(beside).unsqueeze(-2).split(h.shape[-1], -1))
        h = h + parts[0]
        for block, part in zip(self.blocks, parts[1:], strict=True):
            h = block(h, part)
        displacement, outputs = self.last(F.silu(self.norm(h))).split(self.sizes, -1)
        return displacement - displacement.mean(-2, keepdim=True), outputs


class Block(nn.Module):
    """Self-attention, then two layers a token.

    Args:
        width: of the tokens.
        depth: number of blocks of the network, which scales the residual branches down.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.heads = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        with torch.no_grad():
            self.mix.weight.mul_(depth**-0.5)
            self.outer.weight.mul_(depth**-0.5)

    def forward(self, h: Tensor, beside: Tensor) -> Tensor:
        """New tokens ``(*batch, n, width)``; ``beside`` ``(*batch, 1, width)`` is added to what both parts see."""
        query, key, value = (
            self.heads(self.first(h) + beside).unflatten(-1, (3 * HEADS, -1)).movedim(-2, -3).chunk(3, -3)
        )
        # the fused kernels have no second derivatives and no forward mode, which divergences need
        with sdpa_kernel(SDPBackend.MATH):
            mixed = F.scaled_dot_product_attention(query, key, value)
        h = h + self.mix(mixed.movedim(-3, -2).flatten(-2))
        return h + self.outer(F.silu(self.inner(self.second(h) + beside)))


def random_rotations(
    batch: int,
    p: int,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """Rotation matrices ``(batch, p, p)``, uniform on SO(p): ``positions @ rotation`` turns a cloud.

    The Q of a Gaussian matrix with the signs of R's diagonal made positive is uniform on O(p); a row of those that
    reflect is turned round. Mezzadri, *How to generate random matrices from the classical compact groups* (2007).

    Example:
        >>> torch.linalg.det(random_rotations(2, 3, torch.Generator().manual_seed(0)))
        tensor([1.0000, 1.0000])
    """
    gaussian = torch.randn(batch, p, p, generator=generator, dtype=dtype, device=device)
    q, r = torch.linalg.qr(gaussian)
    q = q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).unsqueeze(-2)
    sign = torch.where(torch.linalg.det(q) < 0, -1.0, 1.0).to(q)
    return torch.cat([q[:, :1] * sign[:, None, None], q[:, 1:]], 1)
