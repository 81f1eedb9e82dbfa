"""Molecules: what they are made of, their bonds, and their files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Molecules": "molecules",
    "element_number": "elements",
    "element_symbol": "elements",
    "read_molecules": "files",
    "sum_formula": "elements",
    "write_molecules": "files",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
