"""The network that fits a manifold: plain with waves, or one that commutes with the symmetry of clouds of points.

What decides is ``manifold.symmetry``. A network of clouds has ``width`` and ``depth``, and no use for the settings of
waves: ``frequency``, ``waves`` and ``decay`` are without effect there.
"""

from __future__ import annotations

from manifold_gen.manifolds.base import Manifold
from manifold_gen.networks.equivariant import EquivariantMap, EquivariantTwoTime, EquivariantVelocity
from manifold_gen.networks.flow_map import TwoTimeField
from manifold_gen.networks.free_form import FreeFormMap
from manifold_gen.networks.velocity import VelocityField


def velocity_field(
    manifold: Manifold,
    width: int = 64,
    depth: int = 3,
    frequency: float = 6.0,
    waves: int = 128,
    decay: float = 1.0,
    time_waves: int = 8,
    context_features: int = 0,
    seed: int = 0,
) -> VelocityField | EquivariantVelocity:
    """A tangent field that depends on time, zero before it is trained; arguments as in ``VelocityField``.

    Example:
        >>> from manifold_gen.manifolds import from_spec
        >>> [type(velocity_field(from_spec(spec), 8, 1)).__name__ for spec in ("sphere:2", "points:3,2,0")]
        ['VelocityField', 'EquivariantVelocity']
    """
    if manifold.symmetry == "euclidean":
        return EquivariantVelocity(manifold, width, depth, time_waves, context_features, seed)
    return VelocityField(manifold, width, depth, frequency, waves, decay, time_waves, context_features, seed)


def two_time_field(
    manifold: Manifold,
    width: int = 64,
    depth: int = 3,
    frequency: float = 6.0,
    waves: int = 128,
    decay: float = 1.0,
    time_waves: int = 4,
    context_features: int = 0,
    seed: int = 0,
) -> TwoTimeField | EquivariantTwoTime:
    """A tangent field that depends on two times, zero before it is trained; arguments as in ``TwoTimeField``."""
    if manifold.symmetry == "euclidean":
        return EquivariantTwoTime(manifold, width, depth, time_waves, context_features, seed)
    return TwoTimeField(manifold, width, depth, frequency, waves, decay, time_waves, context_features, seed)


def free_form_map(
    manifold: Manifold,
    width: int = 64,
    depth: int = 3,
    frequency: float = 6.0,
    waves: int = 128,
    decay: float = 1.0,
    stages: int = 1,
    head: str = "auto",
    context_features: int = 0,
    seed: int = 0,
) -> FreeFormMap | EquivariantMap:
    """A map of the manifold to itself, the identity before it is trained; arguments as in ``FreeFormMap``.

    Raises:
        UsageError: an unknown head.
    """
    if manifold.symmetry == "euclidean":
        return EquivariantMap(manifold, width, depth, stages, head, context_features, seed)
    return FreeFormMap(manifold, width, depth, frequency, waves, decay, stages, head, context_features, seed)
