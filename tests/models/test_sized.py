"""A model for clouds of every size: the law of sizes, shared weights, training, files."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

import manifold_gen as mg
from manifold_gen import models
from manifold_gen.checkpoint import load
from manifold_gen.data.base import Dataset
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.point_clouds import PointClouds
from manifold_gen.models import EndpointFlow
from manifold_gen.models.pairing import kabsch, paired
from manifold_gen.seeds import generator
from manifold_gen.testing import FAILURE_RATE

CLOUDS = PointClouds(2, 1)
SMALL = {"width": 16, "pair_width": 8, "depth": 1}


def clouds(sizes, seed=0):
    """Random centred clouds of those sizes."""
    return RaggedSplit.join(
        [CLOUDS.at(n).projx(torch.randn(n, 3, generator=generator(seed, i))) for i, n in enumerate(sizes)]
    )


def small_model(**more):
    return models.build(EndpointFlow, CLOUDS, features="continuous", **SMALL, **more)


def test_sizes_are_drawn_as_often_as_they_were_seen():
    model = small_model()
    model.prepare(clouds([2] * 10 + [3] * 30 + [5] * 60))
    drawn = model.draw_sizes(2000, generator(1))
    seen = [int((drawn == n).sum()) for n in (2, 3, 5)]
    assert sum(seen) == 2000
    assert stats.chisquare(seen, [200, 600, 1200]).pvalue > FAILURE_RATE
    assert model.log_prob_sizes(torch.tensor([5, 4])).exp().tolist() == pytest.approx([0.6, 0.0])


def test_the_bound_holds_the_law_of_sizes_and_keeps_the_order():
    model = small_model()
    model.prepare(clouds([2] * 10 + [3] * 30))
    split = clouds([3, 2, 3])
    found = model.elbo(split, generator(3), samples=200)
    for row, cloud in enumerate(split.clouds):
        alone = model.at(len(cloud)).elbo(cloud.expand(20, -1, -1), generator(4), samples=200)
        want = alone.mean() + model.log_prob_sizes(split.sizes[row])
        assert abs(float(found[row] - want)) < 5 * float(alone.std())


RESIZABLE = {
    "flow-matching": {"steps": 2},
    "free-form-flow": {},
    "flow-map": {"steps": 2},
    "mean-flow": {"steps": 2},
    "diffusion": {"steps": 2},
    "endpoint-flow": {"steps": 2, "features": "continuous"},
}


@pytest.mark.parametrize("name", RESIZABLE)
def test_one_model_of_each_kind_fits_clouds_of_all_sizes(name):
    model = models.build(models.resolve(name), CLOUDS, width=8, depth=1, **RESIZABLE[name])
    split = clouds([2, 3, 5] * 8)
    before = [parameter.clone() for parameter in model.parameters()]
    data = Dataset("clouds", CLOUDS, split, clouds([2, 3]), clouds([3]))
    mg.fit(model, data, mg.TrainingConfig(steps=4, batch_size=4, lr=1e-2), quiet=True)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    drawn = model.sample(12, generator=generator(5))
    assert all(float(cloud[:, :2].mean(0).abs().max()) < 1e-5 for cloud in drawn.clouds)
    assert set(drawn.sizes.tolist()) == {2, 3, 5}


@pytest.mark.parametrize("name", ["flow-matching", "free-form-flow", "diffusion"])
def test_at_another_size_a_model_is_what_it_would_be_there(name):
    kind, size = models.resolve(name), {"width": 8, "depth": 1, "seed": 3}
    moved, made = kind(CLOUDS.at(2), **size).double().on_size(CLOUDS.at(4)), kind(CLOUDS.at(4), **size).double()
    x = made.base.sample(3, generator=generator(6)).double()
    assert torch.equal(moved.log_prob(x), made.log_prob(x))
    losses = [
        torch.stack(list(model.losses(x, None, model.auxiliary(3, generator(7))).values())) for model in (moved, made)
    ]
    assert torch.equal(*losses)


def test_samples_have_their_sizes_and_centres():
    model = small_model()
    model.prepare(clouds([2, 3, 3]))
    drawn = model.sample(20, generator=generator(2), steps=2)
    assert set(drawn.sizes.tolist()) <= {2, 3}
    assert all(float(cloud[:, :2].mean(0).abs().max()) < 1e-6 for cloud in drawn.clouds)
    fixed = model.sample(4, generator=generator(2), sizes=torch.tensor([7, 2, 7, 4]), steps=2)
    assert [len(cloud) for cloud in fixed.clouds] == [7, 2, 7, 4]


def test_every_size_has_the_same_weights():
    model = small_model()
    first, second = model.at(3), model.at(8)
    assert all(a is b for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert (first.manifold.spec, second.manifold.spec) == ("points:3,2,1", "points:8,2,1")
    x = second.base.sample(2, generator=generator(3))
    assert torch.equal(
        model.losses(x, None, second.auxiliary(2, generator(4)))["positions"].isfinite(), torch.ones(2) > 0
    )


def test_it_is_trained_saved_and_loaded_like_any_model(tmp_path):
    train, val = clouds([2, 3, 4] * 20), clouds([2, 3, 4] * 4, seed=1)
    dataset = Dataset("clouds", CLOUDS, train, val, val)
    model = small_model()
    result = mg.fit(
        model, dataset, mg.TrainingConfig(steps=12, batch_size=8, eval_every=6), tmp_path / "run", quiet=True
    )
    again = load(tmp_path / "run")
    assert again.counts.tolist()[:6] == [0, 0, 20, 20, 20, 0]
    one, two = (m.sample(5, generator=generator(5), steps=3) for m in (result.model, again))
    assert torch.equal(one.x, two.x)
    assert float(again.member.scale) == pytest.approx(float(train.x[:, :2].square().mean().sqrt()), rel=1e-5)


def test_resuming_changes_nothing(tmp_path):
    dataset = Dataset("clouds", CLOUDS, clouds([2, 3] * 16), clouds([2, 3]), clouds([2]))
    config = mg.TrainingConfig(steps=8, batch_size=8, eval_every=4, checkpoint_every=4)
    whole = mg.fit(small_model(), dataset, config, quiet=True).model
    folder = tmp_path / "run"

    def stop(record):
        if record["step"] == 4 and record["split"] == "val":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mg.fit(small_model(), dataset, config, folder, callbacks=[stop], quiet=True)
    rest = mg.fit(small_model(), dataset, config, folder, resume=True, quiet=True).model
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True))


def test_a_model_of_one_size_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match="choose endpoint-flow"):
        models.build(models.MoserFlow, CLOUDS, width=8, depth=1)


def test_a_model_without_data_knows_no_sizes():
    with pytest.raises(UsageError, match="has not met any data"):
        small_model().sample(2)


def test_clouds_beyond_the_largest_are_refused():
    with pytest.raises(DataError, match="1100 points"):
        small_model().prepare(RaggedSplit(torch.zeros(1100, 3), sizes=torch.tensor([1100])))


def test_pairing_shortens_paths_and_finds_a_moved_copy():
    x = CLOUDS.at(6).projx(torch.randn(5, 6, 3, generator=generator(6)))
    turn = torch.linalg.qr(torch.randn(5, 2, 2, generator=generator(7)))[0]
    z = CLOUDS.at(6).projx(torch.randn(5, 6, 3, generator=generator(8)))
    near = paired(z, x, 2)

    def length(z):
        return (z - x)[..., :2].square().sum((-1, -2))

    assert bool((length(near) <= length(z) + 1e-5).all())
    assert torch.allclose(near[..., 2].sort(-1).values, z[..., 2].sort(-1).values)
    assert torch.allclose((x[..., :2] @ turn) @ kabsch(x[..., :2] @ turn, x[..., :2]), x[..., :2], atol=1e-5)
