"""The volume change and its surrogate on maps whose inverse is known: values, gradients, and what must fail."""

import copy
import math

import pytest
import torch
from diffeomorphisms import SPECS, Map, pair, points
from scipy import stats
from torch import nn

from manifold_gen import calculus, seeds, surrogates
from manifold_gen.manifolds import SO3, Euclidean, PoincareBall

RATE = 1e-5  # of a false alarm, of each statistical test here
DRAWS = 3000


def parameters(encoder):
    return list(encoder.parameters())


def set_parameters(encoder, values):
    """Replace the parameters by tensors, which may carry the batch axes of the points."""
    for module in encoder.modules():
        if "theta" in module._parameters or "theta" in vars(module):
            module._parameters.pop("theta", None)
            object.__setattr__(module, "theta", values.pop(0))


def gradients(encoder, x, value):
    """Gradients of ``value(x)`` in all parameters, ``(len(x), p)``, each of its own point alone."""
    thetas = [theta.detach().expand(len(x), *theta.shape).clone().requires_grad_() for theta in parameters(encoder)]
    kept = parameters(encoder)
    set_parameters(encoder, list(thetas))
    found = torch.autograd.grad(value(x).sum(), thetas)
    for module in encoder.modules():
        if "theta" in vars(module):
            vars(module).pop("theta")
            module.theta = kept.pop(0)
    return torch.cat([g.flatten(1) for g in found], 1)


def log_det(g, manifold, x):
    return calculus.log_abs_det(calculus.jacobian(g, manifold, x)[1])


def surrogate_deviation(manifold, encoder, decoder, probes, seed=0, used=None):
    """Largest |mean surrogate gradient − exact gradient| in standard errors, over points and parameters.

    The surrogate is computed on ``used``, where that is another manifold.
    """
    return deviation(
        encoder,
        manifold,
        lambda x: log_det(encoder, manifold, x),
        lambda x, drawn: surrogates.volume_surrogate(encoder, decoder, used or manifold, x, drawn)[1],
        probes,
        seed,
    )


def decoder_deviation(manifold, encoder, decoder, probes, seed=0, used=None):
    """The same for the decoder's surrogate, in the parameters of two networks that share none."""
    decoder = copy.deepcopy(decoder)
    return deviation(
        nn.ModuleList([encoder, decoder]),
        manifold,
        lambda x: -log_det(decoder, manifold, encoder(x)),
        lambda x, drawn: surrogates.volume_surrogates(encoder, decoder, used or manifold, x, drawn).decoder.mean(0),
        probes,
        seed,
    )


def deviation(networks, manifold, log_volume, estimate, probes, seed):
    """Largest |mean gradient of ``estimate`` − that of ``log_volume``| in standard errors, and how many there are."""
    x = points(manifold, 4, seed)
    exact = gradients(networks, x, log_volume)
    repeated = x.repeat_interleave(DRAWS, 0)
    drawn = torch.randn(probes, len(repeated), manifold.dim, generator=seeds.generator(seed, 3)).double()
    per_draw = gradients(networks, repeated, lambda x: estimate(x, drawn)).unflatten(0, (len(x), DRAWS))
    error = per_draw.std(1) / math.sqrt(DRAWS)
    return float(((per_draw.mean(1) - exact).abs() / (error + 1e-9 * (1 + exact.abs()))).max()), exact.numel()


def limit(count):
    return float(stats.norm.isf(RATE / 2 / count))


@pytest.mark.parametrize("probes", [1, 4])
@pytest.mark.parametrize("spec", SPECS)
def test_expected_surrogate_gradient_is_that_of_the_log_determinant(spec, probes):
    manifold, encoder, decoder = pair(spec)
    deviation, count = surrogate_deviation(manifold, encoder, decoder, probes)
    assert deviation <= limit(count)


@pytest.mark.parametrize("spec", ["sphere:1", "sphere:2", "sphere:3", "torus:2", "so3", "lorentz:2"])
def test_scaling_by_the_ambient_dimension_fails(spec, monkeypatch):
    """The published estimator scales probes by √D, which weighs the volume change D / n times too much."""
    manifold, encoder, decoder = pair(spec)
    ambient = 2 * manifold.dim if manifold.name == "torus" else math.prod(manifold.shape)
    right = surrogates.isotropic
    monkeypatch.setattr(surrogates, "isotropic", lambda v: right(v) * math.sqrt(ambient / manifold.dim))
    deviation, count = surrogate_deviation(manifold, encoder, decoder, 1)
    assert deviation > 2 * limit(count)


class DetachedMetric(PoincareBall):
    """Forgets that its metric varies."""

    def log_sqrt_det_metric(self, x):
        return super().log_sqrt_det_metric(x).detach()


