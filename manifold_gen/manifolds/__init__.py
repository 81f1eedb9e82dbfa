"""Manifolds: points, tangent vectors, geodesics and volumes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Euclidean": "euclidean",
    "Lorentz": "hyperbolic",
    "Manifold": "base",
    "PointCloud": "point_cloud",
    "PoincareBall": "hyperbolic",
    "Product": "product",
    "SO3": "rotations",
    "Sphere": "sphere",
    "Torus": "torus",
    "from_geomstats": "adapters",
    "from_geoopt": "adapters",
    "from_spec": "specs",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
