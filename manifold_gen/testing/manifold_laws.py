"""check_manifold: the laws that every manifold obeys, run over yours."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.testing import geodesic_laws, interface_laws, projection_laws, volume_laws
from manifold_gen.testing.laws import LAWS, setting

_SOURCES = (projection_laws, geodesic_laws, volume_laws, interface_laws)


def law_names() -> tuple[str, ...]:
    """Names of all laws, in the order in which they are checked; the docstring of each function states it."""
    return tuple(LAWS)


def check_manifold(
    manifold: Manifold,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    seed: int = 0,
    slack: float = 1.0,
    laws: Sequence[str] | None = None,
) -> None:
    """Assert the laws of a Riemannian manifold: projections, frames, geodesics, distances, volumes, interface.

    Every law is a small function in this package, named after what it asserts. A law does not apply only where the
    manifold says so through an attribute: ``log_volume`` (compact?), ``curvature`` (constant?), ``oriented``,
    ``parallel_transport``. Statistical laws use fixed seeds and ``FAILURE_RATE``.

    Args:
        manifold: what is tested.
        dtype: float32 or float64.
        device: where the points live.
        seed: of all random points.
        slack: factor on every tolerance; 1 for closed forms, more for maps that iterate.
        laws: names to check; default all.

    Raises:
        AssertionError: names every broken law with what was off and by how much.
        UsageError: a law of that name does not exist.

    >>> from manifold_gen.manifolds import Sphere
    >>> check_manifold(Sphere(2))
    """
    device = torch.device(device)
    unknown = [name for name in laws or () if name not in LAWS]
    if unknown:
        raise UsageError(f"no law named {unknown[0]!r}; there are {', '.join(LAWS)}")
    broken = []
    for name in laws or LAWS:
        try:
            LAWS[name](setting(manifold, name, dtype, device, seed, slack))
        except AssertionError as error:
            broken.append(f"  {name}: {error}")
    if broken:
        raise AssertionError(f"{manifold} in {dtype} breaks {len(broken)} law(s):\n" + "\n".join(broken))
