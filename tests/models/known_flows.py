"""Flows in closed form, as the network of a few-step model: what a perfectly trained one would be."""

import torch
from torch import nn

from manifold_gen.manifolds import Euclidean, PoincareBall, Sphere, Torus
from manifold_gen.manifolds.conversions import matrix_from_axis_angle

# An average velocity over no time at all is a limit; over this much it is right to the same number of digits.
INSTANT = 1e-7


class KnownFlow(nn.Module):
    """The average velocity log_x(X_{s,t}(x)) / (t − s) of a map, times 1 + ``error`` (t − s).

    ``rate_scale`` is what a wrong derivative would be off by.
    """

    def __init__(self, manifold, flow, rate_scale=1.0):
        super().__init__()
        self.manifold, self.map, self.rate_scale = manifold, flow, rate_scale
        self.error = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def output(self, x, s, t):
        span = (t - s + INSTANT).unsqueeze(-1)
        velocity = self.manifold.logmap(x, self.map(x, s, t + INSTANT)) / span
        scale = self.manifold.tangent(x, torch.ones_like(x)).norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
        free = velocity / (scale if isinstance(self.manifold, PoincareBall) else 1.0)
        return free * (1 + self.error * span)

    def forward(self, x, s, t, context=None):
        return self.manifold.tangent(x, self.output(x, s, t))

    def pushforward(self, x, s, t, rates, velocity=None, context=None):
        moves = (torch.zeros_like(x) if velocity is None else velocity, *(torch.full_like(s, r) for r in rates))
        y, dy = torch.func.jvp(self.output, (x, s, t), moves)
        return y, self.rate_scale * dy


def rotation(x, s, t):
    """Turning about a fixed axis; the points move on circles of latitude, which are not geodesics."""
    axis = torch.tensor([0.3, -0.8, 1.1], dtype=x.dtype)
    return (matrix_from_axis_angle((t - s).unsqueeze(-1) * axis) @ x.unsqueeze(-1)).squeeze(-1)


def translation(x, s, t):
    """A turn of each angle, faster as time goes on."""
    return Torus(2).expmap(x, (t**2 - s**2).unsqueeze(-1) * torch.tensor([1.2, -0.7], dtype=x.dtype))


def contraction(x, s, t):
    """Towards the origin, exponentially."""
    return torch.exp(-0.9 * (t - s)).unsqueeze(-1) * x


def radial_contraction(x, s, t):
    """The same in logarithms at the origin of the ball."""
    ball = PoincareBall(2)
    return ball.unembed(contraction(ball.embed(x), s, t))


KNOWN = {
    "sphere": (Sphere(2), rotation),
    "torus": (Torus(2), translation),
    "euclidean": (Euclidean(2), contraction),
    "poincare": (PoincareBall(2), radial_contraction),
}


def spread(manifold, n, generator):
    """Points in double precision, within a distance of about 1 of the origin where the manifold has no end."""
    if manifold.log_volume < torch.inf:
        return manifold.random_uniform(n, generator=generator, dtype=torch.float64)
    return manifold.unembed(torch.randn(n, manifold.embed_dim, generator=generator, dtype=torch.float64))


def gaussian_flow(deviation):
    """X_{s,t} of flow matching from N(0, 1) to N(0, ``deviation``²) on the line: a scale, the ratio of deviations."""

    def flow(x, s, t):
        variances = ((1 - r) ** 2 + (r * deviation) ** 2 for r in (s, t))
        before, after = (variance.sqrt().unsqueeze(-1) for variance in variances)
        return x * after / before

    return flow
