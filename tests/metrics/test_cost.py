"""What sampling and likelihood cost: evaluations are counted, times divided by the points, parameters counted once."""

import itertools

import pytest
import torch
from torch import nn

from manifold_gen import metrics
from manifold_gen.distributions import Uniform
from manifold_gen.distributions.base import Sampler
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Sphere
from manifold_gen.metrics import likelihood_seconds, network_evaluations, parameters, sampling_seconds
from manifold_gen.models import FreeFormFlow
from manifold_gen.models.flow_matching import FlowMatching
from manifold_gen.ode import Solver

SPHERE = Sphere(2)


class Chain(Sampler):
    """Some networks one after another, some of them several times."""

    def __init__(self, networks, times=1):
        super().__init__(SPHERE)
        self.networks, self.times, self.calls, self.threads = nn.ModuleList(networks), times, 0, set()

    def sample(self, n, context=None, generator=None, again=1):
        self.calls += 1
        self.threads.add(torch.get_num_threads())
        x = torch.randn(n, 3, generator=generator)
        for network in self.networks:
            for _ in range(self.times * again):
                x = network(x)
        return SPHERE.projx(x)


def test_evaluations_are_those_of_the_busiest_network():
    assert network_evaluations(Chain([nn.Linear(3, 3) for _ in range(4)])) == 1
    assert network_evaluations(Chain([nn.Linear(3, 3)], times=5)) == 5
    assert network_evaluations(Chain([nn.Linear(3, 3)], times=5), again=2) == 10
    assert network_evaluations(Uniform(SPHERE)) == 0


@pytest.mark.parametrize(("method", "stages"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_an_ode_takes_its_stages_times_its_steps(method, stages):
    solver = Solver(method, steps=3)
    model = FlowMatching(SPHERE, width=8, depth=1)
    assert network_evaluations(model, solver=solver) == 3 * stages == solver.evaluations


def test_a_free_form_flow_takes_one_and_no_hook_is_left():
    model = FreeFormFlow(SPHERE, width=8, depth=1)
    assert network_evaluations(model) == 1
    assert not any(layer._forward_hooks for layer in model.modules())


def test_parameters_are_trainable_and_shared_ones_counted_once():
    layer, frozen = nn.Linear(3, 3), nn.Linear(3, 3).requires_grad_(False)
    assert parameters(Chain([layer, frozen, layer])) == 12
    assert parameters(Uniform(SPHERE)) == 0


def test_time_is_the_median_of_the_repeats_by_point(monkeypatch):
    # The first run is warm-up; of the others the one that was interrupted does not count.
    ends = itertools.accumulate([0, 50, 0, 2.0, 0, 2.2, 0, 90, 0, 1.8, 0, 2.1])
    monkeypatch.setattr(metrics.cost.time, "process_time", lambda: next(ends))
    model = Chain([nn.Linear(3, 3)])
    found = sampling_seconds(model, 100, repeats=5)
    assert found.value == pytest.approx(2.1 / 100)
    assert found.se == pytest.approx(1.2533 * 1.4826 * 0.1 / 100 / 5**0.5, rel=1e-3)
    assert model.calls == 6
    assert model.threads == {1}


def test_threads_are_as_before_and_times_positive():
    before = torch.get_num_threads()
    model, x = Uniform(SPHERE), SPHERE.origin(500)
    assert sampling_seconds(model, 500).value > 0
    assert likelihood_seconds(model, x).value > 0
    assert torch.get_num_threads() == before


def test_too_little_to_measure_is_refused():
    with pytest.raises(UsageError, match="at least 2 repeats and 1 point, got 1 and 10"):
        sampling_seconds(Uniform(SPHERE), 10, repeats=1)
    with pytest.raises(UsageError, match="got 5 and 0"):
        likelihood_seconds(Uniform(SPHERE), SPHERE.origin(1)[:0])
