"""Small models and data sets to train on."""

from __future__ import annotations

import math

import torch
from torch import nn

from manifold_gen import seeds
from manifold_gen.data.base import Dataset, Split
from manifold_gen.manifolds import Torus
from manifold_gen.models.base import GenerativeModel


class VonMises(GenerativeModel):
    """A product of von Mises densities on a torus, fitted by maximum likelihood; ``width`` adds idle weights."""

    def __init__(self, manifold, width=1, noise=0.0, seed=0, breaks_at=-1.0, delay=0.0):
        super().__init__(manifold)
        self.hyperparameters = {"width": width, "noise": noise, "seed": seed, "breaks_at": breaks_at, "delay": delay}
        self.noise, self.breaks_at = noise, breaks_at
        start = torch.randn(manifold.dim, 2 * width, generator=seeds.generator(seed))
        self.direction = nn.Parameter(start)
        self.bias = nn.Parameter(torch.zeros(manifold.dim))
        self.register_buffer("period", torch.tensor(2 * math.pi))
        self.progress = 1.0

    def moments(self):
        vector = self.direction.unflatten(1, (-1, 2)).mean(1)
        return torch.atan2(vector[:, 1], vector[:, 0]), (vector.square().sum(1) + 1e-6).sqrt() * self.bias.exp()

    def log_prob(self, x, context=None):
        loc, kappa = self.moments()
        log_bessel = torch.special.i0e(kappa).log() + kappa
        return (kappa * torch.cos(x - loc) - log_bessel - self.period.log()).sum(-1)

    def auxiliary(self, n, generator=None):
        device = None if generator is None else generator.device
        return {"noise": torch.randn(n, self.manifold.dim, generator=generator, device=device)}

    def losses(self, x, context=None, auxiliary=None):
        nll = -self.log_prob(self.manifold.expmap(x, self.noise * auxiliary["noise"].to(x.dtype)))
        ridge = 1e-3 * self.bias.square().sum().expand(len(x))
        if 0 <= self.breaks_at <= self.progress:
            nll = torch.where(x[:, 0] == x[:, 0].max(), math.nan, nll)
        return {"nll": nll, "ridge": ridge}

    def set_progress(self, fraction):
        self.progress = fraction

    def sample(self, n, context=None, generator=None):
        loc, _ = self.moments()
        return loc.expand(n, -1)


def torus_data(rows=400, dim=2, seed=0, context=None):
    generator = seeds.generator(seed)
    manifold = Torus(dim)
    x = manifold.projx(1.0 + 0.5 * torch.randn(rows, dim, generator=generator))
    a, b = int(0.8 * rows), int(0.9 * rows)
    return Dataset("toy", manifold, *(Split(part) for part in (x[:a], x[a:b], x[b:])))
