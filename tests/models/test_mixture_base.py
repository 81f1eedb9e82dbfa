"""Flows from a fitted mixture: where they start, what they keep, and the laws of models."""

from __future__ import annotations

import pytest
import torch
from diffeomorphisms import points

import manifold_gen as mg
from manifold_gen import seeds
from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Mixture, VonMisesProduct, fit_mixture
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Torus, from_spec
from manifold_gen.models import MixtureBaseFlow, MixtureBaseMatching, build
from manifold_gen.models.mixture_base import BY_HEART, HELD_OUT, QUICK, MixtureBase, candidates
from manifold_gen.testing import check_model

SMALL = {"width": 16, "depth": 1, "frequency": 2.0, "waves": 8}
SPECS = ["sphere:2", "torus:2", "so3", "euclidean:2", "poincare:2"]


def bumps(n=400, seed=0):
    """Points of two von Mises bumps."""
    law = Mixture(VonMisesProduct(torch.tensor([[-1.0, 0.5], [1.5, -1.0]]), torch.full((2, 2), 20.0)), torch.zeros(2))
    return law.sample(n, generator=seeds.generator(seed))


@pytest.mark.parametrize("spec", SPECS)
def test_the_laws_of_models(spec):
    manifold = from_spec(spec)
    dtype = torch.float64 if spec.startswith("poincare") else torch.float32
    flow = MixtureBaseFlow(manifold, components=4, reconstruction=30.0, latent_reconstruction=30.0, **SMALL).to(dtype)
    flow.prepare(Split(points(manifold, 60, dtype=dtype)))
    check_model(flow, points(manifold, 20, dtype=dtype), steps=80, batch=96)


@pytest.mark.parametrize("spec", ["sphere:2", "torus:2"])
def test_the_laws_of_models_hold_for_flow_matching_from_a_mixture(spec):
    manifold = from_spec(spec)
    flow = MixtureBaseMatching(manifold, components=4, steps=8, **SMALL)
    flow.prepare(Split(points(manifold, 60)))
    check_model(flow, points(manifold, 20), steps=80, batch=96)


@pytest.mark.parametrize("kind", [MixtureBaseFlow, MixtureBaseMatching])
@pytest.mark.parametrize("spec", SPECS)
def test_it_begins_at_the_mixture_s_likelihood_whatever_room_is_left(spec, kind):
    manifold = from_spec(spec)
    x = points(manifold, 200, dtype=torch.float64)
    flow = kind(manifold, components=8, **SMALL).double()
    flow.prepare(Split(x))
    order = torch.randperm(200, generator=seeds.generator(0))
    held = round(HELD_OUT * 200)
    mixture = fit_mixture(manifold, x[order[held:]], x[order[:held]], candidates(8), 0, QUICK, BY_HEART)
    with torch.no_grad():
        assert torch.allclose(flow.log_prob(x), mixture.log_prob(x), atol=1e-6)
    drawn = flow.sample(500, generator=seeds.generator(1))
    alike = mixture.sample(500, generator=seeds.generator(1))
    assert torch.allclose(drawn.mean(0), alike.mean(0), atol=0.3)


@pytest.mark.parametrize("kind", [MixtureBaseFlow, MixtureBaseMatching])
def test_training_goes_on_from_there_and_the_run_is_loaded_whole(tmp_path, kind):
    x = bumps()
    data = Dataset("bumps", Torus(2), Split(x[:300]), Split(x[300:350]), Split(x[350:]))
    flow = kind(Torus(2), components=8, **SMALL)
    mg.fit(flow, data, mg.TrainingConfig(steps=20, batch_size=64), tmp_path / "run", quiet=True)
    loaded = mg.load(tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(loaded.log_prob(x[350:]), flow.log_prob(x[350:]))
        assert float(flow.log_prob(x[350:]).mean()) > -1.2  # uniform: −3.68
    before = flow.base.mixture.logits.clone()
    flow.prepare(Split(bumps(seed=1)))
    assert torch.equal(flow.base.mixture.logits, before)


def test_a_fit_has_no_members_but_those_it_found():
    base = MixtureBase(Torus(2), 64)
    base.fit(bumps(40))
    assert len(base.mixture.logits) < 10
    assert bool(base.log_prob(bumps()).isfinite().all())


def test_a_fitted_mixture_is_read_into_one_that_knows_nothing():
    base, other = MixtureBase(Torus(2), 64), MixtureBase(Torus(2), 64)
    base.fit(bumps(200))
    other.load_state_dict(base.state_dict())
    assert torch.equal(other.log_prob(bumps()), base.log_prob(bumps()))


def test_a_mixture_that_knows_its_points_by_heart_is_not_taken():
    x = torch.randn(150, 5, generator=seeds.generator(3))
    manifold = from_spec("euclidean:5")
    taken = fit_mixture(manifold, x[:120], x[120:], [1, 4, 16], 0, QUICK, BY_HEART)
    known, unknown = (float(taken.log_prob(part).mean()) for part in (x[:120], x[120:]))
    assert len(taken.logits) < 2 * 16
    assert known - unknown <= BY_HEART or len(taken.logits) == 2  # one, and wider


def test_few_points_get_few_members():
    base = MixtureBase(Torus(2), 64)
    base.fit(bumps(40))  # 36 of them are fitted, and 9 numbers describe a member
    assert len(base.mixture.logits) <= 4


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="components is 0"):
        MixtureBaseFlow(Torus(1), components=0)
    with pytest.raises(UsageError, match="3 points, expected at least 20"):
        MixtureBase(Torus(1), 2).fit(torch.zeros(3, 1))
    for kind in (MixtureBaseFlow, MixtureBaseMatching):
        with pytest.raises(UsageError, match=f"{kind.__name__} begins at a mixture.*choose free-form-flow"):
            build(kind, from_spec("clouds:3,2"), components=2, width=8, depth=1).at(4)
