"""Wrong arguments: one message each, that names the argument, its shape and what is asked of it."""

import math

import pytest
import torch

from manifold_gen.distributions import (
    Mixture,
    ProductDistribution,
    SphereCells,
    TorusHistogram,
    Uniform,
    VonMisesFisher,
    VonMisesProduct,
    WrappedNormal,
    default_base,
    so3_mixture,
    torus_checkerboard,
)
from manifold_gen.distributions.tails import admissible_scale, mass_beyond
from manifold_gen.manifolds import SO3, Euclidean, Lorentz, PoincareBall, Product, Sphere, Torus

POLE = [0.0, 0.0, 1.0]
WRONG = [
    (lambda: Uniform(Euclidean(2)), "infinite|finite volume"),
    (lambda: VonMisesProduct(0.0, 1.0), "scalar"),
    (lambda: VonMisesProduct([0.0], [-1.0]), r"kappa of shape \(1,\) must be at least 0, got -1"),
    (lambda: VonMisesProduct([0.0, math.nan], 1.0), r"loc of shape \(2,\) must be finite"),
    (lambda: VonMisesProduct([0.0, 1.0], [1.0, 1.0, 1.0]), r"kappa of shape \(3,\) must broadcast to \(2,\)"),
    (lambda: VonMisesProduct([0.0], 0.0, learnable=True), "to be learnable"),
    (lambda: VonMisesProduct(torch.zeros(2, 2, 2), 1.0), "one batch axis"),
    (lambda: VonMisesFisher([1.0], 1.0), r"\(n \+ 1,\)"),
    (lambda: VonMisesFisher([1.0, 1.0], 1.0), "largest deviation"),
    (lambda: VonMisesFisher([0.0, 0.0], 1.0), "largest deviation"),
    (lambda: VonMisesFisher(POLE, [1.0, 2.0]), r"kappa of shape \(2,\)"),
    (lambda: WrappedNormal(Sphere(2), [0.0, 1.0], 0.1), r"loc on sphere:2 must have shape \(3,\)"),
    (lambda: WrappedNormal(SO3(), torch.eye(3) * torch.tensor([1.0, 1.0, -1.0]), 0.1), "largest deviation"),
    (lambda: WrappedNormal(Sphere(2), POLE, 0.0), r"scale of shape \(\) must be positive"),
    (lambda: WrappedNormal(Sphere(2), POLE, [0.1, 0.1, 0.1]), r"scale of shape \(3,\)"),
    (lambda: WrappedNormal(Sphere(2), POLE, 0.7), "largest admissible isotropic scale is 0.597"),
    (lambda: WrappedNormal(SO3(), torch.eye(3), 0.6), "largest admissible isotropic scale is 0.567"),
    (lambda: WrappedNormal(Product(Torus(1), Sphere(2)), [0.0, *POLE], 0.7), "0.597"),
    (lambda: WrappedNormal(Sphere(2), POLE, [0.1, 0.2], learnable=True), "isotropic"),
    (lambda: Mixture(VonMisesProduct([0.0], 1.0), [0.0]), "batch shape"),
    (lambda: Mixture(VonMisesProduct([[0.0], [1.0]], 1.0), [0.0]), r"logits of shape \(1,\)"),
    (lambda: TorusHistogram(torch.tensor(3)), "one axis an angle"),
    (lambda: TorusHistogram(torch.tensor([1, -1])), "whole numbers"),
    (lambda: TorusHistogram(torch.tensor([0.5, 1.0])), "whole numbers"),
    (lambda: TorusHistogram(torch.zeros(3)), "not all zero"),
    (lambda: SphereCells(torch.ones(3)), "2 axes"),
    (lambda: torus_checkerboard(3), "even number"),
    (lambda: so3_mixture(0), "at least 1"),
    (lambda: ProductDistribution(Product(Torus(1), Euclidean(1)), [Uniform(Torus(1))]), "factors"),
]


@pytest.mark.parametrize("index", range(len(WRONG)))
def test_wrong_arguments_are_explained(index):
    build, message = WRONG[index]
    with pytest.raises(ValueError, match=message):
        build()


def test_integers_are_taken_as_numbers():
    d = VonMisesProduct(torch.tensor([0, 1]), 2)
    assert d.sample(3).dtype == torch.get_default_dtype()


def test_the_stated_largest_scale_is_admitted_and_hardly_more():
    for manifold in (Sphere(1), Sphere(2), SO3()):
        largest = admissible_scale(math.pi, manifold.dim, 1e-6)
        for scale in (largest, float(f"{largest:.6g}")):
            WrappedNormal(manifold, manifold.origin(), scale)
        with pytest.raises(ValueError, match="injectivity"):
            WrappedNormal(manifold, manifold.origin(), 1.001 * largest)


def test_scales_per_direction_count_by_their_mass():
    """0.6 in one direction alone leaves 1.7e-7 outside and passes; in two directions 1.1e-6 and does not."""
    WrappedNormal(SO3(), torch.eye(3), [0.6, 0.1, 0.1])
    with pytest.raises(ValueError, match="injectivity"):
        WrappedNormal(Sphere(2), POLE, [0.6, 0.6])


@pytest.mark.parametrize("scales", [[2.0, 1.0, 0.5], [5.0, 4.9], [100.0, 1.0, 1.0], [0.9, 0.8, 0.1, 0.1]])
def test_mass_beyond_a_radius_against_simulation(scales):
    z = torch.randn(400_000, len(scales), generator=torch.Generator().manual_seed(0)) * torch.tensor(scales)
    share = float((z.norm(dim=-1) > math.pi).double().mean())
    assert abs(mass_beyond(math.pi, scales) - share) < 5 * math.sqrt(share * (1 - share) / 400_000)


@pytest.mark.parametrize(
    ("manifold", "kind"),
    [
        (Sphere(3), "Uniform"),
        (Torus(2), "Uniform"),
        (SO3(), "Uniform"),
        (Product(Torus(2), Sphere(2)), "Uniform"),
        (Euclidean(2), "WrappedNormal"),
        (PoincareBall(2), "WrappedNormal"),
        (Lorentz(2), "WrappedNormal"),
        (Product(Torus(2), Euclidean(1)), "ProductDistribution"),
    ],
)
def test_the_default_base(manifold, kind):
    base = default_base(manifold)
    assert type(base).__name__ == kind
    assert bool(torch.isfinite(base.log_prob(base.sample(4))).all())
