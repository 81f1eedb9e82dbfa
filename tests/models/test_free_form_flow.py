"""What a free-form flow promises on every manifold and for every volume change, whatever its defaults are."""

import inspect
import math

import pytest
import torch
from diffeomorphisms import points

from manifold_gen import models, seeds
from manifold_gen.distributions import default_base
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import from_spec
from manifold_gen.models import FreeFormFlow

SPECS = [
    "euclidean:2", "sphere:1", "sphere:2", "sphere:3", "torus:2", "torus:5", "so3", "poincare:2", "lorentz:2",
    "sphere:2 x euclidean:1", "so3 x torus:2", "geoopt.CanonicalStiefel:3,2",
]  # fmt: skip
VOLUMES = ["surrogate", "conditional", "restoring", "exact", "exact_encoder", "auto"]
DOUBLE = ("poincare", "lorentz", "geoopt")  # trained in double precision
TERMS = {"nll", "reconstruction", "latent_reconstruction", "proposal_reconstruction"}


def small(spec, shaken=0.05, dtype=None, **options):
    """A little flow with every parameter moved off its start, in the dtype that its manifold trains in."""
    settings = {
        "width": 8, "depth": 1, "frequency": 2.0, "waves": 6, "reconstruction": 10.0, "latent_reconstruction": 10.0,
        "proposal_reconstruction": 5.0, "fold_penalty": 1.0, "latent_stride": 2, "proposal_stride": 4, "noise": 0.0,
        "tightening": 1.0, "annealing": 0.0,
    }  # fmt: skip
    flow = FreeFormFlow(from_spec(spec), **{**settings, **options})
    generator = seeds.generator(11)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(shaken * torch.randn(parameter.shape, generator=generator))
    flow.set_progress(1.0)
    return flow.to(dtype or (torch.float64 if spec.startswith(DOUBLE) else torch.float32))


def data(flow, n, seed=0):
    manifold = flow.manifold
    dtype = next(flow.parameters()).dtype
    if manifold.name == "adapted" or "." in manifold.spec:
        origin = manifold.origin(n, dtype=dtype)
        return manifold.expmap(origin, 0.3 * manifold.random_tangent(origin, generator=seeds.generator(seed)))
    return points(manifold, n, seed, dtype)


def drawn(flow, n, seed=1):
    return flow.auxiliary(n, seeds.generator(seed))


@pytest.mark.parametrize("volume", VOLUMES)
@pytest.mark.parametrize("spec", SPECS)
def test_losses_are_named_and_per_sample_and_reach_every_parameter(spec, volume):
    flow = small(spec, volume=volume)
    x = data(flow, 16)
    terms = flow.losses(x, None, drawn(flow, 16))
    assert set(terms) >= TERMS
    for name, term in terms.items():
        assert term.shape == (16,), name
        assert term.dtype == x.dtype, name
        assert bool(term.isfinite().all()), name
        if name != "nll":
            assert bool((term >= 0).all()), name
    total = torch.stack(list(terms.values())).sum(0)
    loss = flow.loss(x, None, seeds.generator(1))
    torch.testing.assert_close(loss, total)
    gradients = torch.autograd.grad(loss.mean(), list(flow.parameters()))
    for (name, _), gradient in zip(flow.named_parameters(), gradients, strict=True):
        assert bool(gradient.isfinite().all()), name
        assert bool((gradient != 0).any()), name


