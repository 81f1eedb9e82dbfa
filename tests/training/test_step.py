"""What one step compiles, and that it stays what it was."""

from __future__ import annotations

import torch

from manifold_gen import models
from manifold_gen.manifolds import Torus
from manifold_gen.manifolds.point_clouds import PointClouds
from manifold_gen.networks.egnn import EGNN, Layer
from manifold_gen.training.config import TrainingConfig
from manifold_gen.training.distributed import World
from manifold_gen.training.step import Stepper


def compiled(module):
    return {name for name, part in module.named_modules() if part._compiled_call_impl is not None}


def stepper_of(model):
    return Stepper(model, TrainingConfig(compile=True), World(), torch.device("cpu"))


def test_layers_that_ask_for_it_are_compiled_one_by_one():
    model = models.build(models.EndpointFlow, PointClouds(3, 2), width=8, pair_width=8, depth=3)
    stepper = stepper_of(model)
    layers = {name for name, part in stepper.loss.named_modules() if isinstance(part, Layer)}
    assert len(layers) == 3
    assert compiled(stepper.loss) == layers


def test_a_model_without_such_layers_is_compiled_as_a_whole():
    assert compiled(stepper_of(models.FlowMatching(Torus(2), width=8, depth=1)).loss) == {""}


def test_a_compiled_layer_computes_the_same():
    # the graph is traced and run as it is: code generation is not ours to test
    network = EGNN(3, 2, 2, width=8, pair_width=4, depth=2, attention=True)
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    clouds = [(torch.randn(b, n, 3), torch.randn(b, n, 2)) for b, n in ((4, 5), (7, 3), (2, 9))]
    plain = [network(*cloud) for cloud in clouds]
    for layer in network.layers:
        layer.compile(dynamic=True, backend="aot_eager")
    for cloud, (displacement, outputs) in zip(clouds, plain, strict=True):
        found = network(*cloud)
        assert torch.allclose(found[0], displacement, atol=1e-5)
        assert torch.allclose(found[1], outputs, atol=1e-5)
