"""Agreement with geomstats, in one process of its own: importing geomstats changes torch's default dtype."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from manifold_gen.manifolds import Lorentz, PoincareBall, Sphere

THEIRS = """
import json, sys
import geomstats.backend as gs
from geomstats.geometry.hyperboloid import Hyperboloid
from geomstats.geometry.hypersphere import Hypersphere
from geomstats.geometry.poincare_ball import PoincareBall

spaces = {"sphere:3": Hypersphere(3), "poincare:2": PoincareBall(2), "lorentz:2": Hyperboloid(2)}
answers = {}
for spec, given in json.load(sys.stdin).items():
    metric = spaces[spec].metric
    x, y, u = (gs.array(given[key]) for key in ("x", "y", "u"))
    answers[spec] = {
        "exp": metric.exp(u, x).tolist(),
        "log": metric.log(y, x).tolist(),
        "dist": metric.dist(x, y).tolist(),
        "norm": metric.norm(u, x).tolist(),
    }
json.dump(answers, sys.stdout)
"""
OURS = {m.spec: m for m in (Sphere(3), PoincareBall(2), Lorentz(2))}


@pytest.fixture(scope="module")
def exchange() -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(3)
    given = {}
    for spec, m in OURS.items():
        origin = m.origin(16, dtype=torch.float64)
        x = m.expmap(origin, 0.8 * m.random_tangent(origin, generator=generator))
        u = 0.6 * m.random_tangent(x, generator=generator)
        y = m.expmap(x, 0.6 * m.random_tangent(x, generator=generator))
        given[spec] = {"x": x.tolist(), "y": y.tolist(), "u": u.tolist()}
    environment = {**os.environ, "GEOMSTATS_BACKEND": "numpy", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", THEIRS],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return given, json.loads(done.stdout)


@pytest.mark.parametrize("spec", OURS)
def test_geomstats_agrees(spec: str, exchange: tuple[dict, dict]) -> None:
    m = OURS[spec]
    x, y, u = (torch.tensor(exchange[0][spec][key], dtype=torch.float64) for key in ("x", "y", "u"))
    theirs = {key: torch.tensor(value, dtype=torch.float64) for key, value in exchange[1][spec].items()}
    torch.testing.assert_close(m.expmap(x, u), theirs["exp"], rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(m.logmap(x, y), theirs["log"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(m.dist(x, y), theirs["dist"], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(m.norm(x, u), theirs["norm"], rtol=1e-7, atol=1e-8)
