"""Public law checks: hand them your own manifold, distribution or model, and they say which law it breaks."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "FAILURE_RATE": "tolerances",
    "TOLERANCES": "tolerances",
    "Tolerance": "tolerances",
    "check_distribution": "distribution_laws",
    "check_manifold": "manifold_laws",
    "check_model": "model_laws",
    "law_names": "manifold_laws",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
