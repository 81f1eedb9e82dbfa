"""Laws of projections, frames, coordinates and what networks see."""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.manifolds.base import Manifold
from manifold_gen.testing.laws import Setting, law


@law
def projx_is_idempotent(s: Setting) -> None:
    """projx(projx(a)) = projx(a) near M, and points, exponentials and the origin stay where they are."""
    m, x = s.manifold, s.points(16)
    nearby = m.projx(x + 0.2 * s.ambient(x))
    s.close(m.projx(nearby), nearby, "projx twice")
    s.close(m.dist(m.projx(x), x), torch.zeros_like(m.dist(x, x)), "distance from a point to its projection", scale=10)
    y = m.expmap(x, s.steps(x))
    s.close(m.projx(y), y, "projx of exp_x(u)")
    origin = m.origin(2, dtype=s.dtype, device=s.device)
    s.close(m.projx(origin), origin, "projx of the origin")


@law
def proju_is_a_linear_projection(s: Setting) -> None:
    """proju is linear and idempotent."""
    m, x = s.manifold, s.points(16)
    a, b = s.ambient(x), s.ambient(x)
    s.close(m.proju(x, 2 * a - 3 * b), 2 * m.proju(x, a) - 3 * m.proju(x, b), "linearity of proju", scale=10)
    once = m.proju(x, a)
    s.close(m.proju(x, once), once, "proju twice", scale=10)


@law
def proju_is_orthogonal(s: Setting) -> None:
    """a − proju(a) is orthogonal to every tangent vector, and proju(a) = Σ ⟨bᵢ, a⟩ bᵢ."""
    m, x = s.manifold, s.points(16)
    a = s.ambient(x)
    basis = m.tangent_basis(x)
    tangent = m.proju(x, a)
    weights = m.inner(x.unsqueeze(1), basis, a.unsqueeze(1))
    rebuilt = (weights.reshape(*weights.shape, *(1,) * len(m.shape)) * basis).sum(1)
    s.close(rebuilt, tangent, "projection through the frame against proju", scale=10)


@law
def frame_is_orthonormal(s: Setting) -> None:
    """tangent_basis is tangent, orthonormal for ``inner``, deterministic and without derivative, forward or reverse."""
    m, x = s.manifold, s.points(16)
    basis = m.tangent_basis(x)
    assert basis.shape == (16, m.dim, *m.shape), f"tangent_basis has shape {tuple(basis.shape)}"
    point = x.unsqueeze(1).expand_as(basis)
    s.close(m.proju(point, basis), basis, "proju of the frame", scale=10)
    gram = m.inner(x[:, None, None], basis.unsqueeze(1), basis.unsqueeze(2))
    s.close(
        gram, torch.eye(m.dim, dtype=s.dtype, device=s.device).expand_as(gram), "Gram matrix of the frame", scale=10
    )
    assert torch.equal(basis, m.tangent_basis(x.clone())), "tangent_basis gives two answers for one point"
    assert not m.tangent_basis(x.clone().requires_grad_()).requires_grad, "tangent_basis carries a gradient"
    moved = torch.func.jvp(m.tangent_basis, (x,), (s.tangents(x),))[1]
    assert not moved.any(), "tangent_basis carries a forward-mode derivative: detach x, no_grad does not stop it"


@law
def frame_spans_what_the_reference_spans(s: Setting) -> None:
    """The frame and the base class's frame from an SVD project alike."""
    m, x = s.manifold, s.points(8)
    a = m.proju(x, s.ambient(x)).unsqueeze(1)
    axis = tuple(range(2, 2 + len(m.shape)))
    own, reference = m.tangent_basis(x), Manifold.tangent_basis(m, x)
    images = []
    for basis in (own, reference):
        weights = m.inner(x.unsqueeze(1), basis, a)
        images.append((weights[(...,) + (None,) * len(axis)] * basis).sum(1))
    s.close(images[0], images[1], "projector of the frame against the reference", scale=50)


@law
def frame_keeps_its_orientation(s: Setting) -> None:
    """Along curves the frame never flips: its determinant against the frame one step earlier stays positive.

    Applies where the manifold declares ``oriented``.
    """
    m = s.manifold
    if not m.oriented:
        return
    x, y = s.points(24), s.points(24)
    u = m.logmap(x, y)
    times = torch.linspace(0, 1, 65, dtype=s.dtype, device=s.device)
    curve = [m.expmap(x, t * u) for t in times]
    frames = [m.tangent_basis(point) for point in curve]
    for i in range(len(curve) - 1):
        moved = m.proju(curve[i + 1].unsqueeze(1).expand_as(frames[i]), frames[i])
        matrix = m.inner(curve[i + 1][:, None, None], frames[i + 1].unsqueeze(1), moved.unsqueeze(2))
        flips = int((torch.linalg.det(matrix) <= 0).sum())
        assert not flips, f"{flips} of 24 curves flip the frame at step {i}; declare oriented = False if that is meant"


