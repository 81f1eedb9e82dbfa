"""Closeness to committed reference values: near 0, near π and far from the origin, in value and in gradient.

The references take the rounded inputs as exact (see ``tests/gold/make_gold.py``), so the bounds are a few units in the
last place times what the geometry itself amplifies.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from manifold_gen.manifolds import Lorentz, PoincareBall, Sphere, Torus

GOLD = Path(__file__).parents[1] / "gold"
ULPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def columns(name: str, dtype: torch.dtype) -> dict[str, Tensor | list[str]]:
    """The table of one dtype by column; ``at`` is text, the rest float64."""
    rows = json.loads((GOLD / f"{name}.json").read_text())[str(dtype).removeprefix("torch.")]
    out = {key: torch.tensor([row[key] for row in rows], dtype=torch.float64) for key in rows[0] if key != "at"}
    return {**out, "at": [row.get("at", "") for row in rows]}


def worst(got: Tensor, expected: Tensor, relative_to: Tensor | float = 1.0) -> float:
    deviation = (got.cpu().double() - expected).abs()
    deviation = deviation.amax(-1) if deviation.dim() > 1 else deviation
    return float((deviation / relative_to).amax())


@pytest.fixture
def sphere(dtype: torch.dtype, device: torch.device) -> dict:
    table = columns("sphere", dtype)
    return {**table, **{key: table[key].to(device, dtype) for key in "xyuwt"}}


def test_sphere_exp(sphere: dict, dtype: torch.dtype) -> None:
    m, x, u, w = Sphere(2), sphere["x"], sphere["u"], sphere["w"]
    y, slope = torch.func.jvp(lambda v: m.expmap(x, v), (u,), (w,))
    assert worst(y, sphere["exp"]) <= 3 * ULPS[dtype]
    assert worst(m.proju(y, slope), sphere["exp_slope"]) <= 4 * ULPS[dtype]


def test_sphere_dist(sphere: dict, dtype: torch.dtype) -> None:
    m, x, y = Sphere(2), sphere["x"], sphere["y"]
    assert worst(m.dist(x, y), sphere["dist"], sphere["dist"]) <= 3 * ULPS[dtype]
    assert worst(m.dist2(x, y).sqrt(), sphere["dist"], sphere["dist"]) <= 6 * ULPS[dtype]
    gradient = torch.func.grad(lambda b: m.dist(x, b).sum())(y)
    assert worst(m.proju(y, gradient), sphere["dist_gradient"]) <= 4 * ULPS[dtype]


def test_sphere_log(sphere: dict, dtype: torch.dtype) -> None:
    m, x, y, t = Sphere(2), sphere["x"], sphere["y"], sphere["t"]
    u, slope = torch.func.jvp(lambda b: m.logmap(x, b), (y,), (t,))
    assert worst(u, sphere["log"], sphere["dist"]) <= 4 * ULPS[dtype]
    size = sphere["log_slope"].abs().amax(-1).clamp_min(1.0)
    assert worst(m.proju(x, slope), sphere["log_slope"], size) <= 30 * ULPS[dtype]


def test_torus_wrap(dtype: torch.dtype, device: torch.device) -> None:
    table = columns("torus", dtype)
    got = Torus(1).projx(table["x"].to(device, dtype).unsqueeze(-1)).squeeze(-1)
    assert worst(got.cpu(), table["wrapped"]) <= 2 * ULPS[dtype]
    small = table["x"].abs() < 1
    assert torch.equal(got.cpu()[small], table["x"].to(dtype)[small])


@pytest.fixture
def ball(dtype: torch.dtype, device: torch.device) -> dict:
    table = columns("poincare", dtype)
    return {**table, **{key: table[key].to(device, dtype) for key in "xyuc"}}


def reach(table: dict) -> Tensor:
    """How much the metric amplifies a rounding: e^radius, at least 1; an absolute bound for radii ≥ 1."""
    radius = torch.tensor([float(text) for text in table["at"]], dtype=torch.float64)
    return torch.where(radius < 1, radius, torch.exp(radius))


def test_poincare_dist(ball: dict, dtype: torch.dtype) -> None:
    m, x = PoincareBall(2), ball["x"]
    assert worst(m.dist(x, ball["y"]), ball["dist"], reach(ball)) <= ULPS[dtype]
    assert worst(m.dist(torch.zeros_like(x), x), ball["dist_origin"], reach(ball)) <= 2 * ULPS[dtype]
    assert worst(m.embed(x).norm(dim=-1), ball["dist_origin"], reach(ball)) <= 2 * ULPS[dtype]


def test_poincare_exp_and_log(ball: dict, dtype: torch.dtype) -> None:
    m, x = PoincareBall(2), ball["x"]
    scale = reach(ball)
    metric = torch.exp(ball["log_lambda"])
    miss = (m.logmap(x, ball["y"]).cpu().double() - ball["log"]).norm(dim=-1) * metric
    assert float((miss / scale).amax()) <= 4 * ULPS[dtype]
    far = m.dist(m.expmap(x, ball["u"]).cpu().double(), ball["exp"])
    assert float((far / scale.clamp_min(1.0)).amax()) <= 4 * ULPS[dtype]
    assert float((m.dist(m.unembed(ball["c"]).cpu().double(), ball["unembed"]) / scale).amax()) <= 2 * ULPS[dtype]
    assert worst(m.log_sqrt_det_metric(x) / 2, ball["log_lambda"], scale.clamp_min(1.0)) <= ULPS[dtype]


def test_poincare_is_as_good_as_promised_at_its_safe_radius(dtype: torch.dtype) -> None:
    m = PoincareBall(2)
    table = columns("poincare", dtype)
    promised = {torch.float32: 1e-4, torch.float64: 1e-8}[dtype]
    inside = torch.tensor([float(text) <= m.safe_radius(dtype) for text in table["at"]])
    got = m.dist(table["x"].to(dtype), table["y"].to(dtype)).double()
    assert float((got - table["dist"])[inside].abs().amax()) <= promised


def test_lorentz_dist_and_log(dtype: torch.dtype, device: torch.device) -> None:
    m, table = Lorentz(2), columns("lorentz", dtype)
    lifted = [torch.nn.functional.pad(table[key].to(device, dtype), (1, 0)) for key in "pq"]
    x, y = (m.projx(point) for point in lifted)
    assert worst(m.dist(x, y), table["dist"], table["dist"]) <= 3 * ULPS[dtype]
    assert (
        worst(m.dist(m.origin(dtype=dtype, device=device), x), table["dist_origin"], table["dist_origin"])
        <= 5 * ULPS[dtype]
    )
    miss = m.norm(x.double(), m.logmap(x, y).double() - table["log"].to(device))
    assert float((miss.cpu() / reach(table)).amax()) <= 8 * ULPS[dtype]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 20])
def test_sphere_volume_by_recursion(n: int) -> None:
    """vol(Sⁿ) = 2π vol(S^{n−2}) / (n − 1), from vol(S⁰) = 2 and vol(S¹) = 2π."""
    volume = 2.0 if n % 2 == 0 else 2 * math.pi
    for k in range(n % 2 + 2, n + 1, 2):
        volume *= 2 * math.pi / (k - 1)
    assert math.isclose(math.exp(Sphere(n).log_volume), volume, rel_tol=1e-13)
