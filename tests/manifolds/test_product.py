"""Products: what the laws do not say about how factors are put together."""

from __future__ import annotations

import math

import pytest
import torch

from manifold_gen.errors import UsageError
from manifold_gen.manifolds import SO3, Euclidean, PoincareBall, Product, Sphere, Torus, from_spec


@pytest.fixture
def product() -> Product:
    return Product(SO3(), Torus(2), Sphere(2), Torus(2))


def test_attributes_add_up(product: Product) -> None:
    assert (product.shape, product.dim, product.embed_dim) == ((16,), 9, 20)
    expected = math.log(8 * math.pi**2) + 4 * math.log(2 * math.pi) + math.log(4 * math.pi)
    assert product.log_volume == pytest.approx(expected)
    assert product.injectivity_radius == math.pi
    assert product.curvature is None
    assert product.spec == "so3 x torus:2 x sphere:2 x torus:2"


def test_split_and_join_are_inverse(product: Product, generator: torch.Generator) -> None:
    x = product.random_uniform(2, 3, generator=generator)
    parts = product.split(x)
    assert [tuple(part.shape) for part in parts] == [(2, 3, 3, 3), (2, 3, 2), (2, 3, 3), (2, 3, 2)]
    assert torch.equal(product.join(parts), x)


def test_every_scalar_is_the_sum_over_factors(product: Product, generator: torch.Generator) -> None:
    x = product.random_uniform(5, generator=generator, dtype=torch.float64)
    u, v = (0.5 * product.random_tangent(x, generator=generator) for _ in range(2))
    y = product.expmap(x, u)
    parts = list(zip(product.factors, *map(product.split, (x, y, u, v)), strict=True))
    torch.testing.assert_close(product.inner(x, u, v), sum(m.inner(a, c, d) for m, a, b, c, d in parts))
    torch.testing.assert_close(product.dist(x, y) ** 2, sum(m.dist(a, b) ** 2 for m, a, b, c, d in parts))
    torch.testing.assert_close(product.log_det_exp(x, u), sum(m.log_det_exp(a, c) for m, a, b, c, d in parts))
    torch.testing.assert_close(product.log_sqrt_det_metric(x), sum(m.log_sqrt_det_metric(a) for m, a, *_ in parts))


def test_products_of_products_unfold() -> None:
    nested = Product(Product(Sphere(2), Euclidean(1)), SO3())
    assert nested.spec == "sphere:2 x euclidean:1 x so3"
    assert [m.spec for m in nested.factors] == ["sphere:2", "euclidean:1", "so3"]


def test_a_factor_that_is_not_compact_has_no_uniform_distribution() -> None:
    m = Product(Sphere(2), Euclidean(1))
    assert math.isinf(m.log_volume)
    with pytest.raises(ValueError, match="no uniform distribution"):
        m.random_uniform(3)


def test_the_safe_radius_is_the_smallest() -> None:
    ball = PoincareBall(2)
    assert Product(Torus(1), ball).safe_radius(torch.float32) == ball.safe_radius(torch.float32)


def test_a_product_takes_two_factors() -> None:
    with pytest.raises(UsageError, match="two or more"):
        Product(Sphere(2))


def test_the_period_is_common_or_none() -> None:
    assert Product(Torus(1), Torus(2)).period == Torus(3).period
    assert from_spec("torus:1 x sphere:2").period is None