def test_a_detached_metric_fails():
    manifold, encoder, decoder = pair("poincare:2")
    x = points(manifold, 4)
    exact = gradients(encoder, x, lambda x: log_det(encoder, manifold, x))
    lost = gradients(encoder, x, lambda x: manifold.log_sqrt_det_metric(encoder(x)))
    assert float(lost.abs().max()) > 0.1 * float(exact.abs().max())
    deviation, count = surrogate_deviation(manifold, encoder, decoder, 1, used=DetachedMetric(2))
    assert deviation > 2 * limit(count)


@pytest.mark.parametrize("spec", SPECS)
def test_expected_gradient_of_the_decoders_surrogate_is_that_of_its_log_determinant(spec):
    """In the decoder's parameters and, since they move the latent, in the encoder's."""
    manifold, encoder, decoder = pair(spec)
    found, count = decoder_deviation(manifold, encoder, decoder, probes=2)
    assert found <= limit(count)


@pytest.mark.parametrize("spec", SPECS)
def test_either_branch_has_the_same_gradient_where_the_decoder_inverts_the_encoder(spec):
    """Df Dg = 1 for all parameters that the two share: its derivatives through f and through g cancel, probe by probe.

    Whichever branch rounding chooses, both rules then have the gradient of the encoder's.
    """
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 6)
    drawn = torch.randn(3, 6, manifold.dim, generator=seeds.generator(4)).double()
    found = surrogates.volume_surrogates(encoder, decoder, manifold, x, drawn)
    assert float(found.excess.abs().max()) < 1e-9
    torch.testing.assert_close(found.latent, encoder(x))
    torch.testing.assert_close(found.image, x, rtol=0, atol=1e-9)
    first, second, chosen, other, plain = (
        gradients(encoder, x, value)
        for value in (
            lambda x: surrogates.volume_surrogates(encoder, decoder, manifold, x, drawn).encoder.mean(0),
            lambda x: surrogates.volume_surrogates(encoder, decoder, manifold, x, drawn).decoder.mean(0),
            lambda x: surrogates.volume_surrogates(encoder, decoder, manifold, x, drawn).conditional,
            lambda x: surrogates.volume_surrogates(encoder, decoder, manifold, x, drawn).restoring,
            lambda x: surrogates.volume_surrogate(encoder, decoder, manifold, x, drawn)[1],
        )
    )
    torch.testing.assert_close(first, plain, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(second, plain, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(chosen, plain, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(other, plain, rtol=1e-7, atol=1e-7)


class LooseRotations(SO3):
    """Lets a tangent vector stick out where its foot moves."""

    def proju(self, x, u):
        return super().proju(x.detach(), u)


@pytest.mark.parametrize(("spec", "used"), [("poincare:2", DetachedMetric(2)), ("so3", LooseRotations())])
def test_a_careless_surrogate_of_the_decoder_fails(spec, used):
    manifold, encoder, decoder = pair(spec)
    found, count = decoder_deviation(manifold, encoder, decoder, 1, used=used)
    assert found > 2 * limit(count)


class Stretch(Map):
    """Euclidean: coordinates times factors."""

    def __init__(self, *factors):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(factors).double())

    def forward(self, x, context=None):
        return self.theta * x


F, G, PLANE = (2.0, 3.0), (0.75, 0.25), Euclidean(2)


@pytest.mark.parametrize(
    ("probes", "excess", "conditional", "restoring"),
    [
        ([[1.0, 0.0]], [1.0], ([1.5, 0.0], [0.0, 0.0]), ([0.0, 0.0], [-4.0, 0.0])),
        ([[0.0, 5.0]], [-0.5], ([0.0, 0.0], [0.0, -6.0]), ([0.0, 0.5], [0.0, 0.0])),
        # both at once: the mean of the two
        ([[1.0, 0.0], [0.0, 1.0]], [1.0, -0.5], ([0.75, 0.0], [0.0, -3.0]), ([0.0, 0.25], [-2.0, 0.0])),
    ],
)
def test_each_probe_takes_the_branch_of_its_own_excess(probes, excess, conditional, restoring):
    """f = diag(2, 3), g = diag(0.75, 0.25): f g exceeds 1 along the first axis by 0.5 and falls short along the second.

    A probe along an axis has length √2, so it weighs that axis twice: the encoder's branch is ∂(2 a b)/∂a = 2 b, the
    decoder's −∂(2 a b)/∂b = −2 a.
    """
    f, g, x = Stretch(*F), Stretch(*G), torch.ones(1, 2).double()
    drawn = torch.tensor(probes).double().unsqueeze(1)
    for name, expected in (("conditional", conditional), ("restoring", restoring)):
        found = surrogates.volume_surrogates(f, g, PLANE, x, drawn)
        slopes = torch.autograd.grad(getattr(found, name).sum(), [f.theta, g.theta])
        torch.testing.assert_close(found.excess.squeeze(1), torch.tensor(excess).double())
        torch.testing.assert_close(torch.stack(slopes), torch.tensor(expected).double())


@pytest.mark.parametrize(("name", "sign"), [("conditional", 1.0), ("restoring", -1.0)])
def test_one_rule_drives_the_excess_from_zero_and_the_other_to_it(name, sign):
    """A small step that raises the surrogate moves c away from 0 by the conditional rule, towards 0 by the other."""
    f, g, x = Stretch(*F), Stretch(*G), torch.ones(1, 2).double()
    drawn = torch.eye(2).double().unsqueeze(1)
    found = surrogates.volume_surrogates(f, g, PLANE, x, drawn)
    slopes = torch.autograd.grad(getattr(found, name).sum(), [f.theta, g.theta])
    with torch.no_grad():
        for parameter, slope in zip((f.theta, g.theta), slopes, strict=True):
            parameter.add_(1e-3 * slope)
    moved = surrogates.volume_surrogates(f, g, PLANE, x, drawn).excess.abs() - found.excess.abs()
    assert bool((sign * moved > 0).all())


def test_values_of_the_branches_are_one_trace():
    """A logged loss does not jump where the branch changes."""
    f, g = Stretch(*F), Stretch(*G)
    drawn = torch.randn(5, 4, 2, generator=seeds.generator(6)).double()
    x = torch.ones(4, 2).double()
    found = surrogates.volume_surrogates(f, g, PLANE, x, drawn)
    plain = surrogates.volume_surrogate(f, g, PLANE, x, drawn)[1]
    assert set(torch.sign(found.excess).flatten().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(found.encoder, found.decoder)
    torch.testing.assert_close(found.conditional, plain)
    torch.testing.assert_close(found.restoring, plain)


@pytest.mark.parametrize("spec", SPECS)
def test_encoder_and_decoder_agree_on_the_volume_change(spec):
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 20)
    z = encoder(x)
    torch.testing.assert_close(decoder(z), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_det(encoder, manifold, x), -log_det(decoder, manifold, z), rtol=0, atol=1e-8)
    assert float(log_det(encoder, manifold, x).detach().std()) > 0.05, "an isometry would prove nothing"


def difference_log_det(function, manifold, x, size=1e-4):
    """log|det| by central differences along geodesics, without forward-mode derivatives."""
    y, columns = function(x), []
    for i in range(manifold.dim):
        step = size * torch.eye(manifold.dim).double()[i].expand(len(x), -1)
        ends = [function(manifold.expmap(x, manifold.from_coordinates(x, s * step))) for s in (1, -1)]
        there = [manifold.to_coordinates(y, manifold.logmap(y, end)) for end in ends]
        columns.append((there[0] - there[1]) / (2 * size))
    return torch.linalg.slogdet(torch.stack(columns, -1)).logabsdet


@torch.no_grad()
@pytest.mark.parametrize("spec", SPECS)
def test_volume_change_is_the_ratio_of_small_volumes(spec):
    manifold, encoder, _ = pair(spec)
    x = points(manifold, 20)
    expected = difference_log_det(encoder, manifold, x)
    torch.testing.assert_close(log_det(encoder, manifold, x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_of_the_exact_term_is_that_of_its_values(spec):
    """Frames carry no gradient; where the metric varies the determinant must not lose or double its share."""
    manifold, encoder, _ = pair(spec)
    x = points(manifold, 5)
    for theta in parameters(encoder):
        (found,) = torch.autograd.grad(log_det(encoder, manifold, x).sum(), theta)
        direction = torch.randn(theta.shape, generator=seeds.generator(5)).double()
        with torch.no_grad():
            start, values = theta.clone(), []
            for sign in (1, -1):
                theta.copy_(start + sign * 1e-5 * direction)
                values.append(log_det(encoder, manifold, x).sum())
            theta.copy_(start)
        slope = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close((found * direction).sum(), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_of_the_exact_term_in_the_point(spec):
    """Along geodesics; wrong where the frame is not kept tangent, since the maps go on outside the manifold."""
    manifold, encoder, _ = pair(spec)
    x = points(manifold, 8).requires_grad_()
    (found,) = torch.autograd.grad(log_det(encoder, manifold, x).sum(), x)
    x = x.detach()
    for b in calculus.frame(manifold, x):
        with torch.no_grad():
            forth, back = (log_det(encoder, manifold, manifold.expmap(x, s * 1e-5 * b)) for s in (1, -1))
        slope = (found * b).flatten(1).sum(1)
        torch.testing.assert_close(slope, (forth - back) / 2e-5, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spec", ["sphere:2", "so3", "euclidean:3"])
def test_the_mismatch_is_zero_of_inverse_maps_alone(spec):
    manifold, encoder, decoder = pair(spec)
    x = points(manifold, 20, 0)
    probes = torch.randn(3, 20, manifold.dim, generator=seeds.generator(1)).double()
    with torch.no_grad():
        inverse = surrogates.volume_surrogate(encoder, decoder, manifold, x, probes)[2]
        other = surrogates.volume_surrogate(decoder, decoder, manifold, x, probes)[2]
    assert float(inverse.max()) < 1e-16
    assert float(other.min()) > 1e-4
