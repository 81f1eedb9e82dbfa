"""Spline flows of the torus: exact both ways, a density without a seam, and what they refuse."""

import math

import pytest
import torch

from manifold_gen import models, seeds
from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Mixture, VonMisesProduct
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Torus, from_spec
from manifold_gen.models.spline_flow import AutoregressiveSplineFlow, SplineFlow, partition
from manifold_gen.networks import circular_spline as splines
from manifold_gen.networks.conditioner import Harmonics
from manifold_gen.testing import check_model
from manifold_gen.training import TrainingConfig, fit

SIZE = {"layers": 3, "bins": 6, "width": 16, "depth": 1, "harmonics": 3}
STRUCTURES = ["coupling", "autoregressive"]


def shaken(spec, structure, dtype=torch.float64, scale=0.3, **options):
    """A little flow with every parameter moved well off its start."""
    flow = SplineFlow(from_spec(spec), structure=structure, **{**SIZE, **options})
    generator = seeds.generator(4)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return flow.to(dtype)


def points(flow, n, seed=0):
    dtype = next(flow.parameters()).dtype
    return flow.manifold.random_uniform(n, generator=seeds.generator(seed), dtype=dtype)


@pytest.mark.parametrize("conditional", [False, True], ids=["plain", "context"])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_law_of_a_model(n, structure, conditional, dtype):
    """Statistical laws at ``testing.FAILURE_RATE``."""
    manifold = Torus(n)
    flow = SplineFlow(manifold, structure=structure, context_features=int(conditional), **{**SIZE, "layers": 2})
    x = manifold.random_uniform(20, generator=seeds.generator(1), dtype=dtype)
    context = torch.linspace(-1, 1, 20, dtype=dtype).unsqueeze(-1) if conditional else None
    check_model(flow, x, context, steps=60, samples=3000)


@pytest.mark.parametrize("spec", ["torus:1", "torus:2", "torus:5", "torus:2 x torus:1"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_decode_undoes_encode(spec, structure, dtype):
    """To rounding, magnified by the flattest splines and the steepest networks on the way."""
    flow = shaken(spec, structure, dtype, scale=0.1)
    x = points(flow, 500)
    allowed = 5e-5 if dtype == torch.float32 else 1e-13
    with torch.no_grad():
        assert float(flow.reconstruction_error(x).max()) < allowed
        assert float(flow.manifold.dist(flow.encode(flow.decode(x)), x).max()) < allowed
        assert float(flow.manifold.dist(flow.encode(x), x).mean()) > 0.1


@pytest.mark.parametrize("structure", STRUCTURES)
def test_log_prob_is_the_determinant_of_the_whole_jacobian(structure):
    flow = shaken("torus:4", structure)
    x = points(flow, 30)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda p: flow.encode(p.unsqueeze(0)).squeeze(0)))(x)
    expected = torch.linalg.slogdet(jacobian).logabsdet - 4 * math.log(2 * math.pi)
    torch.testing.assert_close(flow.log_prob(x), expected)
    assert float(expected.std()) > 0.3


def seam_jumps(flow, hair=1e-9):
    """Largest jumps of log p and of its gradient where each angle passes from π to −π."""
    values, slopes = [], []
    for i in range(flow.manifold.dim):
        sides = []
        for place in (math.pi - hair, -math.pi + hair):
            x = points(flow, 200, seed=9)
            x[:, i] = place
            x.requires_grad_()
            log_prob = flow.log_prob(x)
            sides.append((log_prob.detach(), torch.autograd.grad(log_prob.sum(), x)[0]))
        values.append(float((sides[0][0] - sides[1][0]).abs().max()))
        slopes.append(float((sides[0][1] - sides[1][1]).abs().max()))
    return max(values), max(slopes)


