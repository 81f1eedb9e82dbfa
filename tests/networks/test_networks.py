"""Networks as maps of a manifold: tangents carried by hand agree with automatic ones, waves close at the seams."""

import itertools
import math

import pytest
import torch

from manifold_gen import calculus, seeds
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Sphere, Torus, from_spec
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.networks.features import WaveFeatures
from manifold_gen.networks.free_form import FreeFormMap
from manifold_gen.networks.residual import ResidualNetwork

SPECS = [
    "euclidean:1", "euclidean:3", "sphere:1", "sphere:2", "sphere:4", "torus:1", "torus:2", "torus:7", "so3",
    "poincare:2", "lorentz:2", "sphere:2 x euclidean:1", "so3 x torus:2",
]  # fmt: skip
ACCURACY = {torch.float32: 2e-4, torch.float64: 1e-10}


def places(manifold, n, dtype, seed=0):
    """Points around the origin, far enough to meet seams and curvature."""
    origin = manifold.origin(n, dtype=torch.float64)
    return manifold.expmap(origin, 0.8 * manifold.random_tangent(origin, generator=seeds.generator(seed))).to(dtype)


def shaken(module, dtype, size=0.1, seed=3):
    """The module with every parameter moved: what starts at zero shows nothing."""
    generator = seeds.generator(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return module.to(dtype)


def compare(function, carried, x, tangents):
    value, images = carried(x, tangents)
    expected, expected_images = calculus.pushforward(function, x, tangents)
    size = ACCURACY[x.dtype]
    torch.testing.assert_close(value, expected, rtol=size, atol=size)
    torch.testing.assert_close(images, expected_images, rtol=size, atol=size)
    assert images.dtype == x.dtype


@pytest.mark.parametrize("head", ["displacement", "projection"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_map_carries_tangents(spec, head, dtype):
    manifold = from_spec(spec)
    g = shaken(FreeFormMap(manifold, width=8, depth=2, frequency=3.0, waves=10, head=head), dtype, 0.05)
    x = places(manifold, 4, dtype)
    compare(g, g.pushforward, x, calculus.frame(manifold, x))
    assert g(x).shape == x.shape
    assert manifold._check_point_on_manifold(g(x), atol=1e-4)[0]


@pytest.mark.parametrize("spec", ["sphere:2", "torus:2", "so3", "poincare:2"])
def test_a_map_of_several_stages_carries_tangents(spec, dtype):
    manifold = from_spec(spec)
    g = shaken(FreeFormMap(manifold, width=8, depth=1, frequency=2.0, waves=6, stages=3), dtype, 0.05)
    x = places(manifold, 4, dtype)
    compare(g, g.pushforward, x, calculus.frame(manifold, x))


@pytest.mark.parametrize("spec", SPECS)
def test_features_carry_tangents(spec, dtype):
    manifold = from_spec(spec)
    features = WaveFeatures(manifold, 4.0, 12).to(dtype)
    features.open(0.6)
    x = places(manifold, 4, dtype)
    compare(features, features.pushforward, x, calculus.frame(manifold, x))
    assert features(x).shape == (4, features.out_features)


@pytest.mark.parametrize("context_features", [0, 2])
def test_a_network_carries_tangents(context_features, dtype):
    network = shaken(ResidualNetwork(5, 3, 8, 2, context_features), dtype)
    x = torch.randn(6, 5, generator=seeds.generator(0), dtype=torch.float64).to(dtype)
    context = torch.ones(6, 2, dtype=dtype) if context_features else None
    tangents = torch.randn(4, 6, 5, generator=seeds.generator(1), dtype=torch.float64).to(dtype)
    compare(lambda p: network(p, context), lambda p, t: network.pushforward(p, t, context), x, tangents)


@pytest.mark.parametrize("head", ["displacement", "projection"])
def test_carried_tangents_have_right_gradients(head):
    """In the weights, as training asks for them."""
    manifold = Sphere(2)
    g = shaken(FreeFormMap(manifold, width=5, depth=1, frequency=2.0, waves=4, head=head), torch.float64)
    x = places(manifold, 3, torch.float64)
    tangents = calculus.frame(manifold, x)
    weights = list(g.parameters())
    carried = torch.autograd.grad(g.pushforward(x, tangents)[1].square().sum(), weights)
    automatic = torch.autograd.grad(calculus.pushforward(g, x, tangents)[1].square().sum(), weights)
    for one, other in zip(carried, automatic, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("head", ["displacement", "projection"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_fresh_map_is_the_identity(spec, head, dtype):
    manifold = from_spec(spec)
    g = FreeFormMap(manifold, width=8, depth=1, waves=8, head=head).to(dtype)
    x = places(manifold, 10, dtype)
    assert float(manifold.dist(g(x), x).max()) <= ACCURACY[dtype] / 10


@pytest.mark.parametrize("spec", ["poincare:2", "lorentz:2"])
def test_hyperbolic_displacements_do_not_grow_with_the_radius(spec):
    """A small output moves a point as far at radius 5 as at the centre; otherwise far points drown the loss."""
    manifold = from_spec(spec)
    direction = torch.tensor([[1.0, 0.0]]).double()
    y = 0.01 * torch.tensor([[0.6, 0.8]]).double()
    for radius in (0.0, 1.0, 5.0):
        x = manifold.unembed(radius * direction)
        torch.testing.assert_close(float(manifold.dist(x, manifold.displace(x, y))), 0.01, rtol=1e-6, atol=0)


def test_an_unknown_head_is_refused():
    with pytest.raises(UsageError, match="head is 'nod'; expected one of auto, projection, displacement"):
        FreeFormMap(Sphere(2), head="nod")


def test_a_seed_decides_the_weights_and_the_global_state_is_left_alone():
    state = torch.get_rng_state()
    one, same, other = (FreeFormMap(Sphere(2), width=8, depth=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    first, again, third = (next(g.parameters()) for g in (one, same, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, third)
    assert torch.equal(one.features.vectors, same.features.vectors)
    assert not torch.equal(one.features.vectors, other.features.vectors)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_waves_close_at_the_seam_of_a_torus(n):
    """Values and derivatives a hair before π and after −π differ by no more than the hair."""
    manifold = Torus(n)
    features = WaveFeatures(manifold, 5.0, 60).double()
    x = places(manifold, 5, torch.float64)
    for axis in range(n):
        before, after = x.clone(), x.clone()
        before[:, axis], after[:, axis] = math.pi - 1e-9, -math.pi + 1e-9
        tangents = calculus.frame(manifold, x)
        ends = [features.pushforward(point, tangents) for point in (before, after)]
        torch.testing.assert_close(ends[0][0], ends[1][0], rtol=0, atol=1e-7)
        torch.testing.assert_close(ends[0][1], ends[1][1], rtol=0, atol=1e-6)


def test_waves_of_a_circle_are_its_harmonics():
    features = WaveFeatures(Torus(1), 3.0, 10, decay=0.0).double()
    x = torch.linspace(-3, 3, 7).double().unsqueeze(-1)
    expected = {(part, k): getattr(torch, part)(k * x[:, 0]) for part in ("cos", "sin") for k in (1, 2, 3)}
    found = features(x)[:, 2:]
    assert found.shape == (7, 6)
    for column in expected.values():
        assert any(torch.allclose(column.abs(), other.abs()) for other in found.T)


@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_amplitudes_fall_as_they_should(decay):
    features = WaveFeatures(Torus(1), 6.0, 10, decay=decay).double()
    x = torch.linspace(-3.1, 3.1, 2001).double().unsqueeze(-1)
    largest = features(x)[:, 2:].abs().amax(0)[: len(features.lengths)]
    torch.testing.assert_close(largest, features.lengths.double() ** -decay, rtol=1e-3, atol=1e-3)


def test_waves_are_let_in_long_ones_first():
    features = WaveFeatures(Torus(1), 6.0, 10, decay=0.0)
    x = torch.linspace(-3.1, 3.1, 400).unsqueeze(-1)
    sizes = []
    for fraction in (0.0, 0.3, 0.6, 1.0, 5.0):
        features.open(fraction)
        sizes.append(features(x)[:, 2:].abs().amax(0)[: len(features.lengths)])
    assert float(sizes[0].max()) == 0.0
    for before, after in itertools.pairwise(sizes[:4]):
        assert bool((after >= before - 1e-6).all())
        assert float(after.sum()) > float(before.sum())
    torch.testing.assert_close(sizes[3], sizes[4])
    assert bool((sizes[1][:-1] >= sizes[1][1:] - 1e-3).all()), "shorter waves come later"
    assert float(sizes[3].min()) > 0.99


@pytest.mark.parametrize(("degree", "count"), [(0.0, 10), (3.0, 0)])
@pytest.mark.parametrize("spec", ["torus:2", "sphere:2", "so3 x torus:2"])
def test_without_waves_the_embedding_is_left(spec, degree, count):
    manifold = from_spec(spec)
    features = WaveFeatures(manifold, degree, count)
    x = places(manifold, 3, torch.float32)
    assert features.out_features == manifold.embed_dim
    torch.testing.assert_close(features(x), manifold.embed(x))


def test_context_embeddings():
    continuous, categorical, none = ContextEmbedding(2), ContextEmbedding(0, 3), ContextEmbedding()
    given = torch.ones(4, 2)
    assert torch.equal(continuous(given), given)
    assert continuous.out_features == 2
    numbers = torch.tensor([0, 2, 2, 1])
    found = categorical(numbers)
    assert found.shape == (4, categorical.out_features)
    assert torch.equal(found[1], found[2])
    assert not torch.equal(found[0], found[1])
    assert torch.equal(categorical(numbers.unsqueeze(-1)), found)
    assert none(None) is None
    assert none.out_features == 0


@pytest.mark.parametrize(
    ("features", "categories", "context", "message"),
    [
        (2, 0, None, r"needs a context .*got none"),
        (2, 0, torch.ones(4, 3), r"shape \(4, 3\), expected \(n, 2\)"),
        (0, 3, torch.tensor([0, 3]), "from 0 to 2"),
        (0, 3, torch.tensor([-1, 0]), "from 0 to 2"),
        (0, 3, torch.tensor([0.0, 1.0]), "whole numbers"),
        (0, 3, None, "needs a context"),
        (0, 0, torch.ones(4, 1), "takes no context"),
    ],
)
def test_a_context_that_does_not_fit_is_refused(features, categories, context, message):
    with pytest.raises(UsageError, match=message):
        ContextEmbedding(features, categories)(context)


def test_a_context_is_of_one_kind():
    with pytest.raises(UsageError, match="continuous or categorical"):
        ContextEmbedding(2, 3)
