"""What a network must do when its cloud is moved: one check, for those that obey and for those that do not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.networks.cloud_transformer import random_rotations

ACCURACY = {torch.float32: 2e-4, torch.float64: 1e-10}
Network = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def shaken(module, dtype, size=0.3, seed=3):
    """The module with every parameter moved: what starts at zero shows nothing."""
    stream = seeds.generator(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=stream))
    return module.to(dtype)


def cloud(n: int, p: int, features: int, beside: int, dtype: torch.dtype, batch: int = 4) -> tuple[Tensor, ...]:
    """Positions, features and what is beside them."""
    stream = seeds.generator(7)
    shapes = ((batch, n, p), (batch, n, features), (batch, beside))
    return tuple(torch.randn(shape, generator=stream, dtype=torch.float64).to(dtype) for shape in shapes)


def motions(n: int, p: int, dtype: torch.dtype) -> dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    """Named motions of (vectors, features): a rotation, a reflection, a permutation."""
    turn = random_rotations(1, p, seeds.generator(8), dtype=torch.float64)[0].to(dtype)
    mirror = turn * torch.tensor([-1.0] + [1.0] * (p - 1), dtype=dtype)
    order = torch.randperm(n, generator=seeds.generator(9))
    return {
        "rotation": lambda x, h: (x @ turn, h),
        "reflection": lambda x, h: (x @ mirror, h),
        "permutation": lambda x, h: (x[..., order, :], h[..., order, :]),
    }


def check_equivariance(network: Network, x: Tensor, h: Tensor, beside: Tensor | None) -> None:
    """Raises ``AssertionError`` with the name of the first motion that the network does not commute with."""
    size, (moved, out) = ACCURACY[x.dtype], network(x, h, beside)
    assert float(moved.detach().abs().max()) > 0.02, "the network does nothing, which shows nothing"
    _close(moved.mean(-2), torch.zeros_like(moved.mean(-2)), size, "mean of the displacements")
    for name, motion in motions(x.shape[-2], x.shape[-1], x.dtype).items():
        for got, expected in zip(network(*motion(x, h), beside), motion(moved, out), strict=True):
            _close(got, expected, size, name)
    shift = torch.linspace(-1, 2, x.shape[-1], dtype=x.dtype)
    for got, expected in zip(network(x + shift, h, beside), (moved, out), strict=True):
        _close(got, expected, size, "translation")


def check_invariance(network: Callable[[Tensor, Tensor], Tensor], x: Tensor, h: Tensor) -> None:
    """Raises ``AssertionError`` with the name of the first motion that changes what the network says of the cloud."""
    size, out = ACCURACY[x.dtype], network(x, h)
    assert float(out.detach().std(0).max()) > 0.02, "the network says the same of every cloud, which shows nothing"
    for name, motion in motions(x.shape[-2], x.shape[-1], x.dtype).items():
        _close(network(*motion(x, h)), out, size, name)
    _close(network(x + torch.linspace(-1, 2, x.shape[-1], dtype=x.dtype), h), out, size, "translation")


def _close(got: Tensor, expected: Tensor, size: float, name: str) -> None:
    gap = float((got - expected).detach().abs().max()) if got.numel() else 0.0
    limit = size * (1 + float(expected.detach().abs().max()) if got.numel() else 1.0)
    assert gap <= limit, f"{name}: off by {gap:.3g}, allowed {limit:.3g}"
