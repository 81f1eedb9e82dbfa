"""How distributions hold their parameters: fixed ones as buffers, learnable ones through an unconstrained tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from manifold_gen.manifolds.base import Manifold

ArrayLike = Tensor | float | Sequence[float] | Sequence[Sequence[float]]


class Fixed(nn.Module):
    """A constant that follows the module's dtype and device."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value.detach().clone())

    def forward(self) -> Tensor:
        return self.value


class Point(nn.Module):
    """A learnable point of a manifold: the projection of an ambient parameter."""

    def __init__(self, value: Tensor, manifold: Manifold) -> None:
        super().__init__()
        self.manifold = manifold
        self.value = nn.Parameter(value.detach().clone())

    def forward(self) -> Tensor:
        return self.manifold.projx(self.value)


class Positive(nn.Module):
    """A learnable number in (0, upper): exp(raw), or upper·sigmoid(raw) where ``upper`` is finite."""

    def __init__(self, value: Tensor, upper: float = math.inf) -> None:
        super().__init__()
        self.upper = upper
        raw = value.log() if math.isinf(upper) else torch.special.logit(value / upper)
        self.value = nn.Parameter(raw.detach().clone())

    def forward(self) -> Tensor:
        return self.value.exp() if math.isinf(self.upper) else self.upper * torch.sigmoid(self.value)


def as_real(value: ArrayLike, name: str) -> Tensor:
    """``value`` as a finite floating-point tensor; integers become the default dtype."""
    tensor = torch.as_tensor(value)
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.get_default_dtype())
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} of shape {tuple(tensor.shape)} must be finite, got NaN or infinity")
    return tensor


def as_points(value: ArrayLike, manifold: Manifold, name: str) -> Tensor:
    """``value`` as points of ``manifold``: shape ``(*manifold.shape)`` or ``(K, *manifold.shape)``."""
    point = as_real(value, name)
    expected = manifold.shape
    if point.shape[max(point.dim() - len(expected), 0) :] != torch.Size(expected):
        raise ValueError(
            f"{name} on {manifold} must have shape {tuple(expected)} or (K, {str(tuple(expected))[1:]}, "
            f"got {tuple(point.shape)}"
        )
    tolerance = 1e-3 if torch.finfo(point.dtype).eps > 1e-10 else 1e-6
    projected = manifold.projx(point)
    deviation = float(_periodic_gap(manifold, point, projected).amax()) if point.numel() else 0.0
    if not deviation <= tolerance:
        raise ValueError(
            f"{name} of shape {tuple(point.shape)} must lie on {manifold}: largest deviation {deviation:.3g}, "
            f"allowed {tolerance:.0e}; pass manifold.projx({name})"
        )
    return projected


def _periodic_gap(manifold: Manifold, point: Tensor, projected: Tensor) -> Tensor:
    """Ambient distance between a point and its projection; zero where coordinates only differ by whole periods."""
    if manifold.period is not None:
        return torch.zeros_like(point)
    return (point - projected).abs()


def require(condition: Tensor, name: str, value: Tensor, constraint: str) -> None:
    """Raise a ``ValueError`` that names argument, shape, constraint and the first offending value."""
    if bool(condition.all()):
        return
    worst = value.expand_as(condition)[~condition].flatten()[0]
    raise ValueError(f"{name} of shape {tuple(value.shape)} must be {constraint}, got {float(worst):.6g}")


def fixed_or_positive(value: Tensor, learnable: bool, name: str, upper: float = math.inf) -> nn.Module:
    """A buffer, or a learnable positive parameter that starts at ``value``."""
    if not learnable:
        return Fixed(value)
    require((value > 0) & (value < upper), name, value, f"in (0, {upper:.6g}) to be learnable")
    return Positive(value, upper)


def fixed_or_point(value: Tensor, learnable: bool, manifold: Manifold) -> nn.Module:
    """A buffer, or a learnable point that starts at ``value``."""
    return Point(value, manifold) if learnable else Fixed(value)


def broadcast(value: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """``value`` expanded to ``shape``, or an error that names both."""
    try:
        return value.expand(shape)
    except RuntimeError as error:
        raise ValueError(f"{name} of shape {tuple(value.shape)} must broadcast to {tuple(shape)}") from error
