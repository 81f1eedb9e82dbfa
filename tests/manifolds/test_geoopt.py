"""Agreement with geoopt where geoopt is right: away from coincident points, the cut locus and the far field."""

from __future__ import annotations

import geoopt
import pytest
import torch
from torch import Tensor

from manifold_gen.manifolds import Euclidean, Lorentz, Manifold, PoincareBall, Sphere

PAIRS: list[tuple[Manifold, geoopt.Manifold]] = [
    (Euclidean(3), geoopt.Euclidean(ndim=1)),
    (Sphere(2), geoopt.Sphere()),
    (Sphere(5), geoopt.Sphere()),
    (PoincareBall(3), geoopt.PoincareBall()),
    (Lorentz(3), geoopt.Lorentz()),
]
pairs = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[str(m) for m, _ in PAIRS])


def draw(m: Manifold, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    x = m.expmap(
        m.origin(32, dtype=torch.float64), m.random_tangent(m.origin(32, dtype=torch.float64), generator=generator)
    )
    u = 0.7 * m.random_tangent(x, generator=generator)
    return x, m.expmap(x, u), u


@pairs
def test_maps_agree(ours: Manifold, theirs: geoopt.Manifold, generator: torch.Generator) -> None:
    x, y, u = draw(ours, generator)
    torch.testing.assert_close(ours.expmap(x, u), theirs.expmap(x, u).as_subclass(Tensor), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ours.logmap(x, y), theirs.logmap(x, y).as_subclass(Tensor), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.dist(x, y), theirs.dist(x, y).as_subclass(Tensor), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours.proju(x, u), theirs.proju(x, u).as_subclass(Tensor), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        ours.egrad2rgrad(x, u), theirs.egrad2rgrad(x, u).as_subclass(Tensor), rtol=1e-7, atol=1e-7
    )


@pairs
def test_inner_products_agree(ours: Manifold, theirs: geoopt.Manifold, generator: torch.Generator) -> None:
    x, y, u = draw(ours, generator)
    v = ours.proju(x, ours.logmap(x, y) + 0.1 * ours.random_tangent(x, generator=generator))
    expected = theirs.inner(x, u, v, keepdim=True).as_subclass(Tensor).squeeze(-1)
    torch.testing.assert_close(ours.inner(x, u, v), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("ours", "theirs"), [PAIRS[3], PAIRS[4]], ids=["poincare", "lorentz"])
def test_parallel_transport_agrees(ours: Manifold, theirs: geoopt.Manifold, generator: torch.Generator) -> None:
    x, y, u = draw(ours, generator)
    torch.testing.assert_close(ours.transp(x, y, u), theirs.transp(x, y, u).as_subclass(Tensor), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("m", [Sphere(2), PoincareBall(2), Lorentz(2)], ids=str)
def test_geoopts_optimiser_runs_on_ours(m: Manifold, generator: torch.Generator) -> None:
    """Riemannian Adam finds the point that minimises the squared distance to a target."""
    start, target, _ = (t[0] for t in draw(m, generator))
    x = geoopt.ManifoldParameter(start.clone(), manifold=m)
    optimiser = geoopt.optim.RiemannianAdam([x], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        m.dist2(x, target).backward()
        optimiser.step()
    assert float(m.dist(x, target)) < 1e-2
    assert m.check_point_on_manifold(x.detach())
