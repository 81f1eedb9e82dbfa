"""Kinds with noise: where it goes, what is seen of the data, and the bound that it gives."""

from __future__ import annotations

import math

import pytest
import torch

from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models import FreeFormFlow
from manifold_gen.models.dequantisation import kind_size, spread_of, with_noise
from manifold_gen.seeds import generator

CLOUD = PointCloud(4, 2, 3)


def molecules(size: float = 2.0, rows: int = 6) -> torch.Tensor:
    """Clouds of random positions whose kinds are one-hot of that size."""
    kinds = torch.randint(3, (rows, 4), generator=generator(0))
    positions = torch.randn(rows, 4, 2, generator=generator(1), dtype=torch.float64)
    features = size * torch.nn.functional.one_hot(kinds, 3).double()
    return CLOUD.projx(torch.cat([positions, features], -1))


def flow(**more) -> FreeFormFlow:
    return FreeFormFlow(CLOUD, width=8, depth=1, **more).double()


def test_one_hot_features_are_seen_and_others_are_not():
    features = molecules()[..., 2:]
    assert kind_size(features) == 2.0
    assert kind_size(features[..., :1]) == 0.0  # one column alone is a number
    assert kind_size(torch.zeros(5, 3)) == 0.0
    for place, value in ((0, 0.5), (1, 2.0), (2, -1.0)):
        broken = features.clone()
        broken[0, 0] = torch.eye(3)[0] * 2
        broken[0, 0, place] = value
        assert kind_size(broken) == 0.0


def test_noise_moves_features_alone_and_the_kind_is_still_the_largest():
    x, uniform = molecules(), torch.rand(6, 4, 3, generator=generator(2), dtype=torch.float64)
    noisy = with_noise(CLOUD, x, 2.0, uniform)
    assert torch.equal(noisy[..., :2], x[..., :2])
    assert torch.equal(noisy[..., 2:].argmax(-1), x[..., 2:].argmax(-1))
    torch.testing.assert_close(noisy[..., 2:] - x[..., 2:], 2.0 * (uniform - 0.5))


def test_training_dequantises_afresh_and_by_the_seed():
    model, x = flow(), molecules()
    drawn = model.auxiliary(6, generator(3))
    assert "kinds" not in drawn
    model.prepare(RaggedSplit.join(list(x)))
    assert float(model.kind_size) == 2.0
    one, two, other = (model.auxiliary(6, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(one["kinds"], two["kinds"])
    losses = [sum(model.losses(x, None, drawn | {"kinds": d["kinds"]} | {"probes": one["probes"]}).values())
              for d in (one, two, other)]  # fmt: skip
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


def test_the_data_are_brought_to_unit_size_without_turning_anything():
    model, x = flow(), molecules()
    model.prepare(RaggedSplit.join(list(x)))
    noisy = torch.cat([model.dequantised(x, generator(k)) for k in range(400)])
    latents = model.encode(noisy).detach().reshape(-1, 5)
    torch.testing.assert_close(latents.mean(0), torch.zeros(5, dtype=torch.float64), atol=0.02, rtol=0)
    torch.testing.assert_close(latents[:, 2:].var(0), torch.ones(3, dtype=torch.float64), atol=0.03, rtol=0)
    assert float(latents[:, :2].square().mean()) == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(model.decode(model.encode(x)), x, atol=1e-12, rtol=0)
    shift, scale = spread_of(CLOUD, x, 2.0)
    assert scale[0] == scale[1]
    log_det = 2 * 3 * scale[0].log() + 4 * scale[2:].log().sum()  # zero-mean positions have three free points
    expected = model.base.log_prob((x - shift) / scale) - log_det
    torch.testing.assert_close(model.log_prob(x).detach(), expected)


def test_the_bound_of_a_normal_density_is_the_mean_over_the_cubes():
    model, x = flow(), molecules(size=2.0)
    model.kind_size.fill_(2.0)  # an untrained flow is the identity: its density is the normal one
    found = model.elbo(x, generator(5), samples=2000)
    moments = x[..., :2].square().sum((-2, -1)) + (x[..., 2:].square() + 2.0**2 / 12).sum((-2, -1))
    expected = -0.5 * moments - 0.5 * CLOUD.dim * math.log(2 * math.pi) + 12 * math.log(2.0)
    torch.testing.assert_close(found, expected, atol=0.25, rtol=0)
    inside = torch.special.ndtr(x[..., 2:] + 1.0) - torch.special.ndtr(x[..., 2:] - 1.0)
    exact = -0.5 * (x[..., :2].square().sum((-2, -1)) + 6 * math.log(2 * math.pi)) + inside.log().sum((-2, -1))
    assert bool((expected <= exact).all()), "Jensen's inequality, in closed form on both sides"


def test_a_bound_without_noises_is_refused():
    with pytest.raises(UsageError, match="samples is 0"):
        flow().elbo(molecules(), samples=0)
