"""Models that are batched over their weights take the steps that each takes alone."""

import bench_models_at_once as bench
import pytest
import torch

from manifold_gen import seeds
from manifold_gen.manifolds import Sphere, Torus
from manifold_gen.models import FreeFormFlow
from manifold_gen.training.step import LossModule

SIZES = dict(width=8, depth=1, frequency=2.0, waves=6)
METHODS = {
    **{name: make for name, make in bench.METHODS.items() if name not in bench.UNBATCHED},
    "free-form flow, conditional": lambda manifold, **sizes: FreeFormFlow(manifold, volume="conditional", **sizes),
}


def made(method, manifold, count=3, rows=6):
    """Models with weights off their start, each with its own wave vectors and its own batch, in double precision."""
    models, batches = [], []
    for seed in range(count):
        generator = seeds.generator(seed, 5)
        model = METHODS[method](manifold, **SIZES, seed=seed).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        drawn = {name: rows.double() for name, rows in model.auxiliary(rows, generator).items()}
        batches.append((manifold.random_uniform(rows, generator=generator, dtype=torch.float64), drawn))
        models.append(model)
    return models, batches


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("manifold", [Sphere(2), Torus(2)], ids=lambda manifold: manifold.spec)
def test_batched_gradients_are_those_of_the_models_one_by_one(method, manifold):
    models, batches = made(method, manifold)
    losses, gradients = bench.Stacked(models).losses_and_gradients(*bench.stack(batches))
    for k, (model, (x, drawn)) in enumerate(zip(models, batches, strict=True)):
        module = LossModule(model)
        total, _ = module(x, None, drawn)
        torch.testing.assert_close(losses[k], total.detach(), rtol=1e-10, atol=1e-10)
        expected = torch.autograd.grad(total, list(module.parameters()))
        for (name, _), value in zip(module.named_parameters(), expected, strict=True):
            assert float(value.abs().max()) > 0, name
            torch.testing.assert_close(gradients[name][k], value, rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_steps_at_once_are_the_steps_one_by_one(method):
    models, batches = made(method, Sphere(2))
    stacked = bench.Stacked(models)
    at_once, alone = bench.at_once(stacked, batches), bench.one_by_one(models, batches)
    before = {name: values.clone() for name, values in stacked.parameters.items()}
    for _ in range(3):
        at_once()
        alone()
    for k, model in enumerate(models):
        for name, parameter in LossModule(model).named_parameters():
            assert not torch.equal(before[name][k], stacked.parameters[name][k]), name
            # AdamW divides by the gradient's size, which lets a small one's rounding through
            torch.testing.assert_close(stacked.parameters[name][k], parameter.detach(), rtol=1e-6, atol=1e-8, msg=name)


def test_what_is_said_not_to_batch_does_not():
    said = bench.refusals(torch.device("cpu"))
    assert set(said) == set(bench.UNBATCHED)
    assert all("dynamic shape" in words for words in said.values())
