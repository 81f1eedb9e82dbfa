"""The plain transformer commutes with permutations and with nothing else; rotations to train it with are uniform."""

import pytest
import torch
from equivariance import check_equivariance, cloud, motions, shaken
from scipy import stats

from manifold_gen import calculus, seeds
from manifold_gen.networks.cloud_transformer import CloudTransformer, random_rotations


def built(dtype, beside=4):
    torch.manual_seed(0)
    return shaken(CloudTransformer(3, 2, 3, beside, width=16, depth=2), dtype, 0.1)


def test_it_commutes_with_permutations_only(dtype, tolerance):
    network = built(dtype)
    x, h, beside = cloud(5, 3, 2, 4, dtype)
    moved, out = network(x, h, beside)
    for got, expected in zip(
        network(*motions(5, 3, dtype)["permutation"](x, h), beside),
        motions(5, 3, dtype)["permutation"](moved, out),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved.mean(-2), torch.zeros_like(moved[:, 0]), rtol=0, atol=1e-5)
    with pytest.raises(AssertionError, match="rotation"):
        check_equivariance(network, x, h, beside)


def test_untrained_it_is_zero_and_every_parameter_counts():
    network = CloudTransformer(2, 0, 0, 3, width=8, depth=2)
    x, h, beside = cloud(4, 2, 0, 3, torch.float32)
    moved, out = network(x, h, beside)
    assert not moved.any()
    assert out.shape == (4, 4, 0)
    shaken(network, torch.float32)(x, h, beside)[0].square().sum().backward()
    # a key's bias adds the same to all scores of a query: its gradient is zero up to rounding, never missing
    assert all(parameter.grad is not None and bool((parameter.grad != 0).any()) for parameter in network.parameters())


def test_it_has_forward_and_second_derivatives():
    network = built(torch.float64)
    x, h, beside = cloud(5, 3, 2, 4, torch.float64)
    tangents = torch.randn(2, *x.shape, dtype=x.dtype, generator=seeds.generator(1))
    _, images = calculus.pushforward(lambda p: network(p, h, beside)[0], x, tangents)
    step = 1e-6
    with torch.no_grad():
        ends = [network(x + sign * step * tangents[0], h, beside)[0] for sign in (1, -1)]
    torch.testing.assert_close(images[0].detach(), (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    place = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(network(place, h, beside)[0].square().sum(), place, create_graph=True)
    assert bool(torch.autograd.grad(first.square().sum(), place)[0].isfinite().all())


@pytest.mark.parametrize("p", [2, 3, 5])
def test_rotations_are_uniform(p, failure_rate):
    turns = random_rotations(4000, p, seeds.generator(p), dtype=torch.float64)
    eye = torch.eye(p, dtype=torch.float64).expand_as(turns)
    torch.testing.assert_close(turns @ turns.mT, eye, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(4000, dtype=torch.float64))
    # every row and column is uniform on the sphere: a coordinate squared is Beta(1/2, (p − 1)/2), its sign fair
    for entry in (turns[:, 0, 0], turns[:, -1, -1], turns[:, 0, -1], turns[:, -1, 0]):
        assert stats.kstest(entry.square().numpy(), stats.beta(0.5, (p - 1) / 2).cdf).pvalue > failure_rate
        assert stats.binomtest(int((entry > 0).sum()), 4000).pvalue > failure_rate
    assert torch.equal(turns, random_rotations(4000, p, seeds.generator(p), dtype=torch.float64))
