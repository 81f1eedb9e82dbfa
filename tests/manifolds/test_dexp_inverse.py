"""The inverse differential of the exponential map, against its definition."""

import pytest
import torch

from manifold_gen import seeds
from manifold_gen.manifolds import from_spec


@pytest.mark.parametrize(
    "spec", ["euclidean:2", "torus:3", "sphere:2", "sphere:4", "so3", "poincare:2", "lorentz:3", "so3 x sphere:2"]
)
def test_it_inverts_the_differential_of_exp(spec, dtype):
    manifold, stream = from_spec(spec), seeds.generator(5)
    x = manifold.origin(12, dtype=dtype)
    x = manifold.expmap(x, 0.7 * manifold.random_tangent(x, generator=stream))
    u, w = 0.6 * manifold.random_tangent(x, generator=stream), manifold.random_tangent(x, generator=stream)
    _, v = torch.func.jvp(lambda a: manifold.expmap(x, a), (u,), (w,))
    tol = 1e-4 if dtype == torch.float32 else 1e-10
    assert float(manifold.norm(x, manifold.dexp_inverse(x, u, v) - w).max()) < tol
    zero = torch.zeros_like(u)
    assert float(manifold.norm(x, manifold.dexp_inverse(x, zero, w) - w).max()) < tol