@pytest.mark.parametrize("volume", ["surrogate", "conditional", "restoring", "exact", "exact_encoder"])
@pytest.mark.parametrize("spec", ["sphere:2", "torus:2", "so3"])
def test_chunks_of_a_batch_have_its_losses(spec, volume):
    """A sample's loss depends on its rows alone: processes share a batch, cut at multiples of the strides."""
    flow = small(spec, volume=volume, noise=0.1, dtype=torch.float64)
    flow.set_progress(0.3)
    x, auxiliary = data(flow, 24), drawn(flow, 24)
    whole = flow.losses(x, None, auxiliary)
    cuts = [slice(0, 8), slice(8, 20), slice(20, 24)]
    parts = [flow.losses(x[cut], None, {name: rows[cut] for name, rows in auxiliary.items()}) for cut in cuts]
    for name, values in whole.items():
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("volume", ["surrogate", "conditional", "restoring"])
@pytest.mark.parametrize("spec", SPECS)
def test_auxiliary_follows_its_generator(spec, volume):
    flow = small(spec, volume=volume, probes=2, noise=0.1)
    state = torch.get_rng_state()
    first, again, other = (drawn(flow, 6, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert set(first) == {"latent", "proposal", "probes", "noise"}
    for name, rows in first.items():
        assert rows.shape[0] == 6, name
        assert torch.equal(rows, again[name]), name
        assert not torch.equal(rows, other[name]), name
    assert first["probes"].shape == (6, 2, flow.manifold.dim)


@pytest.mark.parametrize(("latent_stride", "proposal_stride"), [(1, 1), (2, 4), (3, 5)])
def test_strided_terms_keep_the_mean(latent_stride, proposal_stride):
    """A term at one sample in s has, spread out, the mean over the samples it was evaluated at."""
    flow = small("torus:2", latent_stride=latent_stride, proposal_stride=proposal_stride)
    full = small("torus:2", latent_stride=1, proposal_stride=1)
    full.load_state_dict(flow.state_dict())
    x, auxiliary = data(flow, 30), drawn(flow, 30)
    found, expected = flow.losses(x, None, auxiliary), full.losses(x, None, auxiliary)
    for name, stride in (("latent_reconstruction", latent_stride), ("proposal_reconstruction", proposal_stride)):
        torch.testing.assert_close(found[name].mean(), expected[name][::stride].mean())
        assert int((found[name] != 0).sum()) == math.ceil(30 / stride)
    torch.testing.assert_close(found["nll"], expected["nll"])


@pytest.mark.parametrize(
    ("volume", "specs"),
    [
        ("restoring", ["euclidean:2", "sphere:1", "sphere:2", "so3", "lorentz:3", "poincare:2", "sphere:2 x torus:1"]),
        ("restoring", ["torus:4", "torus:8"]),
        ("exact_encoder", ["torus:1", "torus:2", "torus:3", "sphere:4", "so3 x torus:1", "points:3,2", "points:3,3"]),
        ("surrogate", ["torus:9", "sphere:9", "points:5,3"]),
    ],
)
def test_auto_is_the_volume_that_was_learned_furthest(volume, specs):
    """Of the side that restores where dimensions are few, on tori where they are not; never on clouds of points."""
    for spec in specs:
        assert FreeFormFlow(from_spec(spec), width=8, depth=1).volume == volume, spec


def test_auto_is_the_volume_at_the_solved_latent_for_flows_that_begin_near_the_data():
    for spec in ("sphere:2", "torus:2", "torus:8"):
        assert models.MixtureBaseFlow(from_spec(spec), components=2, width=8, depth=1).volume == "inverse"
    assert models.MixtureBaseFlow(from_spec("torus:9"), components=2, width=8, depth=1).volume == "surrogate"
    assert models.DistilledFlow(from_spec("sphere:2"), width=8, depth=1).volume == "inverse"
    assert models.DistilledFlow(from_spec("torus:7"), width=8, depth=1).volume == "restoring"


@pytest.mark.parametrize("spec", ["sphere:2", "torus:2", "so3", "poincare:2"])
def test_exact_volumes_agree_where_the_networks_are_inverse(spec):
    """At the start both are the identity, and the likelihood term is that of the base."""
    flows = [small(spec, shaken=0.0, volume=volume) for volume in ("exact", "exact_encoder")]
    x = data(flows[0], 8)
    first, second = (flow.losses(x, None, drawn(flow, 8))["nll"] for flow in flows)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(first, -flows[0].base.log_prob(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["displacement", "projection"])
@pytest.mark.parametrize("spec", SPECS)
def test_an_untrained_flow_is_its_base(spec, head):
    flow = small(spec, shaken=0.0, head=head)
    x = data(flow, 10)
    size = 1e-3 if x.dtype == torch.float32 else 1e-8
    assert float(flow.manifold.dist(flow.encode(x), x).max()) < size
    assert float(flow.manifold.dist(flow.decode(x), x).max()) < size
    torch.testing.assert_close(flow.log_prob(x), flow.base.log_prob(x), rtol=size, atol=size)
    terms = flow.losses(x, None, drawn(flow, 10))
    for name in TERMS - {"nll"}:
        assert float(terms[name].detach().max()) < 1e-5, name


@pytest.mark.parametrize("spec", SPECS)
def test_points_in_and_points_out(spec):
    """Any batch shape for the density, rows for the maps; everything on the manifold and in its dtype."""
    flow = small(spec, shaken=0.02)
    x, shape = data(flow, 6), flow.manifold.shape
    for y in (flow.encode(x), flow.decode(x), flow.sample(6, generator=seeds.generator(0))):
        assert y.shape == (6, *shape)
        assert y.dtype == x.dtype
        assert flow.manifold._check_point_on_manifold(y.detach(), atol=1e-4)[0]
    with torch.no_grad():
        flat = flow.log_prob(x)
        assert flow.log_prob(x[0]).shape == ()
        assert flow.log_prob(x.reshape(2, 3, *shape)).shape == (2, 3)
        assert flow.log_prob(x[:0]).shape == (0,)
        size = 1e-4 if x.dtype == torch.float32 else 1e-9
        torch.testing.assert_close(flow.log_prob(x[0]), flat[0], rtol=size, atol=size)
        torch.testing.assert_close(flow.log_prob(x.reshape(2, 3, *shape)).flatten(), flat, rtol=size, atol=size)
        record = flow.score(x, chunk=4)
        torch.testing.assert_close(record.log_prob, flat, rtol=size, atol=size)
        for column in (record.log_prob, record.residual, record.converged, record.steps):
            assert column.shape == (6,)
        assert bool(record.converged.all())
        assert torch.equal(flow.log_prob(x), flat), "log_prob draws nothing"


@pytest.mark.parametrize("spec", ["sphere:2", "torus:2", "so3", "lorentz:2"])
def test_samples_follow_their_generator_and_not_the_chunk(spec):
    flow = small(spec)
    state = torch.get_rng_state()
    whole, again, other = (flow.sample(25, generator=seeds.generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(whole, again)
    assert not torch.equal(whole, other)
    chunked = flow.sample(25, generator=seeds.generator(1), chunk=7)
    torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-5)
    assert flow.sample(0).shape == (0, *flow.manifold.shape)
    assert not whole.requires_grad


CONTEXTS = {
    "continuous": ({"context_features": 2}, lambda n: torch.linspace(-1, 1, 2 * n).reshape(n, 2)),
    "categorical": ({"context_categories": 3}, lambda n: torch.arange(n) % 3),
}


@pytest.mark.parametrize("volume", ["surrogate", "conditional", "restoring", "exact", "exact_encoder"])
@pytest.mark.parametrize("kind", list(CONTEXTS))
def test_a_context_conditions_everything(kind, volume):
    options, make = CONTEXTS[kind]
    flow, context = small("sphere:2", volume=volume, shaken=0.15, **options), make(12)
    x = data(flow, 12)
    loss = flow.loss(x, context, seeds.generator(0))
    assert loss.shape == (12,)
    gradients = torch.autograd.grad(loss.mean(), list(flow.parameters()))
    assert all(bool((gradient != 0).any()) for gradient in gradients)
    turned = context.roll(1, 0)
    with torch.no_grad():
        for function in (
            flow.encode,
            flow.decode,
            flow.log_prob,
            flow.log_prob_from_encoder,
            flow.reconstruction_error,
        ):
            assert float((function(x, context) - function(x, turned)).abs().max()) > 1e-4
        one, other = (flow.sample(12, c, seeds.generator(0), chunk=5) for c in (context, turned))
        assert float((one - other).abs().max()) > 1e-4
        whole = flow.log_prob(x, context)
        batched = flow.log_prob(x.reshape(3, 4, 3), context.reshape(3, 4, *context.shape[1:])).flatten()
        torch.testing.assert_close(batched, whole, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(flow.score(x, context, chunk=5).log_prob, whole, rtol=1e-4, atol=1e-4)
        assert flow.round_trip(12, context, seeds.generator(0)).shape == (12,)
        terms = flow.validation(x, context, drawn(flow, 12))
        assert all(term.shape == (12,) for term in terms.values())


@pytest.mark.parametrize(
    ("options", "context"),
    [
        ({"context_features": 2}, None),
        ({"context_features": 2}, torch.ones(4, 3)),
        ({"context_categories": 3}, torch.tensor([0, 1, 2, 3])),
        ({"context_categories": 3}, torch.ones(4)),
        ({}, torch.ones(4, 1)),
    ],
    ids=["missing", "too wide", "beyond the categories", "not whole numbers", "not wanted"],
)
def test_a_wrong_context_is_refused(options, context):
    flow = small("sphere:2", **options)
    x = data(flow, 4)
    calls = {
        "encode": lambda: flow.encode(x, context),
        "decode": lambda: flow.decode(x, context),
        "sample": lambda: flow.sample(4, context),
        "log_prob": lambda: flow.log_prob(x, context),
        "losses": lambda: flow.losses(x, context, drawn(flow, 4)),
    }
    for call in calls.values():
        with pytest.raises(UsageError, match="context"):
            call()


def test_a_context_of_both_kinds_is_refused():
    with pytest.raises(UsageError, match="continuous or categorical"):
        small("sphere:2", context_features=1, context_categories=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"volume": "exakt"}, "volume is 'exakt'; expected one of"),
        ({"probes": 0}, "probes is 0; expected at least 1"),
        ({"head": "tail"}, "head is 'tail'; expected one of"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        small("sphere:2", **options)


@pytest.mark.parametrize("volume", ["conditional", "restoring"])
def test_a_side_for_each_probe_is_refused_on_clouds(volume):
    with pytest.raises(UsageError, match=f"volume is '{volume}', which needs derivatives.*choose 'surrogate'"):
        FreeFormFlow(from_spec("points:3,2"), width=8, depth=1, volume=volume)


@pytest.mark.parametrize("spec", ["sphere:2", "so3 x torus:2", "poincare:2"])
def test_hyperparameters_and_tensors_are_the_whole_model(spec):
    flow = small(spec, seed=3, probes=2, head="projection")
    assert flow.hyperparameters["seed"] == 3
    signature = set(inspect.signature(FreeFormFlow).parameters) - {"manifold"}
    assert set(flow.hyperparameters) == signature
    assert all(isinstance(value, int | float | str) for value in flow.hyperparameters.values())
    other = models.resolve("free-form-flow")(from_spec(flow.manifold.spec), **flow.hyperparameters)
    other = other.to(next(flow.parameters()).dtype)
    assert other.hyperparameters == flow.hyperparameters
    assert other.load_state_dict(flow.state_dict()).missing_keys == []
    x = data(flow, 5)
    assert torch.equal(other.log_prob(x), flow.log_prob(x))
    assert torch.equal(other.sample(5, generator=seeds.generator(0)), flow.sample(5, generator=seeds.generator(0)))


def test_a_seed_decides_the_start_and_networks_start_apart():
    one, same, other = (FreeFormFlow(from_spec("sphere:2"), width=8, depth=1, seed=seed) for seed in (0, 0, 1))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])
    first, third, decoding = (next(g.parameters()) for g in (one.encoder, other.encoder, one.decoder))
    assert not torch.equal(first, third)
    assert not torch.equal(first, decoding)


def test_reconstruction_tightens_with_progress():
    flow = small("sphere:2", tightening=8.0)
    x, auxiliary = data(flow, 8), drawn(flow, 8)
    found = []
    for progress in (0.0, 0.5, 1.0):
        flow.set_progress(progress)
        found.append(flow.losses(x, None, auxiliary))
    for name in TERMS - {"nll"}:
        torch.testing.assert_close(found[1][name], found[0][name] * 8**0.5)
        torch.testing.assert_close(found[2][name], found[0][name] * 8)
    torch.testing.assert_close(found[2]["nll"], found[0]["nll"])


def test_noise_on_the_data_fades():
    flow = small("sphere:2", noise=0.3)
    clean = small("sphere:2", noise=0.0)
    clean.load_state_dict(flow.state_dict())
    x, auxiliary = data(flow, 8), drawn(flow, 8)
    off = []
    for progress in (0.0, 0.5, 1.0):
        flow.set_progress(progress)
        off.append(
            float((flow.losses(x, None, auxiliary)["nll"] - clean.losses(x, None, auxiliary)["nll"]).abs().mean())
        )
    assert off[0] > off[1] > off[2] == 0.0


def test_waves_are_let_in_with_progress():
    flow = small("torus:2", frequency=4.0, waves=20, annealing=0.5, shaken=0.1)
    x = data(flow, 8)
    images = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        flow.set_progress(progress)
        images.append((flow.encode(x), flow.decode(x)))
    for side in (0, 1):
        assert not torch.equal(images[0][side], images[1][side])
        assert not torch.equal(images[1][side], images[2][side])
        assert torch.equal(images[2][side], images[3][side])


def test_weights_of_zero_leave_a_term_at_nothing():
    flow = small(
        "sphere:2", latent_reconstruction=0.0, proposal_reconstruction=0.0, reconstruction=0.0, fold_penalty=0.0
    )
    terms = flow.losses(data(flow, 8), None, drawn(flow, 8))
    assert all(float(term.detach().abs().max()) == 0 for name, term in terms.items() if name != "nll")


def test_a_fold_is_penalised():
    """A decoder turned inside out by a strong displacement has a negative determinant somewhere."""
    strong = small("torus:1", shaken=1.5, dtype=torch.float64)
    mild = small("torus:1", shaken=0.01, dtype=torch.float64)
    x = data(strong, 64)
    assert float(strong.losses(x, None, drawn(strong, 64))["fold"].detach().max()) > 0
    assert float(mild.losses(x, None, drawn(mild, 64))["fold"].detach().max()) == 0


@pytest.mark.parametrize("spec", ["sphere:2", "torus:5", "euclidean:2"])
def test_base_is_the_default_and_the_proposal_is_broad(spec):
    flow = small(spec)
    x = data(flow, 20)
    torch.testing.assert_close(flow.base.log_prob(x), default_base(flow.manifold).log_prob(x))
    wide = flow.proposal.sample(4000, generator=seeds.generator(0))
    narrow = flow.base.sample(4000, generator=seeds.generator(1))
    origin = flow.manifold.origin(1)
    spread = [float(flow.manifold.dist(origin, y).mean()) for y in (wide, narrow)]
    assert spread[0] > 2 * spread[1] if math.isinf(flow.manifold.log_volume) else spread[0] > 0.9 * spread[1]


def test_validation_in_many_dimensions_scores_fewer_rows_and_keeps_the_mean():
    flow = small("points:6,3,1", dtype=torch.float64)
    assert flow.manifold.dim == 21  # 3 times what is exact on every row
    x = data(flow, 7)
    nll = flow.validation(x)["nll"]
    scored = -flow.log_prob_from_encoder(x[::3])
    assert nll.shape == (7,)
    assert torch.allclose(nll.mean(), scored.mean())
    assert int((nll != 0).sum()) == 3
