"""Every distribution of the package, on every manifold it is for; each built afresh and from fixed numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from manifold_gen.distributions import (
    Distribution,
    Kent,
    KernelDensity,
    MatrixFisher,
    Mixture,
    TorusHistogram,
    Uniform,
    VonMisesChain,
    VonMisesFisher,
    VonMisesProduct,
    WrappedNormal,
    default_base,
    hyperbolic_checkerboard,
    hyperbolic_mixture,
    so3_checkerboard,
    so3_mixture,
    sphere_checkerboard,
    torus_checkerboard,
    with_tails,
)
from manifold_gen.manifolds import SO3, Euclidean, Lorentz, PoincareBall, PointCloud, Product, Sphere, Torus
from manifold_gen.seeds import generator


def von_mises_mixture() -> Mixture:
    g = generator(1)
    return Mixture(
        VonMisesProduct(torch.randn(8, 2, generator=g), 20 * torch.rand(8, 2, generator=g)),
        torch.randn(8, generator=g),
        learnable=True,
    )


def fisher_mixture() -> Mixture:
    g = generator(2)
    means = Sphere(2).random_uniform(8, generator=g)
    return Mixture(VonMisesFisher(means, 50 * torch.rand(8, generator=g), learnable=True), torch.randn(8, generator=g))


def tailed_mixture() -> Mixture:
    narrow = Mixture(Kent(torch.stack([torch.eye(3), -torch.eye(3)[[1, 0, 2]]]), [80.0, 30.0], [20.0, 0.0]), [0.0, 1.0])
    return with_tails(narrow, Sphere(2).random_uniform(20, generator=generator(5)))


def histogram() -> TorusHistogram:
    return TorusHistogram(torch.randint(0, 4, (9, 7), generator=generator(3)), lower=-2.0)


SMOOTH: dict[str, Callable[[], Distribution]] = {
    "uniform-sphere": lambda: Uniform(Sphere(2)),
    "uniform-torus": lambda: Uniform(Torus(2)),
    "uniform-so3": lambda: Uniform(SO3()),
    "von-mises-1": lambda: VonMisesProduct([0.3], [2.0]),
    "von-mises-2": lambda: VonMisesProduct([0.3, 3.0], [0.0, 200.0]),
    "von-mises-4": lambda: VonMisesProduct([0.3, 2.0, 1.0, 0.0], [2.0, 20.0, 1.0, 5.0]),
    "chain-2": lambda: VonMisesChain([0.3, 3.0], [[0.0, 0.0], [1.5, 0.0]], [1.0, 30.0]),
    "chain-3": lambda: VonMisesChain([0.3, 3.0, -1.0], -0.8 * torch.ones(3, 3), [4.0, 0.0, 8.0]),
    "fisher-1": lambda: VonMisesFisher([0.6, 0.8], 3.0),
    "fisher-2": lambda: VonMisesFisher([0.0, 0.6, 0.8], 30.0),
    "fisher-3": lambda: VonMisesFisher([1.0, 0.0, 0.0, 0.0], 3000.0),
    "fisher-5": lambda: VonMisesFisher([0.0, 0.0, 0.0, 0.0, 0.0, -1.0], 10.0),
    "wrapped-sphere": lambda: WrappedNormal(Sphere(2), [0.0, 0.6, 0.8], [0.3, 0.5]),
    "wrapped-torus": lambda: WrappedNormal(Torus(2), [0.0, 3.0], [0.7, 2.5]),
    "wrapped-so3": lambda: WrappedNormal(SO3(), torch.eye(3), [0.5, 0.3, 0.1]),
    "wrapped-euclidean": lambda: WrappedNormal(Euclidean(2), [0.0, 3.0], [0.3, 2.5]),
    "wrapped-poincare": lambda: WrappedNormal(PoincareBall(2), [0.0, 0.3], 1.0),
    "wrapped-lorentz": lambda: WrappedNormal(Lorentz(2), Lorentz(2).origin(), [0.5, 1.0]),
    "wrapped-product": lambda: WrappedNormal(Product(Sphere(2), Euclidean(1)), [0.0, 0.6, 0.8, 1.0], [0.3, 0.5, 2.0]),
    "base-cloud": lambda: default_base(PointCloud(3, 1, 1)),
    "base-product": lambda: default_base(Product(Torus(1), Euclidean(1))),
    "mixture-torus": von_mises_mixture,
    "mixture-sphere": fisher_mixture,
    "mixture-tails": tailed_mixture,
    "mixture-so3": lambda: so3_mixture(4),
    "kent": lambda: Kent(torch.eye(3), 50.0, 25.0),
    "matrix-fisher": lambda: MatrixFisher(torch.eye(3), torch.diag(torch.tensor([0.0, 20.0, 50.0]))),
    "mixture-hyperbolic": lambda: hyperbolic_mixture(5),
    "kernel-density": lambda: KernelDensity(Sphere(2), Sphere(2).random_uniform(20, generator=generator(4)), 0.3),
}
JUMPS: dict[str, Callable[[], Distribution]] = {
    "histogram": histogram,
    "checkerboard-torus": torus_checkerboard,
    "checkerboard-sphere": sphere_checkerboard,
    "checkerboard-so3": so3_checkerboard,
    "checkerboard-hyperbolic": hyperbolic_checkerboard,
}
ALL = {**SMOOTH, **JUMPS}
