"""Generative models for data on Riemannian manifolds.

Public names are imported when they are first used, so that ``import manifold_gen`` costs nothing and changes nothing.

>>> import manifold_gen as mg
>>> mg.Sphere(2)
sphere:2
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOMES = {
    "manifold_gen.data": ("load_dataset", "list_datasets", "load_file"),
    "manifold_gen.models.free_form_flow": ("FreeFormFlow",),
    "manifold_gen.training": ("fit", "TrainingConfig"),
    "manifold_gen.checkpoint": ("load",),
    "manifold_gen.metrics.likelihood": ("evaluate_likelihood",),
    "manifold_gen.metrics.diagnostics": ("diagnose",),
    "manifold_gen.manifolds": (
        "Manifold",
        "Euclidean",
        "Sphere",
        "Torus",
        "SO3",
        "PoincareBall",
        "Lorentz",
        "Product",
        "from_geoopt",
        "from_geomstats",
        "from_spec",
    ),
    "manifold_gen.distributions": (
        "Uniform",
        "WrappedNormal",
        "VonMisesFisher",
        "VonMisesProduct",
        "Mixture",
        "TorusHistogram",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("data", "models", "manifolds", "distributions", "training", "metrics", "plotting", "testing")

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
