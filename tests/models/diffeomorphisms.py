"""Known non-isometric diffeomorphisms with their inverses, one on each kind of manifold, and maps that fold.

The parameters ``theta`` of a map may carry the batch axes of the points: then every point has its own copy, and one
backward pass gives the gradient of each point alone.
"""

import math

import torch
from torch import nn

from manifold_gen import calculus, manifolds, seeds
from manifold_gen.manifolds.conversions import matrix_from_quaternion, quaternion_from_matrix
from manifold_gen.models.free_form_flow import FreeFormFlow


class Map(nn.Module):
    """A TangentMap from ``forward`` alone."""

    def pushforward(self, x, tangents, context=None):
        return calculus.pushforward(self, x, tangents)


class Function(Map):
    """A plain function as a map."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, context=None):
        return self.function(x)


class Inverse(Map):
    """The inverse of a diffeomorphism, with the same parameters."""

    def __init__(self, forward_map):
        super().__init__()
        self.forward_map = forward_map

    def forward(self, x, context=None):
        return self.forward_map.inverse(x)


class Linear(Map):
    """Something after or before a linear map of coordinates, with the matrix as parameter."""

    def __init__(self, size, seed=0):
        super().__init__()
        noise = torch.randn(size, size, generator=seeds.generator(seed, size), dtype=torch.float64)
        self.theta = nn.Parameter(torch.eye(size, dtype=torch.float64) + 0.25 * noise)

    def forward(self, x, context=None):
        return self.after(_times(self.theta, self.before(x)))

    def inverse(self, y):
        return self.before_inverse(_times(torch.linalg.inv(self.theta), self.after_inverse(y)))


class SinhOfLinear(Linear):
    """Euclidean: x ↦ sinh(A x)."""

    def before(self, x):
        return x

    before_inverse = before

    def after(self, y):
        return torch.sinh(y)

    def after_inverse(self, y):
        return torch.asinh(y)


class NormalisedLinear(Linear):
    """Sphere: x ↦ Ax / |Ax|; the inverse has the same form."""

    def before(self, x):
        return x

    after_inverse = before

    def after(self, y):
        return y / torch.linalg.vector_norm(y, dim=-1, keepdim=True)

    before_inverse = after


class QuaternionLinear(Linear):
    """SO(3): q ↦ Aq / |Aq|, the same for q and −q."""

    def __init__(self, seed=0):
        super().__init__(4, seed)

    def before(self, x):
        return quaternion_from_matrix(x)

    after_inverse = before

    def after(self, q):
        return matrix_from_quaternion(q)

    before_inverse = after


class RadialLinear(Linear):
    """Hyperbolic spaces: x ↦ exp₀(A log₀ x)."""

    def __init__(self, manifold, seed=0):
        super().__init__(manifold.dim, seed)
        self.manifold = manifold

    def before(self, x):
        return self.manifold.embed(x)

    after_inverse = before

    def after(self, y):
        return self.manifold.unembed(y)

    before_inverse = after


class ShearedMoebius(Map):
    """Torus: tan(φ/2) scaled in each angle, an integer shear of all angles, and the scaling of other factors again."""

    def __init__(self, manifold):
        super().__init__()
        self.manifold = manifold
        n = manifold.dim
        scales = torch.linspace(0.6, 1.7, 2 * n, dtype=torch.float64).reshape(2, n)
        self.theta = nn.Parameter(scales)
        self.register_buffer("shear", torch.eye(n, dtype=torch.float64) + torch.diag(torch.ones(n - 1).double(), 1))

    def forward(self, x, context=None):
        x = _half_tangent(self.theta[..., 0, :], x)
        x = x @ self.shear.to(x).mT
        return _half_tangent(self.theta[..., 1, :], self.manifold.projx(x))

    def inverse(self, y):
        y = _half_tangent(1 / self.theta[..., 1, :], y)
        y = y @ torch.linalg.inv(self.shear).to(y).mT
        return _half_tangent(1 / self.theta[..., 0, :], self.manifold.projx(y))


class Factors(Map):
    """One diffeomorphism on each factor of a product."""

    def __init__(self, manifold, maps):
        super().__init__()
        self.manifold, self.maps = manifold, nn.ModuleList(maps)

    def forward(self, x, context=None):
        return self.manifold.join([f(part) for f, part in zip(self.maps, self.manifold.split(x), strict=True)])

    def inverse(self, y):
        return self.manifold.join([f.inverse(part) for f, part in zip(self.maps, self.manifold.split(y), strict=True)])


SPECS = [
    "euclidean:2",
    "sphere:1",
    "sphere:2",
    "sphere:3",
    "torus:2",
    "so3",
    "poincare:2",
    "lorentz:2",
    "sphere:2 x euclidean:1",
]


def diffeomorphism(manifold, seed=0):
    """The known map of a manifold, in float64."""
    if len(manifold.factors) > 1:
        return Factors(manifold, [diffeomorphism(factor, seed) for factor in manifold.factors])
    makers = {
        "euclidean": lambda: SinhOfLinear(manifold.dim, seed),
        "sphere": lambda: NormalisedLinear(manifold.dim + 1, seed),
        "torus": lambda: ShearedMoebius(manifold),
        "so3": lambda: QuaternionLinear(seed),
        "poincare": lambda: RadialLinear(manifold, seed),
        "lorentz": lambda: RadialLinear(manifold, seed),
    }
    return makers[manifold.name]()


def pair(spec, dtype=torch.float64, seed=0):
    """Manifold, encoder f and decoder g = f⁻¹ sharing the parameters."""
    manifold = manifolds.from_spec(spec)
    encoder = diffeomorphism(manifold, seed).to(dtype)
    return manifold, encoder, Inverse(encoder)


def points(manifold, n, seed=0, dtype=torch.float64):
    """``(n, *shape)`` points: uniform where M is compact, normal of width 0.7 around the origin elsewhere."""
    generator = seeds.generator(seed, 77)
    if len(manifold.factors) > 1:
        return manifold.join([points(factor, n, seed + i, dtype) for i, factor in enumerate(manifold.factors)])
    if math.isfinite(manifold.log_volume):
        return manifold.random_uniform(n, generator=generator, dtype=torch.float64).to(dtype)
    origin = manifold.origin(n, dtype=torch.float64)
    return manifold.expmap(origin, 0.7 * manifold.random_tangent(origin, generator=generator)).to(dtype)


def nudged(manifold, x, size, seed=0):
    """The points moved by normal tangents of standard deviation ``size``."""
    step = manifold.random_tangent(x.double(), generator=seeds.generator(seed, 78)).to(x.dtype)
    return manifold.expmap(x, size * step)


def flow_of(manifold, encoder, decoder, dtype=torch.float64):
    """A free-form flow whose networks are replaced by given maps."""
    flow = FreeFormFlow(manifold, width=4, depth=1, waves=4)
    flow.encoder, flow.decoder = encoder, decoder
    return flow.to(dtype).eval()


def double_cover():
    """T¹ with the decoder z ↦ 2z, which takes every value twice, and an encoder that finds one of the two preimages."""
    circle = manifolds.Torus(1)
    return circle, Function(lambda x: 0.5 * x), Function(lambda z: circle.projx(2 * z))


def folded_sine(size=1.2):
    """T¹ with the decoder z ↦ size · sin z: nothing beyond ``size`` has a preimage, everything else has two."""
    circle = manifolds.Torus(1)
    return circle, Function(lambda x: torch.asin((x / size).clamp(-1, 1))), Function(lambda z: size * torch.sin(z))


def _times(matrix, x):
    return (matrix @ x.unsqueeze(-1)).squeeze(-1)


def _half_tangent(scale, angle):
    return 2 * torch.atan2(scale * torch.sin(angle / 2), torch.cos(angle / 2))
