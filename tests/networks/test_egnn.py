"""The equivariant network: it commutes with every motion, a broken one is noticed, and it is smooth everywhere."""

import math

import pytest
import torch
from equivariance import check_equivariance, cloud, shaken

from manifold_gen import calculus
from manifold_gen.networks.egnn import EGNN, FURTHEST, DistanceBumps

SIZE = {"width": 16, "pair_width": 8, "depth": 3, "distance_features": 6}
SHAPES = [(5, 3, 2, 3, 4), (4, 2, 0, 0, 0), (3, 1, 1, 0, 2)]  # n, p, features in, out, beside


def built(shape, dtype, **changes):
    _, p, f, k, beside = shape
    torch.manual_seed(0)
    return shaken(EGNN(p, f, k, beside, **{**SIZE, **changes}), dtype)


def given(shape, dtype):
    n, p, f, _, beside = shape
    x, h, side = cloud(n, p, f, beside, dtype)
    return x, h, side if beside else None


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_commutes_with_every_motion(shape, attention, dtype):
    check_equivariance(built(shape, dtype, attention=attention), *given(shape, dtype))


class FixedVector(EGNN):
    """Broken: the same vector is added to the first point's displacement, whichever way the cloud lies."""

    def forward(self, positions, features, beside=None):
        moved, out = super().forward(positions, features, beside)
        push = torch.zeros_like(moved)
        push[..., 0, 0] = 0.1
        return moved + push - push.mean(-2, keepdim=True), out


class RawCoordinates(EGNN):
    """Broken: a coordinate enters as if it were an invariant feature."""

    def forward(self, positions, features, beside=None):
        return super().forward(positions, features + 0.1 * positions[..., :1], beside)


class Handed(EGNN):
    """Broken only for reflections: a vector product, which only rotations turn along."""

    def forward(self, positions, features, beside=None):
        moved, out = super().forward(positions, features, beside)
        centred = positions - positions.mean(-2, keepdim=True)
        axis = (centred * centred.square().sum(-1, keepdim=True)).mean(-2, keepdim=True)
        turned = torch.linalg.cross(centred, axis.expand_as(centred))
        return moved + 0.1 * (turned - turned.mean(-2, keepdim=True)), out


@pytest.mark.parametrize(
    ("kind", "motion"), [(FixedVector, "rotation"), (RawCoordinates, "rotation"), (Handed, "reflection")]
)
def test_a_broken_network_is_noticed(kind, motion):
    torch.manual_seed(0)
    network = shaken(kind(3, 2, 3, 4, **SIZE), torch.float64)
    with pytest.raises(AssertionError, match=motion):
        check_equivariance(network, *given(SHAPES[0], torch.float64))


@pytest.mark.parametrize("shape", SHAPES)
def test_untrained_it_is_zero_and_every_parameter_counts(shape):
    _, p, f, k, beside = shape
    network = EGNN(p, f, k, beside, attention=True, **SIZE)
    moved, out = network(*given(shape, torch.float32))
    assert not moved.any()
    assert not out.any()
    assert out.shape[-1] == k
    moved, out = shaken(network, torch.float32)(*given(shape, torch.float32))
    (moved.square().sum() + out.square().sum()).backward()
    assert all(bool((parameter.grad != 0).any()) for parameter in network.parameters())


def test_it_is_smooth_where_points_coincide_and_bounded_far_away():
    network = built(SHAPES[0], torch.float64)
    x, h, beside = given(SHAPES[0], torch.float64)
    for scale in (0.0, 1e-9, 1.0, 1e3, 1e6):
        place = (scale * x).requires_grad_()

        def energy(place):
            moved, out = network(place, h, beside)
            return moved.square().sum() + out.square().sum()

        (first,) = torch.autograd.grad(energy(place), place, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), place)
        assert bool(first.isfinite().all())
        assert bool(second.isfinite().all())
        reach = sum(float(layer.reach.detach().abs()) for layer in network.layers) * math.sqrt(x.shape[-2])
        assert float(network(place, h, beside)[0].detach().abs().max()) <= 2 * reach


def test_derivatives_agree_with_finite_differences_and_batch_over_tangents():
    network = built(SHAPES[0], torch.float64)
    x, h, beside = given(SHAPES[0], torch.float64)
    tangents = torch.randn(3, *x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    _, images = calculus.pushforward(lambda p: network(p, h, beside)[0], x, tangents)
    step = 1e-6
    with torch.no_grad():
        for v, image in zip(tangents, images, strict=True):
            ends = [network(x + sign * step * v, h, beside)[0] for sign in (1, -1)]
            torch.testing.assert_close(image, (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    # one cloud at a time, and through vmap
    torch.testing.assert_close(network(x[1], h[1], beside[1])[0], network(x, h, beside)[0][1])
    torch.testing.assert_close(torch.func.vmap(network)(x, h, beside)[1], network(x, h, beside)[1])


def test_with_a_guess_both_clouds_turn_together(dtype):
    network = built(SHAPES[0], dtype, guesses=True)
    x, h, beside = given(SHAPES[0], dtype)
    guess = x.flip(0) + 0.1
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=dtype, generator=torch.Generator().manual_seed(2)))[0]
    order = torch.tensor([3, 0, 4, 2, 1])
    moved, out = network(x, h, beside, guess)
    turned, kept = network((x @ turn)[:, order], h[:, order], beside, (guess @ turn)[:, order] + 2.0)
    bound = 1e-4 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(turned, (moved @ turn)[:, order], rtol=bound, atol=bound)
    torch.testing.assert_close(kept, out[:, order], rtol=bound, atol=bound)
    assert not torch.allclose(network(x, h, beside)[0], moved, atol=1e-2)


def test_bumps_tell_distances_apart_up_to_the_furthest():
    bumps = DistanceBumps(16).double()
    place = torch.linspace(0, FURTHEST, 200, dtype=torch.float64)
    values = bumps(place)
    assert float(values.min()) >= 0
    assert float(values.max()) <= 1
    gaps = torch.cdist(values[None], values[None])[0] + torch.eye(200)
    assert float(gaps.amin()) > 0.01
