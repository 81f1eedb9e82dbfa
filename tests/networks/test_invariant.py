"""The invariant network: no motion changes what it says, a broken one is noticed, and every weight counts."""

import pytest
import torch
from equivariance import check_invariance, cloud, shaken

from manifold_gen.networks.invariant import InvariantNetwork

SIZE = {"width": 16, "pair_width": 8, "depth": 3, "distance_features": 6}
SHAPES = [(5, 3, 2), (4, 2, 0)]  # n, p, features


def built(shape, dtype, kind=InvariantNetwork):
    torch.manual_seed(0)
    return shaken(kind(shape[1], shape[2], 4, **SIZE), dtype)


def given(shape, dtype):
    return cloud(*shape, 0, dtype)[:2]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_motion_changes_what_it_says(shape, dtype):
    check_invariance(built(shape, dtype), *given(shape, dtype))


class SeesACoordinate(InvariantNetwork):
    """Broken: a coordinate enters, measured from the centre."""

    def forward(self, positions, features):
        centred = positions - positions.mean(-2, keepdim=True)
        return super().forward(positions, features) + centred[..., :1].abs().mean(-2)


class SeesTheOrder(InvariantNetwork):
    """Broken: the first point counts more."""

    def forward(self, positions, features):
        return super().forward(positions, features) + 0.1 * features[..., 0, :1]


class SeesThePlace(InvariantNetwork):
    """Broken: how far away the cloud is."""

    def forward(self, positions, features):
        return super().forward(positions, features) + positions.mean(-2).square().sum(-1, keepdim=True)


class Handed(InvariantNetwork):
    """Broken only for reflections: the mean volume that the points span with two moments of the cloud has a sign."""

    def forward(self, positions, features):
        centred = positions - positions.mean(-2, keepdim=True)
        square = centred.square().sum(-1, keepdim=True)
        one, two = ((centred * weight).sum(-2) for weight in (square, features[..., :1]))
        three = (centred * features[..., 1:2] * square).sum(-2)
        volume = (torch.linalg.cross(one, two) * three).sum(-1, keepdim=True)
        return super().forward(positions, features) + torch.tanh(volume)


@pytest.mark.parametrize(
    ("kind", "motion"),
    [
        (SeesACoordinate, "rotation"),
        (SeesTheOrder, "permutation"),
        (SeesThePlace, "translation"),
        (Handed, "reflection"),
    ],
)
def test_a_broken_network_is_noticed(kind, motion):
    with pytest.raises(AssertionError, match=motion):
        check_invariance(built(SHAPES[0], torch.float64, kind), *given(SHAPES[0], torch.float64))


def test_a_network_that_says_nothing_is_noticed():
    network = built(SHAPES[0], torch.float64)
    with pytest.raises(AssertionError, match="shows nothing"):
        check_invariance(lambda x, h: 0 * network(x, h), *given(SHAPES[0], torch.float64))


def test_every_trained_weight_counts_and_clouds_of_other_sizes_fit():
    network = built(SHAPES[0], torch.float64)
    network(*given(SHAPES[0], torch.float64)).square().sum().backward()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(trained) == len(list(network.parameters())) - 3  # the last layer's moves: a weight, a bias, a reach
    assert all(bool((parameter.grad != 0).any()) for parameter in trained)
    for n in (2, 9):
        assert network(*given((n, *SHAPES[0][1:]), torch.float64)).shape == (4, 4)


def test_it_is_no_function_of_the_composition_alone():
    network, (x, h) = built(SHAPES[0], torch.float64), given(SHAPES[0], torch.float64)
    assert float((network(1.3 * x, h) - network(x, h)).detach().abs().max()) > 0.02
    assert float((network(x, 1.3 * h) - network(x, h)).detach().abs().max()) > 0.02
