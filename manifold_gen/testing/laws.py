"""What a manifold law is, and what it is checked on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold
from manifold_gen.seeds import generator as make_generator
from manifold_gen.testing.tolerances import FAILURE_RATE, TOLERANCES, Tolerance


@dataclass
class Setting:
    """The manifold under test with everything a law needs to draw points and judge deviations.

    Attributes:
        manifold: what is tested.
        dtype: precision it is tested in.
        device: where.
        seed: every law draws from its own stream of this seed.
        slack: factor on all tolerances, for maps that iterate or decompose matrices.
    """

    manifold: Manifold
    dtype: torch.dtype
    device: torch.device
    seed: int
    slack: float
    generator: torch.Generator

    @property
    def tolerance(self) -> Tolerance:
        return TOLERANCES[self.dtype]

    @property
    def reach(self) -> float:
        """A radius that is safely inside the injectivity radius, and half of the way to ``safe_radius``."""
        return 0.9 * min(self.manifold.injectivity_radius, 3.0, self.manifold.safe_radius(self.dtype) / 2)

    def points(self, count: int) -> Tensor:
        """``(count, *shape)`` points: uniform where M is compact, else within 2 (or half ``safe_radius``) of 0."""
        m = self.manifold
        options = {"dtype": self.dtype, "device": self.device}
        if math.isfinite(m.log_volume):
            return m.random_uniform(count, generator=self.generator, **options)
        origin = m.origin(count, **options)
        return m.expmap(origin, self.scaled(self.tangents(origin), origin, min(2.0, m.safe_radius(self.dtype) / 2)))

    def tangents(self, x: Tensor) -> Tensor:
        """Normal tangent vectors."""
        return self.manifold.random_tangent(x, generator=self.generator)

    def scaled(self, u: Tensor, x: Tensor, radius: float) -> Tensor:
        """``u`` shortened to a length spread evenly over (0.05, 1) times ``radius``."""
        length = self.manifold.norm(x, u)
        spread = torch.linspace(0.05, 1.0, max(length.numel(), 2), dtype=u.dtype, device=u.device)
        factor = radius * spread[: length.numel()].reshape(length.shape) / length
        return u * factor.reshape(*factor.shape, *(1,) * len(self.manifold.shape))

    def steps(self, x: Tensor) -> Tensor:
        """Tangent vectors at x with lengths up to ``reach``."""
        return self.scaled(self.tangents(x), x, self.reach)

    def ambient(self, x: Tensor) -> Tensor:
        """Ambient normal vectors, tangent or not."""
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)

    def close(self, got: Tensor, expected: Tensor, what: str, *, kind: str = "value", scale: float = 1.0) -> None:
        """Assert that ``got`` is ``expected`` within the table's tolerance of the given kind."""
        assert got.shape == expected.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
        assert bool(torch.isfinite(got).all()), f"{what}: {int((~torch.isfinite(got)).sum())} values are not finite"
        if not got.numel():
            return
        size = 1 + float(expected.abs().amax())
        allowed = self.slack * scale * size * getattr(self.tolerance, kind)
        deviation = float((got - expected).abs().amax())
        assert deviation <= allowed, f"{what}: off by {deviation:.3g}, allowed {allowed:.3g}"

    def agrees(self, values: Tensor, expected: float, what: str) -> None:
        """Assert that a Monte-Carlo mean agrees with its expectation at the package's failure rate."""
        mean, error = float(values.mean()), float(values.std() / math.sqrt(values.numel()))
        limit = math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - FAILURE_RATE, dtype=torch.float64)))
        allowed = limit * error + 10 * self.tolerance.value * (1 + abs(expected))
        message = f"{what}: mean {mean:.4g}, expected {expected:.4g}, standard error {error:.2g}"
        assert abs(mean - expected) <= allowed, message


Law = Callable[[Setting], None]
LAWS: dict[str, Law] = {}


def law(function: Law) -> Law:
    """Register a law under its function's name."""
    LAWS[function.__name__] = function
    return function


def setting(
    manifold: Manifold, name: str, dtype: torch.dtype, device: torch.device, seed: int, slack: float
) -> Setting:
    """The setting in which one named law is checked: laws do not share random numbers."""
    stream = make_generator(seed, *name.encode(), device=device)
    return Setting(manifold, dtype, device, seed, slack, stream)