@pytest.mark.parametrize("spec", ["torus:1", "torus:2", "torus:3"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_density_has_no_seam(spec, structure):
    """Neither in value nor in slope: the knots, where the slope of log p jumps, lie elsewhere."""
    value, slope = seam_jumps(shaken(spec, structure))
    assert value < 1e-6
    assert slope < 1e-4


def phase_at_half_a_turn(structure):
    """A flow of one angle whose first spline has its seam at ±π."""
    flow = shaken("torus:1", structure, scale=1.0)
    with torch.no_grad():
        flow.layers[0].networks[0].constant[-1] = math.pi
    return flow


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_seam_is_found_where_the_slopes_do_not_match(structure, monkeypatch):
    flow = phase_at_half_a_turn(structure)
    assert seam_jumps(flow)[0] < 1e-6
    matched = splines._gather

    def unmatched(bin_, widths, heights, slopes):
        w, h, d0, d1, left, low = matched(bin_, widths, heights, slopes)
        return w, h, d0, torch.where(bin_.squeeze(-1) == widths.shape[-1] - 1, 1.0, d1), left, low

    monkeypatch.setattr(splines, "_gather", unmatched)
    assert seam_jumps(flow)[0] > 0.1


def test_a_seam_is_found_where_networks_see_bare_angles(monkeypatch):
    flow = shaken("torus:2", "coupling")
    monkeypatch.setattr(Harmonics, "forward", lambda self, x: x.repeat(1, 2 * len(self.numbers)) / math.pi)
    assert seam_jumps(flow)[0] > 0.1


@pytest.mark.parametrize("structure", STRUCTURES)
def test_an_angle_that_follows_another_all_the_way_round_is_learned(structure):
    """x₂ − x₁ is von Mises: within 0.1 nats of the entropy, where the uniform start is 1.1 above it."""
    difference = Mixture(VonMisesProduct(torch.zeros(1, 1), torch.full((1, 1), 8.0)), torch.zeros(1))
    manifold, generator = Torus(2), seeds.generator(0)
    first = Torus(1).random_uniform(4000, generator=generator)
    turn = difference.sample(4000, generator=generator)
    x = manifold.projx(torch.cat([first, first + turn], -1))
    entropy = -float(difference.log_prob(turn).mean()) + math.log(2 * math.pi)
    data = Dataset("follower", manifold, Split(x[:3000]), Split(x[3000:]), Split(x[3000:]))
    flow = SplineFlow(manifold, structure=structure, layers=2, bins=8, width=32, depth=1)
    fit(flow, data, TrainingConfig(steps=150, batch_size=256, lr=0.01, eval_every=150), quiet=True)
    with torch.no_grad():
        assert -float(flow.log_prob(data.test.x).mean()) == pytest.approx(entropy, abs=0.1)


def test_every_two_angles_are_parted_by_some_coupling_layer():
    for n in range(2, 10):
        layers = [partition("coupling", n, number) for number in range(2 * (n - 1).bit_length())]
        for blocks in layers:
            assert sorted(i for block in blocks for i in block) == list(range(n))
        ordered = {(i, j) for before, after in layers for i in before for j in after}
        assert ordered == {(i, j) for i in range(n) for j in range(n) if i != j}


def test_names_and_evaluations():
    assert models.resolve("spline-coupling") is SplineFlow
    assert models.resolve("spline-autoregressive") is AutoregressiveSplineFlow
    assert models.name_of(AutoregressiveSplineFlow) == "spline-autoregressive"
    assert SplineFlow(Torus(3), **SIZE).evaluations == 1
    flow = AutoregressiveSplineFlow(Torus(3), **SIZE)
    assert flow.evaluations == SplineFlow(Torus(3), structure="autoregressive", **SIZE).evaluations == 3
    assert "structure" not in flow.hyperparameters


def test_seeds_decide_the_weights_and_leave_the_global_state_alone():
    before = torch.get_rng_state()
    one, same, other = (SplineFlow(Torus(2), seed=seed, **SIZE) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    first, again, different = (torch.cat([p.flatten() for p in flow.parameters()]) for flow in (one, same, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, different)


def test_categories_are_told_apart():
    flow = shaken("torus:2", "coupling", context_categories=3)
    x = points(flow, 6)
    scores = torch.stack([flow.log_prob(x, torch.full((6,), number)) for number in range(3)])
    assert float((scores[0] - scores[1]).abs().min()) > 1e-6
    assert flow.sample(6, torch.tensor([0, 1, 2, 0, 1, 2]), seeds.generator(0)).shape == (6, 2)


@pytest.mark.parametrize("spec", ["sphere:2", "so3", "euclidean:2", "so3 x torus:2", "sphere:1"])
def test_other_manifolds_are_refused(spec):
    with pytest.raises(UsageError, match=r"SplineFlow models angles, and points of .* are not \(all\) angles; give it"):
        SplineFlow(from_spec(spec))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": "couplng"}, "structure is 'couplng'; expected one of coupling, autoregressive"),
        ({"layers": 0}, "layers is 0"),
        ({"bins": 501}, "bins 501; expected at least 1 and 1 to 500"),
        ({"context_features": 1, "context_categories": 2}, "continuous or categorical"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        SplineFlow(Torus(2), **options)


def test_points_and_contexts_that_do_not_fit_are_refused():
    flow = SplineFlow(Torus(2), context_features=1, **SIZE)
    x, context = points(flow, 3), torch.zeros(3, 1)
    for arguments, message in [
        ((torch.zeros(3, 3), context), r"shape \(3, 3\), expected \(..., 2\)"),
        ((x.double(), context.double()), "points are torch.float64, the model is torch.float32"),
        ((torch.full((3, 2), math.nan), context), "6 numbers of the points are NaN"),
        ((x,), "needs a context"),
    ]:
        with pytest.raises(UsageError, match=message):
            flow.log_prob(*arguments)
    with pytest.raises(UsageError, match="n must be 0 or more"):
        flow.sample(-1, context)
    assert flow.sample(0, context[:0]).shape == (0, 2)
