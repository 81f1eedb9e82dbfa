"""The manifolds that the laws run over: (specification, slack). A new manifold adds one line."""

from __future__ import annotations

CASES: list[tuple[str, float]] = [
    ("euclidean:1", 1.0),
    ("euclidean:3", 1.0),
    ("sphere:1", 1.0),
    ("sphere:2", 1.0),
    ("sphere:5", 1.0),
    ("torus:1", 1.0),
    ("torus:2", 1.0),
    ("torus:7", 1.0),
    ("so3", 1.0),
    ("poincare:1", 1.0),
    ("poincare:3", 1.0),
    ("lorentz:1", 1.0),
    ("lorentz:2", 1.0),
    ("points:2,1,0", 1.0),
    ("points:4,2,0", 1.0),
    ("points:3,3,2", 1.0),
    ("sphere:2 x euclidean:1", 1.0),
    ("so3 x torus:2", 1.0),
    ("lorentz:2 x poincare:2", 1.0),
    ("points:3,2,1 x sphere:2", 1.0),
]
