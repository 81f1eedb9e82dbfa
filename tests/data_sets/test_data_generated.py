"""Generated sets: seeded, of the listed size, drawn from the density they carry."""

import pytest
import torch

from manifold_gen.data import list_datasets, load_dataset

GENERATED = [s for s in list_datasets() if s.name.startswith(("so3_", "checkerboard", "hyperbolic_"))]


@pytest.mark.parametrize("source", GENERATED, ids=lambda source: source.name)
def test_points_are_drawn_from_the_density(source):
    data = load_dataset(source.name)
    x = torch.cat([data.train.x, data.val.x, data.test.x])
    assert data.manifold.spec == source.manifold
    assert len(x) == source.rows
    assert x.dtype == torch.float32
    x = x[:4000] if source.manifold == "so3" else x
    with torch.no_grad():
        of_data = data.density.log_prob(x)
        fresh = data.density.log_prob(data.density.sample(4000, generator=torch.Generator().manual_seed(5)))
    fresh = fresh[torch.isfinite(fresh)]
    assert bool(torch.isfinite(of_data).all())
    error = (of_data.double().var() / len(x) + fresh.double().var() / len(fresh)).sqrt()
    # difference of two means: 4.5 standard errors are exceeded with probability 7e-6 (and rounding on flat densities)
    assert abs(float(of_data.double().mean() - fresh.double().mean())) < 4.5 * float(error) + 1e-5


@pytest.mark.parametrize("source", GENERATED, ids=lambda source: source.name)
def test_points_are_on_the_manifold_and_the_draw_is_seeded(source):
    one = load_dataset(source.name, dtype=torch.float64, size=1000)
    same = load_dataset(source.name, dtype=torch.float64, size=1000)
    other = load_dataset(source.name, dtype=torch.float64, size=1000, draw_seed=1)
    assert torch.equal(one.train.x, same.train.x)
    assert not torch.equal(one.train.x, other.train.x)
    assert float((one.manifold.projx(one.train.x) - one.train.x).abs().max()) < 1e-12
    assert torch.equal(one.density.log_prob(one.train.x), other.density.log_prob(one.train.x))
