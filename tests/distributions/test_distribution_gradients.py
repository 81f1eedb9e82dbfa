"""Gradients of ``log_prob`` in x and in the parameters, first and second order, against finite differences."""

import pytest
import torch
from torch import nn

from manifold_gen.distributions import Distribution, Mixture, VonMisesFisher, VonMisesProduct, WrappedNormal
from manifold_gen.manifolds import SO3, Euclidean, Lorentz, PoincareBall, Product, Sphere, Torus
from manifold_gen.seeds import generator


class Scored(nn.Module):
    """Makes ``log_prob`` the forward pass, which ``functional_call`` needs."""

    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.distribution = distribution

    def forward(self, x):
        return self.distribution.log_prob(x)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def wrapped(manifold, scale):
    centre = manifold.random_uniform if manifold.log_volume < 100 else manifold.origin
    options = {"generator": generator(5)} if manifold.log_volume < 100 else {}
    return WrappedNormal(manifold, centre(2, dtype=torch.float64, **options), double(scale), learnable=True)


FAMILIES = {
    "von-mises": lambda: VonMisesProduct(double([[0.3, 3.0], [1.0, 2.0]]), double([1e-3, 50.0]), learnable=True),
    "fisher": lambda: VonMisesFisher(double([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]]), double([1e-3, 80.0]), learnable=True),
    "sphere": lambda: wrapped(Sphere(2), [0.3]),
    "torus": lambda: wrapped(Torus(2), [0.4, 3.0]),
    "so3": lambda: wrapped(SO3(), [0.3]),
    "euclidean": lambda: wrapped(Euclidean(2), [0.4, 3.0]),
    "poincare": lambda: wrapped(PoincareBall(2), [0.8]),
    "lorentz": lambda: wrapped(Lorentz(2), [0.8]),
    "product": lambda: wrapped(Product(Sphere(2), Torus(1)), [0.4]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_gradcheck_of_mixtures(name):
    """x near a centre and anywhere else: the gradient is right at the centre too, where u = 0."""
    family = FAMILIES[name]()
    scored = Scored(Mixture(family, double([0.2, -0.3]), learnable=True))
    names, parameters = zip(*scored.named_parameters(), strict=True)
    assert len(names) == 3
    x = torch.cat([family.sample(2, generator=generator(9)).flatten(0, 1), family.loc[:1]]).detach()

    def log_prob(point, *values):
        return torch.func.functional_call(scored, dict(zip(names, values, strict=True)), (point,))

    inputs = [value.detach().clone().requires_grad_() for value in (x, *parameters)]
    assert torch.autograd.gradcheck(log_prob, inputs, atol=1e-6)
    assert torch.autograd.gradgradcheck(log_prob, inputs, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_learning_stays_where_the_density_is_exact(name):
    """A few large steps of Adam: parameters stay valid, and the likelihood of a shifted cloud rises."""
    family = FAMILIES[name]()
    x = FAMILIES[name]().draw(torch.zeros(200, dtype=torch.long), generator(3)).detach()
    optimiser = torch.optim.Adam(family.parameters(), lr=0.1)
    history = []
    for _ in range(25):
        loss = -family.log_prob(x.unsqueeze(1))[:, 1].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss))
    assert history[-1] < history[0]
    on_manifold, reason = family.manifold._check_point_on_manifold(family.loc.detach(), atol=1e-10)
    assert on_manifold, reason


def test_a_wide_learnable_scale_never_passes_the_injectivity_radius():
    d = WrappedNormal(Sphere(2), [0.0, 0.0, 1.0], 0.5, learnable=True)
    with torch.no_grad():
        d._scale.value += 100.0
    assert float(d.scale) < 0.6


def test_scores_work_under_vmap_and_jvp():
    d = VonMisesFisher(double([0.0, 0.6, 0.8]), double(20.0))
    x = d.sample(5, generator=generator(0))
    single = torch.stack([torch.func.grad(lambda p: d.log_prob(p))(point) for point in x])
    together = torch.func.vmap(torch.func.grad(lambda p: d.log_prob(p)))(x)
    torch.testing.assert_close(single, together)
    _, push = torch.func.jvp(d.log_prob, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(push, together.sum(-1))
