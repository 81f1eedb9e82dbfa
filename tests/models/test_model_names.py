"""Models by name, and what the base class of models provides."""

import pytest
import torch

from manifold_gen import models, seeds
from manifold_gen.distributions import Uniform
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Torus
from manifold_gen.models import FreeFormFlow, GenerativeModel


class Plain(GenerativeModel):
    def __init__(self, manifold):
        super().__init__(manifold)
        self.hyperparameters = {}

    def losses(self, x, context=None, auxiliary=None):
        return {"one": x[:, 0].square(), "two": 2 * x[:, 0].square()}

    def sample(self, n, context=None, generator=None):
        return self.manifold.random_uniform(n, generator=generator)


def test_names_and_paths_are_resolved_and_given_back():
    assert models.resolve("free-form-flow") is FreeFormFlow
    assert models.name_of(FreeFormFlow) == "free-form-flow"
    path = models.name_of(Plain)
    assert path.endswith(":Plain")
    assert models.resolve(path) is Plain


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("freeform", "no model is called 'freeform'; known: .*free-form-flow"),
        ("no_such_package_here:Model", "no_such_package_here"),
        ("manifold_gen.models.base:Nothing", "has no class Nothing"),
        ("manifold_gen.manifolds:Torus", "has no class Torus derived from"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        models.resolve(name)


def test_defaults_of_a_model():
    model, x = Plain(Torus(1)), torch.linspace(-1, 1, 5).unsqueeze(-1)
    assert torch.equal(model.loss(x, None, seeds.generator(0)), 3 * x[:, 0].square())
    assert model.auxiliary(5) == {}
    assert model.validation(x).keys() == model.losses(x).keys()
    model.set_progress(0.5)


def test_a_density_in_closed_form_is_always_converged():
    uniform, x = Uniform(Torus(2)), torch.zeros(3, 4, 2)
    record = uniform.score(x)
    assert torch.equal(record.log_prob, uniform.log_prob(x))
    assert bool(record.converged.all())
    assert not bool(record.residual.any() or record.steps.any())
    assert record.steps.shape == (3, 4)
    assert bool(uniform.round_trip(7).all())
    assert uniform.reconstruction_error(x).shape == (3, 4)