@law
def coordinates_round_trip(s: Setting) -> None:
    """Coordinates in the frame are isometric and inverse to each other."""
    m, x = s.manifold, s.points(16)
    c = torch.randn(16, m.dim, generator=s.generator, dtype=s.dtype, device=s.device)
    u = m.from_coordinates(x, c)
    s.close(m.proju(x, u), u, "proju of from_coordinates", scale=10)
    s.close(m.to_coordinates(x, u), c, "to_coordinates of from_coordinates", scale=10)
    s.close(m.norm(x, u), c.norm(dim=-1), "length of from_coordinates", scale=10)
    basis = m.tangent_basis(x)
    s.close((c.reshape(*c.shape, *(1,) * len(m.shape)) * basis).sum(1), u, "from_coordinates against the frame")


@law
def random_tangents_are_standard_normal(s: Setting) -> None:
    """Coordinates of random_tangent have mean 0 and E[c cᵀ] = 1, at the stated failure rate."""
    m = s.manifold
    x = s.points(1).expand(4000, *m.shape)
    c = m.to_coordinates(x, s.tangents(x)).double()
    s.agrees(c.sum(-1), 0.0, "sum of tangent coordinates")
    s.agrees(c.square().mean(-1), 1.0, "mean square of tangent coordinates")
    s.agrees(c[:, 0] * c[:, -1] if m.dim > 1 else c[:, 0] ** 3, 0.0, "mixed moment of tangent coordinates")


@law
def embedding_is_inverted(s: Setting) -> None:
    """unembed(embed(x)) = x, its differential is the identity of T_xM, and unembed is a submersion there."""
    m, x = s.manifold, s.points(16)
    y = m.embed(x)
    assert y.shape == (16, m.embed_dim), f"embed has shape {tuple(y.shape)}, embed_dim says {m.embed_dim}"
    s.close(
        m.dist(m.unembed(y), x), torch.zeros(16, dtype=s.dtype, device=s.device), "unembed(embed(x)) to x", scale=10
    )
    u = s.tangents(x)
    moved = torch.func.jvp(lambda a: m.unembed(m.embed(a)), (x,), (u,))[1]
    s.close(moved, u, "differential of unembed after embed", kind="gradient", scale=10)

    def outward(v: Tensor) -> Tensor:
        return m.to_coordinates(x, torch.func.jvp(m.unembed, (y,), (v.expand_as(y),))[1])

    rows = torch.stack([outward(e) for e in torch.eye(m.embed_dim, dtype=s.dtype, device=s.device)], -1)
    smallest = float(torch.linalg.svdvals(rows)[..., m.dim - 1].amin())
    assert smallest > 1e-3, f"unembed is not a submersion: smallest singular value {smallest:.3g}"


@law
def displacement_starts_at_the_point(s: Setting) -> None:
    """displace(x, 0) = x, every displacement stays on M, and small ones go in every tangent direction."""
    m, x = s.manifold, s.points(16)
    y = torch.zeros(16, m.displacement_dim, dtype=s.dtype, device=s.device)
    s.close(m.displace(x, y), x, "displace(x, 0)", scale=10)
    far = torch.randn(y.shape, generator=s.generator, dtype=s.dtype, device=s.device)
    moved = m.displace(x, 0.5 * far)
    s.close(m.projx(moved), moved, "projx of a displaced point")

    def outward(e: Tensor) -> Tensor:
        return m.to_coordinates(x, torch.func.jvp(lambda a: m.displace(x, a), (y,), (e.expand_as(y),))[1])

    rows = torch.stack([outward(e) for e in torch.eye(m.displacement_dim, dtype=s.dtype, device=s.device)], -1)
    smallest = float(torch.linalg.svdvals(rows)[..., m.dim - 1].amin())
    assert smallest > 1e-3, f"displace misses a direction: smallest singular value {smallest:.3g}"


@law
def riemannian_gradient_represents_the_differential(s: Setting) -> None:
    """⟨egrad2rgrad(x, ∂F), u⟩ = dF(u) for a smooth function F of the embedding."""
    m, x = s.manifold, s.points(16)
    weight = torch.randn(m.embed_dim, generator=s.generator, dtype=s.dtype, device=s.device)

    def height(a: Tensor) -> Tensor:
        return torch.sin(m.embed(a) @ weight)

    u = m.proju(x, s.tangents(x))
    ambient = torch.func.grad(lambda a: height(a).sum())(x)
    slope = torch.func.jvp(height, (x,), (u,))[1]
    s.close(m.inner(x, m.egrad2rgrad(x, ambient), u), slope, "⟨grad F, u⟩ against dF(u)", kind="gradient", scale=10)
