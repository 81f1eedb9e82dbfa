"""Point clouds: their base against the multivariate normal of scipy, rotations as isometries, one frame."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from manifold_gen.distributions import default_base
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import PointCloud
from manifold_gen.manifolds.point_cloud import helmert
from manifold_gen.seeds import generator


def clouds(m: PointCloud, count: int, seed: int = 0) -> torch.Tensor:
    return m.projx(torch.randn(count, *m.shape, dtype=torch.float64, generator=generator(seed)))


@pytest.mark.parametrize("n", [2, 3, 8, 29])
def test_helmert_rows_are_an_orthonormal_basis_of_mean_zero(n: int) -> None:
    rows = helmert(n)
    torch.testing.assert_close(rows @ rows.T, torch.eye(n - 1, dtype=rows.dtype), rtol=0, atol=1e-14)
    torch.testing.assert_close(rows.sum(1), torch.zeros(n - 1, dtype=rows.dtype), rtol=0, atol=1e-14)


def test_base_is_the_normal_of_the_subspace() -> None:
    """The density of the independent coordinates of all points but the last, by the area that their graph has."""
    m = PointCloud(4, 2, 1)
    x = clouds(m, 5)
    positions, features = m.split(x)
    free = positions[:, :-1].flatten(1).numpy()
    covariance = torch.block_diag(*[torch.eye(3, dtype=torch.float64) - 1 / 4] * 2)
    order = [2 * i + axis for axis in range(2) for i in range(3)]
    graph = m.position_dim * 0.5 * math.log(4)  # √n a dimension: how much the subspace stretches its first n − 1 points
    expected = stats.multivariate_normal(cov=covariance.numpy()).logpdf(free[:, order]) - graph
    expected = torch.from_numpy(expected) + torch.from_numpy(stats.norm.logpdf(features.numpy())).sum((1, 2))
    base = default_base(m)
    torch.testing.assert_close(base.log_prob(x), expected, rtol=1e-12, atol=1e-12)
    assert m.check_point_on_manifold(base.sample(7, generator=generator(0)))


def test_rotations_reflections_and_permutations_are_isometries() -> None:
    m = PointCloud(5, 3, 2)
    x, y = clouds(m, 6), clouds(m, 6, 1)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator(2)))[0]
    order = torch.randperm(5, generator=generator(3))

    def moved(a: torch.Tensor) -> torch.Tensor:
        positions, features = m.split(a)
        return torch.cat([positions @ turn, features], -1)[:, order]

    assert m.symmetry == "euclidean"
    torch.testing.assert_close(m.dist(moved(x), moved(y)), m.dist(x, y))
    torch.testing.assert_close(m.heat_kernel(moved(x), moved(y), 0.4), m.heat_kernel(x, y, 0.4))
    assert m.check_point_on_manifold(moved(x))
    assert not m.check_point_on_manifold(x + 0.1)


@pytest.mark.parametrize(
    ("numbers", "named"), [((1, 3, 0), "n of"), ((4, 0, 0), "position_dim"), ((4, 3, -1), "feature")]
)
def test_a_cloud_without_shape_is_refused(numbers: tuple[int, int, int], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        PointCloud(*numbers)
