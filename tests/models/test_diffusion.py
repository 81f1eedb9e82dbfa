"""Riemannian diffusion obeys the laws of a model on every kind of space, and its parts fit together."""

from __future__ import annotations

import pytest
import torch

from manifold_gen.manifolds import SO3, Euclidean, PoincareBall, Sphere, Torus
from manifold_gen.models.diffusion import Diffusion
from manifold_gen.testing import check_model

SMALL = dict(width=24, depth=1, frequency=2.0, steps=8, smoothing=0.1)
SPACES = {"s2": Sphere(2), "t2": Torus(2), "so3": SO3(), "r2": Euclidean(2)}


def points(manifold, n=24, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    origin = manifold.origin(n, dtype=dtype)
    return manifold.expmap(origin, 0.7 * manifold.random_tangent(origin, generator=generator))


@pytest.mark.parametrize("name", SPACES)
def test_it_obeys_the_laws_of_a_model(name):
    manifold = SPACES[name]
    check_model(Diffusion(manifold, **SMALL), points(manifold), samples=800)


def test_it_obeys_the_laws_of_a_model_in_hyperbolic_space():
    ball = PoincareBall(2)
    model = Diffusion(ball, walk_steps=12, **SMALL)
    check_model(model, points(ball, dtype=torch.float64), samples=500, batch=64)
