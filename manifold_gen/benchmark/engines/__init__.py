"""Where the cells are worked on: worker processes of this machine, or a Ray cluster."""

from __future__ import annotations

from manifold_gen.benchmark.engines.base import Engine, Outcome, make_engine

__all__ = ["Engine", "Outcome", "make_engine"]
