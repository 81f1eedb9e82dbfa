"""MeanFlow: the identity holds on known flows of every geometry, and its regression is stationary at the exact one."""

import math

import pytest
import torch
from diffeomorphisms import points
from known_flows import KNOWN, KnownFlow, gaussian_flow, spread

from manifold_gen import seeds
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Euclidean, Torus, from_spec
from manifold_gen.models import MeanFlow
from manifold_gen.testing import check_model

SIZE = {"width": 24, "depth": 1, "frequency": 2.0, "waves": 10}


def residuals(name, rate_scale=1.0, error=0.0, n=100):
    """r at random points and times, along the velocity of the known flow itself."""
    manifold, flow = KNOWN[name]
    model = MeanFlow(manifold, **SIZE).to(torch.float64)
    model.field = KnownFlow(manifold, flow, rate_scale)
    with torch.no_grad():
        model.field.error.fill_(error)
    x = spread(manifold, n, seeds.generator(1))
    s, t = torch.rand(n, 2, generator=seeds.generator(2), dtype=torch.float64).sort(-1).values.unbind(-1)
    return manifold.norm(x, model.residual(x, s, t, model.field(x, s, s).detach())), t - s


@pytest.mark.parametrize("spec", ["sphere:2", "torus:2", "so3", "euclidean:2", "poincare:2"])
def test_a_small_model_obeys_every_law(spec):
    manifold = from_spec(spec)
    dtype = torch.float64 if spec.startswith("poincare") else torch.float32
    check_model(MeanFlow(manifold, **SIZE), points(manifold, 20, dtype=dtype), density=False, steps=50, batch=96)


def test_a_conditional_model_obeys_every_law():
    context = torch.linspace(-1, 1, 20).unsqueeze(-1)
    model = MeanFlow(Torus(1), context_features=1, **SIZE)
    check_model(model, points(Torus(1), 20, dtype=torch.float32), context, density=False, steps=50, batch=96)


@pytest.mark.parametrize("setting", [{"diagonal": -0.1}, {"origin": 2.0}])
def test_shares_outside_their_range_are_refused(setting):
    with pytest.raises(UsageError, match="expected a number from 0 to 1"):
        MeanFlow(Torus(1), **setting)


@pytest.mark.parametrize("name", KNOWN)
def test_the_identity_holds_on_a_known_flow(name):
    size, _ = residuals(name)
    assert float(size.max()) < 1e-5


@pytest.mark.parametrize("name", KNOWN)
def test_a_wrong_derivative_and_a_wrong_map_break_the_identity(name):
    wrong, span = residuals(name, error=0.3)
    assert float(wrong[span > 0.3].min()) > 1e-5
    assert float(wrong.mean()) > 1e-2
    assert float(residuals(name, rate_scale=0.5)[0].mean()) > 1e-2


def test_weights_are_chosen_by_the_error_of_the_field_alone():
    model = MeanFlow(Torus(2), diagonal=0.0, **SIZE)
    x, auxiliary = points(Torus(2), 20, dtype=torch.float32), model.auxiliary(20, seeds.generator(5))
    z, t = auxiliary["latent"], auxiliary["span"][:, 1]
    model.field.network.last.bias.data.fill_(0.2)
    expected = (Torus(2).logmap(z, x) - 0.2).square().sum(-1)  # on a torus the velocity of a geodesic is constant
    assert float(t.min()) > 0
    assert torch.allclose(model.validation(x, None, auxiliary)["matching"], expected, atol=1e-4)


def stationarity(rate_scale=1.0, n=20_000):
    """Mean and standard error of the slope of the loss at the exact flow between two normals, along a change of u."""
    line = Euclidean(1)
    model = MeanFlow(line, diagonal=0.0, **SIZE).to(torch.float64)
    model.field = KnownFlow(line, gaussian_flow(2.0), rate_scale)
    auxiliary = {name: rows.double() for name, rows in model.auxiliary(n, seeds.generator(3)).items()}
    x = 2 * torch.randn(n, 1, generator=seeds.generator(4), dtype=torch.float64)
    copies = torch.zeros(n, 1, dtype=torch.float64, requires_grad=True)
    model.field.error = torch.nn.Parameter(copies)
    loss = model.losses(x, auxiliary=auxiliary)["mean_flow"]
    (slope,) = torch.autograd.grad(loss.sum(), model.field.error)
    return float(slope.mean()), float(slope.std()) / math.sqrt(n)


def test_the_exact_flow_between_normals_is_a_stationary_point(failure_rate):
    mean, error = stationarity()
    assert failure_rate >= 6e-7  # of five standard errors
    assert abs(mean) < 5 * error
    mean, error = stationarity(rate_scale=0.5)
    assert abs(mean) > 5 * error
