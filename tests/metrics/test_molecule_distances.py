"""Distances of grouped values: closed forms, scipy, and errors against the spread over repeated draws."""

import math

import made_molecules as made
import pytest
import scipy.stats
import torch

from manifold_gen import seeds
from manifold_gen.metrics.molecules.distances import Grouped, alone, total_variation, transport_distance
from manifold_gen.metrics.molecules.features import Features, compare
from manifold_gen.metrics.molecules.graphs import read_graphs


def normal(count, seed, shift=0.0):
    return shift + torch.randn(count, generator=seeds.generator(seed), dtype=torch.float64)


def test_a_shift_costs_its_length():
    x = normal(50, 1)
    assert transport_distance(alone(x), alone(x - 0.75)).value == pytest.approx(0.75)
    assert transport_distance(alone(x), alone(x.flip(0))).value == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (40, 40), (53, 17)])
def test_transport_is_scipys_for_samples_of_any_two_sizes(n, m):
    x, y = normal(n, 2), normal(m, 3, 0.4).round(decimals=1)
    assert transport_distance(alone(x), alone(y)).value == pytest.approx(
        scipy.stats.wasserstein_distance(x.numpy(), y.numpy()), rel=1e-10
    )


def test_total_variation_of_known_shares():
    x, y = torch.tensor([1, 1, 1, 2]), torch.tensor([1, 2, 2, 3])
    assert total_variation(alone(x), alone(y)).value == pytest.approx((0.5 + 0.25 + 0.25) / 2)
    assert total_variation(alone(x), alone(x + 9)).value == 1.0
    assert total_variation(alone(x), alone(x[[3, 0, 0, 1]])).value == 0.0


def test_nothing_has_no_distance():
    nothing = Grouped(torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    for distance in (transport_distance, total_variation):
        assert math.isnan(distance(nothing, alone(torch.tensor([1, 2]))).value)


def grouped(seed, groups, shift):
    """Groups of five values that share a part, so that values are no independent draws."""
    shared = normal(groups, seed).repeat_interleave(5)
    values = shift + shared + 0.3 * normal(5 * groups, seed + 1)
    return Grouped(values, torch.arange(groups).repeat_interleave(5))


@pytest.mark.parametrize("coarse", [False, True])
def test_errors_are_the_spread_over_draws_of_whole_groups(coarse):
    found = []
    for k in range(150):
        x, y = grouped(100 + 10 * k, 80, 0.0), grouped(105 + 10 * k, 60, 1.0)
        if coarse:
            x, y = (Grouped((part.values > 0.5).to(torch.int64), part.groups) for part in (x, y))
        found.append(total_variation(x, y) if coarse else transport_distance(x, y))
    spread = torch.tensor([e.value for e in found], dtype=torch.float64).std()
    claimed = torch.tensor([e.se for e in found], dtype=torch.float64).mean()
    # The spread of 150 values is itself known to 1 / √300 = 6 %: five of those.
    assert float(claimed / spread) == pytest.approx(1.0, abs=0.3)


def test_errors_that_take_values_for_independent_are_noticed():
    x, y = grouped(1, 80, 0.0), grouped(5, 60, 1.0)
    assert transport_distance(alone(x.values), alone(y.values)).se < 0.6 * transport_distance(x, y).se


def features(*parts):
    molecules = made.joined(*parts)
    return Features.read(molecules, read_graphs(molecules))


def test_bonds_that_are_longer_are_told_by_their_kind():
    found = compare(
        features(*[made.methane(1.12)] * 30, *[made.water()] * 60),
        features(*[made.methane(1.09)] * 30, *[made.water()] * 60),
        features(*[made.methane(1.10)] * 30, *[made.water()] * 60),
    )
    assert list(found.bond_lengths) == ["C-H", "O-H"]
    assert found.bond_lengths["C-H"].distance.value == pytest.approx(0.03)
    assert found.bond_lengths["C-H"].floor.value == pytest.approx(0.01)
    assert found.bond_lengths["O-H"].distance.value == pytest.approx(0.0, abs=1e-12)
    assert found.bond_kinds.distance.value == pytest.approx(0.0, abs=1e-12)


def test_molecules_without_rings_and_kinds_never_sampled_are_seen():
    reference = features(*[made.kekule_benzene()] * 40, *[made.methane()] * 40)
    found = compare(features(*[made.methane()] * 80), reference)
    assert found.rings.distance.value == pytest.approx(0.5)
    assert found.atom_counts.distance.value == pytest.approx(0.5)
    assert found.atom_count_shift.distance.value == pytest.approx(3.5)
    assert found.heavy_atom_shift.distance.value == pytest.approx(2.5)
    assert math.isnan(found.bond_lengths["C=C"].distance.value)
    assert found.rings.floor is None
    carbons = 40 * 7 / (40 * 17)
    assert found.elements.distance.value == pytest.approx(carbons - 1 / 5)


def test_features_of_some_molecules_are_those_of_them_alone():
    parts = [made.methane(), made.kekule_benzene(), made.water(), made.methane(1.1)]
    some, alone_ = features(*parts).of(torch.tensor([1, 3])), features(parts[1], parts[3])
    assert some.lengths["C-H"].values.sort().values.tolist() == alone_.lengths["C-H"].values.sort().values.tolist()
    assert some.rings.values.sort().values.tolist() == alone_.rings.values.sort().values.tolist()
    assert some.heavy.values.tolist() == alone_.heavy.values.tolist() == [6, 1]
    assert len(some.elements) == 17
