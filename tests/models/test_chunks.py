"""Models on large clouds take few at a time, and what they say does not depend on how many."""

import pytest
import torch

from manifold_gen.manifolds import PointCloud
from manifold_gen.models import EndpointFlow, FlowMap, FreeFormFlow, chunks
from manifold_gen.models.pairs import flow_pairs
from manifold_gen.ode import Solver
from manifold_gen.seeds import generator

CLOUDS = PointCloud(5, 2)
FLOWS = {
    "continuous": lambda: EndpointFlow(CLOUDS, width=8, pair_width=8, depth=1, likelihood_steps=3),
    "decoded": lambda: FreeFormFlow(CLOUDS, width=8, depth=1),
}


def moved(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator(3)))
    return model.double()


@pytest.mark.parametrize("at_once", [1, 3, 7])
@pytest.mark.parametrize("kind", FLOWS)
@torch.no_grad()
def test_few_clouds_at_a_time_are_the_same_clouds(kind, at_once, monkeypatch):
    model = moved(FLOWS[kind]())

    def answers():
        x = model.exact_sample(7, generator=generator(0))
        return x, model.score(x).log_prob, model.round_trip(7, generator=generator(1))

    expected = answers()
    monkeypatch.setattr(chunks, "PAIRS", at_once * 25)
    assert chunks.at_once(CLOUDS.shape) == at_once
    for found, before in zip(answers(), expected, strict=True):
        torch.testing.assert_close(found, before)


def test_pairs_and_maps_too(monkeypatch):
    teacher, student = moved(FLOWS["continuous"]()), moved(FlowMap(CLOUDS, width=8, depth=1))

    def answers():
        points = teacher.base.sample(6, generator=generator(0)).double()
        pairs = flow_pairs(teacher, points, None, 4, 5, Solver("midpoint", 2), jacobians=False)
        return pairs.z, pairs.x, student.sample(7, generator=generator(1))

    expected = answers()
    monkeypatch.setattr(chunks, "PAIRS", 50)
    for found, before in zip(answers(), expected, strict=True):
        torch.testing.assert_close(found, before)


@pytest.mark.parametrize(("shape", "most"), [((3,), 16_384), ((4, 2), 16_384), ((55, 3), 1000), ((10_000, 3), 1)])
def test_the_pairs_of_all_clouds_at_once_are_bounded(shape, most):
    count = chunks.at_once(shape)
    assert count in range(1, most + 1)
    assert chunks.at_once(shape, 2) <= 2
