"""Manifolds from text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from manifold_gen.errors import UsageError
from manifold_gen.manifolds import from_spec

SPECS = [
    "euclidean:3",
    "sphere:2",
    "torus:7",
    "so3",
    "poincare:2",
    "lorentz:2",
    "points:18,3,5",
    "sphere:2 x euclidean:1",
    "so3 x torus:2 x so3",
    "geoopt.CanonicalStiefel:4,2",
    "geoopt.SymmetricPositiveDefinite:3,3",
    "torus:1 x geoopt.CanonicalStiefel:3,1",
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_manifold_is_rebuilt_from_its_spec(spec: str) -> None:
    m = from_spec(spec)
    again = from_spec(m.spec)
    assert m.spec == spec == again.spec
    assert (again.shape, again.dim, again.log_volume) == (m.shape, m.dim, m.log_volume)
    assert torch.equal(again.origin(2), m.origin(2))


def test_spaces_around_the_parts_do_not_matter() -> None:
    assert from_spec("  sphere: 2   x so3 ").spec == "sphere:2 x so3"
    assert from_spec("points:4, 2").spec == "points:4,2,0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spere:2", "did you mean 'sphere'"),
        ("sphere", "needs its dimension"),
        ("sphere:0", "needs its dimension"),
        ("sphere:-1", "needs its dimension"),
        ("sphere:two", "needs its dimension"),
        ("so3:3", "takes no size"),
        ("points", "write for example 'points:18,3,5'"),
        ("points:4,3,0,1", "write for example 'points:18,3,5'"),
        ("points:1,3,0", "n of at least 2, got 1"),
        ("points:4,0", "position_dim of at least 1, got 0"),
        ("", "unknown manifold ''"),
        ("sphere:2 x ", "needs its dimension"),
        ("geoopt.Nothing:3", "expected a geoopt manifold"),
        ("geoopt.Stiefel", "unknown manifold"),
        ("geoopt.Stiefel:2,3", "1 <= k < n"),
        ("../../etc:2", "unknown manifold"),
        ("no_such_package:Space", "No module named 'no_such_package'.*PYTHONPATH"),
        ("manifold_gen.manifolds:Nothing", "has no class Nothing derived from Manifold"),
        ("manifold_gen.manifolds:from_spec", "derived from Manifold"),
        ("manifold_gen.manifolds:Sphere", "Sphere cannot be made from \\(\\)"),
        ("manifold_gen.manifolds:Sphere:0", "at least 1, got 0"),
        ("manifold_gen.manifolds:Sphere:two", "could not convert string to float"),
        ("manifold_gen.manifolds:Manifold", "abstract"),
    ],
)
def test_nonsense_is_refused_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_spec(text)


def test_a_class_from_outside_is_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_spaces.py").write_text(
        "from manifold_gen.manifolds import Sphere\n"
        "class Ball(Sphere):\n"
        "    def __init__(self, n: int = 2, size: float = 1.0):\n"
        "        super().__init__(n)\n"
        "        self.size, self.spec = size, f'my_spaces:Ball:{n},{size}'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    m = from_spec("my_spaces:Ball:3,1e-3")
    assert (m.dim, m.size, m.spec) == (3, 1e-3, "my_spaces:Ball:3,0.001")
    assert from_spec(m.spec).spec == m.spec
    assert from_spec("my_spaces:Ball").spec == "my_spaces:Ball:2,1.0"
    assert from_spec("so3 x my_spaces:Ball:3,0.5 x torus:2").spec == "so3 x my_spaces:Ball:3,0.5 x torus:2"


def test_importing_manifolds_loads_no_foreign_library_and_changes_nothing() -> None:
    code = (
        "import sys, torch; before = torch.random.get_rng_state();"
        "from manifold_gen.manifolds import from_spec; from_spec('so3');"
        "assert torch.equal(before, torch.random.get_rng_state()) and torch.get_default_dtype() == torch.float32;"
        "assert 'geomstats' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
