"""Small determinants and solvers against LAPACK, divergences against closed forms."""

import math

import pytest
import torch

from manifold_gen import calculus, seeds
from manifold_gen.manifolds import Euclidean, Lorentz, PoincareBall, Sphere, Torus, from_spec


def matrices(n, count=6, seed=0, dtype=torch.float64):
    return torch.randn(count, 2, n, n, generator=seeds.generator(seed, n), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_determinant_and_solve_agree_with_lapack(n, dtype):
    a = matrices(n, dtype=dtype)
    b = torch.randn(6, 2, n, generator=seeds.generator(1), dtype=torch.float64).to(dtype)
    size = 2e-4 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(calculus.determinant(a), torch.linalg.det(a), rtol=size, atol=size)
    torch.testing.assert_close(calculus.log_abs_det(a), torch.linalg.slogdet(a).logabsdet, rtol=size, atol=size)
    torch.testing.assert_close(calculus.solve(a, b), torch.linalg.solve(a, b), rtol=100 * size, atol=size)
    assert calculus.determinant(a).shape == (6, 2)
    assert calculus.solve(a, b).shape == (6, 2, n)
    assert {calculus.determinant(a).dtype, calculus.log_abs_det(a).dtype, calculus.solve(a, b).dtype} == {dtype}


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_determinant_and_solve_have_right_gradients(n):
    a = matrices(n, 1).requires_grad_()
    b = torch.randn(1, 2, n, generator=seeds.generator(1), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(calculus.determinant, a)
    assert torch.autograd.gradcheck(calculus.log_abs_det, a)
    assert torch.autograd.gradcheck(calculus.solve, (a, b))
    assert torch.autograd.gradgradcheck(calculus.log_abs_det, a)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_singular_matrices_say_so_without_raising(n):
    a = torch.zeros(2, n, n)
    assert bool((calculus.determinant(a) == 0).all())
    assert bool((calculus.log_abs_det(a) == -math.inf).all())
    assert not bool(calculus.solve(a, torch.ones(2, n)).isfinite().any())


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_isotropic_vectors_have_the_identity_as_second_moment(n):
    v = calculus.isotropic(torch.randn(200_000, n, generator=seeds.generator(0), dtype=torch.float64))
    torch.testing.assert_close(v.square().sum(-1), torch.full((200_000,), float(n)).double())
    # entries of v vᵀ have a variance of at most n, so 5 standard errors are 5 √(n / 200,000)
    torch.testing.assert_close(v.mT @ v / len(v), torch.eye(n).double(), rtol=0, atol=5 * math.sqrt(n / 200_000))


def test_pushforward_is_the_jacobian_product():
    x = torch.randn(4, 3, generator=seeds.generator(0), dtype=torch.float64)
    tangents = torch.randn(5, 4, 3, generator=seeds.generator(1), dtype=torch.float64)
    value, images = calculus.pushforward(lambda p: torch.sin(p).cumsum(-1), x, tangents)
    torch.testing.assert_close(value, torch.sin(x).cumsum(-1))
    torch.testing.assert_close(images, (torch.cos(x) * tangents).cumsum(-1))


@pytest.mark.parametrize("spec", ["euclidean:3", "sphere:1", "sphere:4", "torus:2", "so3", "poincare:2", "lorentz:3"])
def test_the_identity_has_the_identity_as_jacobian(spec, dtype):
    manifold = from_spec(spec)
    x = manifold.expmap(
        manifold.origin(5, dtype=dtype), 0.5 * manifold.tangent_basis(manifold.origin(5, dtype=dtype))[:, 0]
    )

    class Identity:
        def pushforward(self, x, tangents, context=None):
            return calculus.pushforward(lambda p: p, x, tangents)

    y, matrix = calculus.jacobian(Identity(), manifold, x)
    assert torch.equal(y, x)
    size = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(matrix, torch.eye(manifold.dim, dtype=dtype).expand(5, -1, -1), rtol=0, atol=size)


def ambient(n, seed=0):
    return torch.randn(n, generator=seeds.generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_divergence_on_the_sphere(n):
    """The gradient of ⟨a, x⟩ is a − ⟨a, x⟩ x, its divergence −n ⟨a, x⟩; a rotation field has none."""
    sphere, a = Sphere(n), ambient(n + 1)
    x = sphere.random_uniform(20, generator=seeds.generator(0), dtype=torch.float64)
    found = calculus.divergence(lambda p: a - (p @ a).unsqueeze(-1) * p, sphere, x)
    torch.testing.assert_close(found, -n * (x @ a))
    skew = matrices(n + 1)[0, 0]
    skew = skew - skew.mT
    turning = calculus.divergence(lambda p: p @ skew, sphere, x)
    torch.testing.assert_close(turning, torch.zeros(20).double(), rtol=0, atol=1e-12)


def test_divergence_does_not_see_how_a_field_goes_on_outside():
    sphere, a = Sphere(2), ambient(3)
    x = sphere.random_uniform(20, generator=seeds.generator(0), dtype=torch.float64)
    plain = calculus.divergence(lambda p: sphere.proju(p, a.expand_as(p)), sphere, x)
    other = calculus.divergence(
        lambda p: sphere.proju(p, a.expand_as(p)) * (p * p).sum(-1, keepdim=True) ** 3, sphere, x
    )
    torch.testing.assert_close(plain, other)


def test_divergence_on_the_torus_and_flat_space():
    x = 2 * torch.rand(20, 2, generator=seeds.generator(0), dtype=torch.float64)
    expected = torch.cos(x[:, 0]) - 2 * torch.sin(2 * x[:, 1])
    for manifold in (Torus(2), Euclidean(2)):
        found = calculus.divergence(
            lambda p: torch.stack([torch.sin(p[..., 0]), torch.cos(2 * p[..., 1])], -1), manifold, x
        )
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "space", [PoincareBall(1), PoincareBall(2), PoincareBall(3), Lorentz(1), Lorentz(2), Lorentz(3)]
)
def test_divergence_on_hyperbolic_space(space):
    """The gradient of d²/2 is −log_x(o) with divergence 1 + (n − 1) d coth d; the metric's change is a part of it."""
    origin = space.origin(20, dtype=torch.float64)
    x = space.expmap(origin, space.random_tangent(origin, generator=seeds.generator(0)))
    d = space.dist(origin, x)
    found = calculus.divergence(lambda p: -space.logmap(p, space.origin(len(p), dtype=p.dtype)), space, x)
    torch.testing.assert_close(found, 1 + (space.dim - 1) * d / torch.tanh(d))


@pytest.mark.parametrize("spec", ["sphere:2", "sphere:3", "torus:2", "so3", "sphere:2 x torus:1"])
def test_divergences_integrate_to_zero(spec):
    """Over a compact manifold; the field is a projected wave, the mean over uniform points within 5 standard errors."""
    manifold = from_spec(spec)
    x = manifold.random_uniform(20_000, generator=seeds.generator(0), dtype=torch.float64)
    b = manifold.random_tangent(manifold.origin(1, dtype=torch.float64), generator=seeds.generator(2))[0]
    k = torch.ones(manifold.embed_dim).double()

    def field(p):
        return manifold.proju(p, b * (1 + torch.sin(manifold.embed(p) @ k)).reshape(-1, *(1,) * len(manifold.shape)))

    found = calculus.divergence(field, manifold, x)
    assert float(found.std()) > 0.1
    assert abs(float(found.mean())) <= 5 * float(found.std()) / math.sqrt(len(x))


def test_divergence_has_a_gradient_in_the_point():
    """Finite differences along geodesics of a sphere and of a ball, whose metric varies."""
    for manifold in (Sphere(2), PoincareBall(2)):
        a = ambient(manifold.shape[0])
        start = manifold.origin(6, dtype=torch.float64)
        x = manifold.expmap(start, 0.6 * manifold.random_tangent(start, generator=seeds.generator(3)))

        def field(p, manifold=manifold, a=a):
            return manifold.proju(p, torch.sin(2 * p) + a) * (p @ a).exp().unsqueeze(-1)

        x.requires_grad_()
        (gradient,) = torch.autograd.grad(calculus.divergence(field, manifold, x).sum(), x)
        x = x.detach()
        for b in calculus.frame(manifold, x):
            forth, back = (calculus.divergence(field, manifold, manifold.expmap(x, s * 1e-5 * b)) for s in (1, -1))
            torch.testing.assert_close((gradient * b).sum(-1), (forth - back) / 2e-5, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "spec", ["sphere:2", "torus:3", "so3", "poincare:2", "lorentz:3", "points:4,2", "sphere:2 x euclidean:2"]
)
def test_divergence_by_rows_is_the_divergence(spec, monkeypatch):
    """With its gradient, however many rows are taken at a time."""
    manifold = from_spec(spec)
    start = manifold.origin(5, dtype=torch.float64)
    x = manifold.expmap(start, 0.4 * manifold.random_tangent(start, generator=seeds.generator(4)))
    a = ambient(manifold.shape[-1])

    def field(p):
        return manifold.proju(p, torch.sin(2 * p) + a * p.square().sum(-1, keepdim=True))

    x.requires_grad_()
    expected = calculus.divergence(field, manifold, x)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    for rows, pairs in ((512, 2**15), (7, 2**15), (1, 2**15), (512, 40)):
        monkeypatch.setattr(calculus, "_ROWS", rows)
        monkeypatch.setattr(calculus, "_PAIRS", pairs)
        v, found = calculus.divergence_by_rows(field, manifold, x)
        torch.testing.assert_close(v, field(x))
        torch.testing.assert_close(found, expected)
        (gradient,) = torch.autograd.grad(found.sum(), x)
        torch.testing.assert_close(manifold.proju(x, gradient), manifold.proju(x, slope))


@pytest.mark.parametrize(
    ("spec", "batch", "most"), [("torus:3", 4, 512), ("points:55,3", 4, 10), ("points:4,2", 512, 512)]
)
def test_rows_taken_at_a_time_are_so_few_that_their_pairs_fit(spec, batch, most, monkeypatch):
    """A network on clouds keeps numbers for every pair of points, of every row of the Jacobian that is pulled back."""
    manifold, sizes = from_spec(spec), []
    real = torch.func.vmap

    def watched(function, *args, chunk_size=None, **kwargs):
        sizes.append(chunk_size)
        return real(function, *args, chunk_size=chunk_size, **kwargs)

    monkeypatch.setattr(torch.func, "vmap", watched)
    x = manifold.origin(batch)
    calculus.divergence_by_rows(lambda p: manifold.proju(p, torch.sin(p)), manifold, x)
    calculus.jacobian_by_rows(lambda p, context: p, manifold, x)
    assert len(sizes) == 2
    assert all(size >= 1 and size * batch <= most for size in sizes)
