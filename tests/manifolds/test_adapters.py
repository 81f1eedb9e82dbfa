"""Spaces of geoopt and geomstats: laws, agreement, and no trace of geomstats in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import geoopt
import pytest
import torch

from manifold_gen.errors import MissingExtraError, UsageError
from manifold_gen.manifolds import Manifold, from_geomstats, from_geoopt, from_spec
from manifold_gen.testing import check_manifold, law_names

SLACK = 4.0  # these maps decompose matrices or iterate
EXPENSIVE = "log_volume_is_the_volume"  # twenty thousand logarithms; checked with fewer points below
STIEFEL = from_geoopt(geoopt.CanonicalStiefel(), (4, 2))
POSITIVE = from_geoopt(geoopt.SymmetricPositiveDefinite(), (3, 3))

GEOMSTATS = """
import sys, torch
from manifold_gen.manifolds import from_spec
from manifold_gen.testing import check_manifold, law_names
torch.set_num_threads(1)
laws = [name for name in law_names() if name != "log_volume_is_the_volume"]
m = from_spec(sys.argv[1])
assert torch.get_default_dtype() == torch.float32, "geomstats changed the default dtype"
assert m.spec == from_spec(m.spec).spec == sys.argv[1]
for dtype in (torch.float32, torch.float64):
    check_manifold(m, dtype=dtype, slack=4.0, laws=laws)

from manifold_gen.manifolds.adapters import _geomstats
name, size = sys.argv[1].removeprefix("geomstats.").split(":")
module = {"SpecialOrthogonal": "special_orthogonal", "SPDMatrices": "spd_matrices"}[name]
space = getattr(_geomstats("geomstats.geometry." + module), name)(int(size))
generator = torch.Generator().manual_seed(1)
origin = m.origin(16, dtype=torch.float64)
x = m.expmap(origin, 0.5 * m.random_tangent(origin, generator=generator))
u, v = (0.3 * m.random_tangent(x, generator=generator) for _ in range(2))
y = m.expmap(x, u)
close = {"rtol": 0, "atol": 1e-6}
torch.testing.assert_close(space.metric.exp(u, x), y, **close)
torch.testing.assert_close(space.metric.log(y, x), u, **close)
torch.testing.assert_close(space.metric.inner_product(u, v, x), m.inner(x, u, v), **close)
torch.testing.assert_close(space.to_tangent(y, x), m.proju(x, y), **close)
"""


@pytest.mark.parametrize("m", [STIEFEL, POSITIVE], ids=str)
def test_geoopt_spaces_obey_the_laws(m: Manifold, dtype: torch.dtype) -> None:
    check_manifold(m, dtype=dtype, slack=SLACK, laws=[name for name in law_names() if name != EXPENSIVE])


@pytest.mark.parametrize("spec", ["geomstats.SpecialOrthogonal:4", "geomstats.SPDMatrices:3"])
def test_geomstats_spaces_obey_the_laws_and_agree_in_a_process_of_their_own(spec: str) -> None:
    done = subprocess.run([sys.executable, "-c", GEOMSTATS, spec], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_volume_of_the_stiefel_manifold(generator: torch.Generator) -> None:
    """E[1(r < R) / |det d exp|] · volume is the volume of a flat ball: the law, with fewer points."""
    x, y = (STIEFEL.random_uniform(1500, generator=generator, dtype=torch.float64) for _ in range(2))
    radius = 0.9 * STIEFEL.injectivity_radius
    u = STIEFEL.logmap(x, y)
    inside = STIEFEL.norm(x, u) < radius
    log_ball = torch.log(torch.tensor(8 * torch.pi**2 / 15 * radius**5))
    log_det = STIEFEL.log_det_exp(x, torch.where(inside[:, None, None], u, 0.0))
    weight = torch.where(inside, torch.exp(STIEFEL.log_volume - log_ball - log_det), 0.0)
    error = weight.std() / len(weight) ** 0.5
    assert error < 0.1
    assert abs(float(weight.mean()) - 1) < 5 * error


def test_maps_agree_with_geoopt(generator: torch.Generator) -> None:
    theirs, origin = geoopt.SymmetricPositiveDefinite(), POSITIVE.origin(16, dtype=torch.float64)
    x = POSITIVE.expmap(origin, POSITIVE.random_tangent(origin, generator=generator))
    u = POSITIVE.random_tangent(x, generator=generator)
    y = POSITIVE.expmap(x, u)
    torch.testing.assert_close(theirs.expmap(x, u), y)
    torch.testing.assert_close(theirs.logmap(x, y), u)
    torch.testing.assert_close(theirs.dist(x, y), POSITIVE.dist(x, y))
    stiefel = geoopt.CanonicalStiefel()
    x = STIEFEL.random_uniform(16, generator=generator, dtype=torch.float64)
    u, v = (STIEFEL.random_tangent(x, generator=generator) for _ in range(2))
    torch.testing.assert_close(stiefel.inner(x, u, v), STIEFEL.inner(x, u, v))
    assert stiefel.check_point_on_manifold(STIEFEL.expmap(x, u))
    step = 1e-4 * (u - x @ (x.mT @ u))  # along the rest geoopt's retraction is off by a factor of two
    torch.testing.assert_close(stiefel.retr(x, step), STIEFEL.expmap(x, step), rtol=0, atol=1e-11)


def test_any_other_space_brings_its_own_maps(generator: torch.Generator) -> None:
    m = from_geoopt(geoopt.EuclideanStiefelExact(), (4, 2))
    assert (m.dim, m.spec) == (5, "geoopt.EuclideanStiefelExact:4,2")
    x = m.projx(torch.randn(8, 4, 2, generator=generator, dtype=torch.float64))
    u = 0.3 * m.random_tangent(x, generator=generator)
    y = m.expmap(x, u)
    torch.testing.assert_close(m.logmap(x, y), u)
    torch.testing.assert_close(m.dist(x, y), m.norm(x, u))


def test_points_out_of_reach_have_no_logarithm_instead_of_a_wrong_one() -> None:
    x = STIEFEL.origin(dtype=torch.float64)
    assert not bool(torch.isfinite(STIEFEL.logmap(x, -x)).any())


def test_unsuitable_spaces_are_refused() -> None:
    with pytest.warns(UserWarning, match="not fully implemented"):
        space = geoopt.SymmetricPositiveDefinite("SM")
    with pytest.raises(UsageError, match="only AIM"):
        from_geoopt(space, (3, 3))
    with pytest.raises(UsageError, match="tangent projection"):
        from_geoopt(geoopt.Scaled(geoopt.CanonicalStiefel(), 2.0), (4, 2))


def test_without_geomstats_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if not (Path(folder) / "geomstats").is_dir()])
    monkeypatch.setenv("GEOMSTATS_BACKEND", "numpy")
    for make in (lambda: from_spec("geomstats.SPDMatrices:3"), lambda: from_geomstats(object())):
        with pytest.raises(MissingExtraError, match=r"pip install manifold-gen\[geomstats\]"):
            make()
    assert os.environ["GEOMSTATS_BACKEND"] == "numpy"
    assert torch.get_default_dtype() == torch.float32
