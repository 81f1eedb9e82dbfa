"""Models on clouds of points: equivariant networks, invariant densities, and volumes against finite differences."""

import pytest
import torch
from equivariance import check_equivariance, cloud, motions, shaken

from manifold_gen import seeds
from manifold_gen.distributions import default_base
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import PointCloud, Sphere
from manifold_gen.models import FlowMatching, FreeFormFlow
from manifold_gen.networks.choose import free_form_map, two_time_field, velocity_field
from manifold_gen.networks.cloud_transformer import CloudTransformer
from manifold_gen.networks.free_form import FreeFormMap
from manifold_gen.networks.velocity import VelocityField

DOUBLE = torch.float64
SMALL = {"width": 8, "depth": 1}


def clouds(manifold, count, seed=0):
    return manifold.projx(torch.randn(count, *manifold.shape, dtype=DOUBLE, generator=seeds.generator(seed)))


def built(kind, manifold, size=0.15, **changes):
    model = kind(manifold, **{**SMALL, "depth": 2, **changes})
    return shaken(model, DOUBLE, size).eval()


def inverting(manifold):
    """A free-form flow whose decoder a Newton inversion can undo: gentle, for it is not trained."""
    return built(FreeFormFlow, manifold, 0.08)


@pytest.mark.parametrize("features", [0, 2])
def test_fields_and_maps_commute_with_every_motion(features, dtype):
    manifold = PointCloud(4, 3, features)
    t, later = torch.linspace(0, 0.5, 4, dtype=dtype), torch.linspace(0.3, 1, 4, dtype=dtype)
    velocity = shaken(velocity_field(manifold, **SMALL, context_features=2), dtype)
    times = shaken(two_time_field(manifold, **SMALL, context_features=2), dtype)
    g = shaken(free_form_map(manifold, **SMALL, stages=2, context_features=2), dtype)
    for move in (
        lambda x, context: velocity(x, t, context),
        lambda x, context: times(x, t, later, context),
        lambda x, context: g(x, context) - x,
    ):
        check_equivariance(
            lambda x, h, context, move=move: manifold.split(move(torch.cat([x, h], -1), context)),
            *cloud(4, 3, features, 2, dtype),
        )


def test_untrained_networks_are_zero_and_the_identity_and_decided_by_their_seed():
    manifold = PointCloud(4, 2, 1)
    x = clouds(manifold, 3).float()
    t = torch.rand(3)
    assert not velocity_field(manifold, **SMALL)(x, t).any()
    assert not two_time_field(manifold, **SMALL)(x, t, t).any()
    assert torch.equal(free_form_map(manifold, **SMALL, stages=2)(x), x)
    one, same, other = (velocity_field(manifold, **SMALL, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_other_manifolds_keep_their_networks():
    assert type(velocity_field(Sphere(2), **SMALL)) is VelocityField
    assert type(free_form_map(Sphere(2), **SMALL)) is FreeFormMap
    with pytest.raises(UsageError, match="head is 'nod'"):
        free_form_map(PointCloud(3), head="nod")


@pytest.mark.parametrize("count", [1, 3])
def test_tangents_are_carried_as_finite_differences_say(count):
    manifold, step = PointCloud(3, 2, 1), 1e-6
    g = shaken(free_form_map(manifold, **SMALL, stages=2), DOUBLE)
    x = clouds(manifold, 4)
    tangents = torch.stack([clouds(manifold, 4, seed) for seed in range(1, count + 1)])
    with torch.no_grad():
        value, images = g.pushforward(x, tangents)
        assert not images.requires_grad
        torch.testing.assert_close(value, g(x))
        expected = torch.stack([(g(x + step * v) - g(x - step * v)) / (2 * step) for v in tangents])
    torch.testing.assert_close(images, expected, rtol=1e-6, atol=1e-7)


def test_rates_of_two_times_are_as_finite_differences_say():
    manifold, step = PointCloud(3, 2, 1), 1e-6
    field = shaken(two_time_field(manifold, **SMALL), DOUBLE)
    x, v = clouds(manifold, 4), clouds(manifold, 4, 1)
    s, t = torch.linspace(0, 0.4, 4, dtype=DOUBLE), torch.linspace(0.5, 1, 4, dtype=DOUBLE)
    with torch.no_grad():
        for rates, velocity in (((1.0, 0.0), v), ((0.0, 1.0), None), ((0.3, -2.0), v)):
            output, rate = field.pushforward(x, s, t, rates, velocity)
            along = torch.zeros_like(x) if velocity is None else velocity
            ends = [field(x + e * along, s + e * rates[0], t + e * rates[1]).flatten(1) for e in (step, -step)]
            torch.testing.assert_close(output, field(x, s, t).flatten(1))
            torch.testing.assert_close(rate, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("features", [0, 1])
@pytest.mark.parametrize("build", [lambda m: built(FlowMatching, m, steps=3), inverting], ids=["flow", "free-form"])
def test_log_prob_is_invariant(build, features):
    manifold = PointCloud(3, 2, features)
    model, x = build(manifold), clouds(manifold, 5)
    with torch.no_grad():
        scores = model.log_prob(x)
        assert float((scores - default_base(manifold).double().log_prob(x)).abs().max()) > 0.02
        assert bool(scores.isfinite().all())
        for name, motion in motions(3, 2, DOUBLE).items():
            moved = model.log_prob(torch.cat(motion(*manifold.split(x)), -1))
            assert float((moved - scores).abs().max()) < 1e-7, name


def test_a_network_without_rotations_has_no_invariant_density():
    manifold = PointCloud(3, 2)
    model, x = FlowMatching(manifold, **SMALL, steps=3), clouds(manifold, 5)
    model.field.network = CloudTransformer(2, 0, 0, 9, width=8, depth=1)
    model = shaken(model, DOUBLE, 0.15)
    with torch.no_grad():
        turned = model.log_prob(motions(3, 2, DOUBLE)["rotation"](x, x)[0])
        assert float((turned - model.log_prob(x)).abs().max()) > 1e-3


@pytest.mark.parametrize("build", [lambda m: built(FlowMatching, m, steps=16), inverting], ids=["flow", "free-form"])
def test_the_volume_is_that_of_the_map_from_the_base(build):
    """log_prob at g(z) against log p₀(z) − log|det Dg(z)| with Dg from differences of samples in the frame."""
    manifold, step = PointCloud(3, 2), 1e-5
    model, z = build(manifold), clouds(manifold, 3, 4)
    frame = manifold.tangent_basis(z).movedim(1, 0)
    with torch.no_grad():
        columns = [(model.decode(z + step * b) - model.decode(z - step * b)) / (2 * step) for b in frame]
        matrix = torch.stack([manifold.to_coordinates(z, column) for column in columns], -1)
        expected = default_base(manifold).double().log_prob(z) - torch.linalg.slogdet(matrix).logabsdet
        assert float(torch.linalg.slogdet(matrix).logabsdet.abs().max()) > 0.02
        torch.testing.assert_close(model.log_prob(model.decode(z)), expected, rtol=0, atol=5e-5)
