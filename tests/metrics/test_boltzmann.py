"""Likelihood with its floor, distances on the line and effective sample sizes, on laws in closed form."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from manifold_gen import seeds
from manifold_gen.data.base import Split
from manifold_gen.distributions.base import Distribution
from manifold_gen.energies import Constants, DoubleWell, Known, LennardJones, PairEnergy
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds import from_spec
from manifold_gen.metrics import Estimate
from manifold_gen.metrics.energies import (
    PUBLISHED_VALUES,
    compare_distances,
    compare_energies,
    effective_sample_size,
    effective_share,
    evaluate_boltzmann,
    likelihood_with_floor,
    line_wasserstein,
    published_values,
)


class Trapped(PairEnergy):
    """Particles that meet only the trap: a normal law, all of whose constants are known."""

    name, trap = "trap", 1.0

    def __init__(self, n=3, p=2):
        super().__init__(n, p)
        log_z = self.dim / 2 * math.log(2 * math.pi)
        parts = (Known(value, 0.0, "closed form") for value in (log_z, self.dim / 2, log_z + self.dim / 2))
        self.constants = Constants(*parts)

    def pair(self, squared):
        return torch.zeros_like(squared)


class Normal(Distribution):
    """A normal law on clouds of zero mean, whose claimed density may be off by ``surplus`` and missing on a part."""

    def __init__(self, scale=1.0, n=3, p=2, surplus=0.0, reach=math.inf):
        super().__init__(from_spec(f"points:{n},{p},0"))
        self.scale, self.surplus, self.reach = scale, surplus, reach

    def sample(self, n, context=None, generator=None):
        return self.scale * self.manifold.projx(torch.randn(n, *self.manifold.shape, generator=generator))

    def log_prob(self, x, context=None):
        squared = x.square().sum((-2, -1)) / self.scale**2
        scale = 0.5 * math.log(2 * math.pi * self.scale**2)
        value = self.surplus - squared / 2 - self.manifold.dim * scale
        return torch.where(squared < self.reach, value, -math.inf)


ENERGY = Trapped()
FEW = {"at_least": 500, "count": 500}


def clouds(count=4000, seed=0, scale=1.0):
    return Normal(scale).sample(count, generator=seeds.generator(seed))


def kl(scale):
    """KL of the unit normal law from one of another width, in four dimensions."""
    return ENERGY.dim * (math.log(scale) + 0.5 / scale**2 - 0.5)


# ---- likelihood with its floor -------------------------------------------------------------------------------------


def test_the_law_itself_stands_on_its_floor_without_excess():
    report = likelihood_with_floor(Normal(), Split(clouds()), ENERGY)
    assert report.valid, report.faults
    assert report.excess.value == pytest.approx(0, abs=1e-6)
    assert abs(report.nll.value - ENERGY.entropy_floor.value) < 4.9 * report.nll.se
    assert report.published_nll.value == pytest.approx(report.nll.value - 2 * math.log(2 * math.pi))
    assert report.published_floor == pytest.approx(2)


@pytest.mark.parametrize("scale", [0.8, 1.3])
def test_excess_is_the_divergence(scale):
    report = likelihood_with_floor(Normal(scale), Split(clouds()), ENERGY)
    assert report.valid
    assert abs(report.excess.value - kl(scale)) < 4.9 * report.excess.se
    assert report.excess.se < report.nll.se
    assert report.likelihood.gap == report.excess.value


def test_a_mean_below_the_floor_is_invalid():
    report = likelihood_with_floor(Normal(surplus=0.5), Split(clouds()), ENERGY)
    assert not report.valid
    assert len(report.faults) == 2
    assert "below the entropy of the law, 5.676" in report.faults[0]
    assert "excess" in report.faults[1]


def test_a_mean_below_the_floor_by_less_than_its_error_is_valid():
    good = likelihood_with_floor(Normal(), Split(clouds()), ENERGY)
    floor = good.floor.value
    for below, valid in ((1.9, True), (2.1, False)):
        error = math.hypot(0.03, 0.04)
        shifted = replace(good.likelihood, nll=floor - below * error, nll_se=0.03)
        report = replace(good, likelihood=shifted, floor=Known(floor, 0.04, ""), excess=Estimate(0.0, 0.1))
        assert report.valid is valid


def test_an_excess_shows_what_the_mean_hides():
    """0.1 nats too many pass unseen in the mean of 500 points, not in the paired mean."""
    report = likelihood_with_floor(Normal(surplus=0.1), Split(clouds(500, seed=3)), ENERGY)
    assert [fault for fault in report.faults if "excess" not in fault] == []
    assert not report.valid


def test_points_without_a_density_are_counted():
    split = Split(clouds(500))

    class Picky(Normal):
        def score(self, x, context=None):
            record = super().score(x, context)
            return replace(record, converged=torch.isfinite(record.log_prob))

    report = likelihood_with_floor(Picky(reach=10.0), split, ENERGY, batch=33)
    far = int((split.x.double().square().sum((1, 2)) >= 10).sum())
    assert report.likelihood.unconverged == far > 1
    assert "no preimage" in report.faults[0]
    none = likelihood_with_floor(Picky(reach=0.0), split, ENERGY)
    assert math.isnan(none.nll.value)
    assert not none.valid


def test_nothing_is_said_of_an_unknown_floor():
    energy = Trapped()
    energy.constants = None
    report = likelihood_with_floor(Normal(surplus=3.0), Split(clouds(100)), energy)
    assert report.floor is report.excess is report.published_floor is None
    assert report.valid


def test_an_empty_split_is_refused():
    with pytest.raises(UsageError, match="empty split"):
        likelihood_with_floor(Normal(), Split(torch.zeros(0, 3, 2)), ENERGY)


@pytest.mark.parametrize(
    ("energy", "floor"), [(DoubleWell(), 1.61), (LennardJones(13), -16.2), (LennardJones(55), -90.1)]
)
def test_floors_in_the_published_convention(energy, floor):
    assert energy.entropy_floor.value - energy.published_offset == pytest.approx(floor, abs=0.05)


# ---- distances on the line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (5, 8), (6, 9), (40, 3)])
def test_line_wasserstein_of_any_sizes(n, m):
    random = np.random.default_rng(n * m)
    x, y = random.normal(size=n), 2 + random.normal(size=m)
    one = line_wasserstein(torch.from_numpy(x), torch.from_numpy(y), order=1)
    assert one == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
    size = math.lcm(n, m)
    repeated = np.repeat(np.sort(x), size // n) - np.repeat(np.sort(y), size // m)
    two = line_wasserstein(torch.from_numpy(x), torch.from_numpy(y))
    assert two == pytest.approx(math.sqrt(np.mean(repeated**2)), rel=1e-12)


def test_line_wasserstein_of_normal_laws():
    """(μ − ν)² + (σ − τ)², on exact quantiles."""
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    x = torch.special.ndtri(u)
    assert line_wasserstein(x, 3 * x[::2] + 2) == pytest.approx(math.sqrt(4 + 4), rel=1e-3)


def test_line_wasserstein_does_not_hide_what_is_infinite():
    assert line_wasserstein(torch.tensor([1.0, math.inf]), torch.tensor([1.0, 2.0])) == math.inf
    with pytest.raises(DataError, match="1 values that are not numbers"):
        line_wasserstein(torch.tensor([1.0, math.nan]), torch.tensor([1.0, 2.0]))
    with pytest.raises(UsageError, match="order 3"):
        line_wasserstein(torch.zeros(2), torch.zeros(2), order=3)
    with pytest.raises(UsageError, match=r"\(0,\)"):
        line_wasserstein(torch.zeros(0), torch.zeros(2))


@pytest.mark.parametrize("compare", [lambda x, y: compare_energies(ENERGY, x, y), compare_distances])
def test_equal_laws_are_at_the_floor_and_others_are_not(compare):
    reference = clouds(1000, seed=1)
    same, other = compare(clouds(1000, seed=2), reference), compare(clouds(1000, seed=3, scale=1.2), reference)
    assert same.distance.value < 1.5 * same.floor.value
    assert other.distance.value > 2.5 * other.floor.value
    assert other.floor.value == same.floor.value > 0
    assert compare(reference, reference).distance.value == 0
    assert (same.samples, same.reference) == (1000, 1000)


def test_energy_distance_is_that_of_gamma_laws():
    """E of the trap is Γ(2)-distributed, and s² times that for clouds s times as wide: W2² = (s² − 1)² ⟨E²⟩."""
    found = compare_energies(ENERGY, clouds(5000, seed=4, scale=1.5), clouds(5000, seed=5))
    assert abs(found.distance.value - 1.25 * math.sqrt(6)) < 4.9 * found.distance.se
    spread = [
        compare_energies(ENERGY, clouds(5000, 2 * k + 10, 1.5), clouds(5000, 2 * k + 11), repeats=2).distance.value
        for k in range(40)
    ]
    assert found.distance.se == pytest.approx(float(np.std(spread, ddof=1)), rel=0.5)


def test_overlapping_particles_are_told():
    x = clouds(10)
    x[3] = 0
    found = compare_energies(LennardJones(3), torch.cat([x, x[..., :1]], -1), torch.randn(10, 3, 3))
    assert found.distance.value == math.inf
    assert math.isnan(found.distance.se)


def test_clouds_that_cannot_be_compared():
    x = clouds(10)
    with pytest.raises(UsageError, match=r"samples has shape \(3, 3, 2\)"):
        compare_distances(x[:3], x)
    broken = x.clone()
    broken[7, 0, 0] = math.nan
    with pytest.raises(DataError, match="first is row 7"):
        compare_distances(x, broken)
    with pytest.raises(UsageError, match="at least 2 repeats"):
        compare_distances(x, x, repeats=1)


# ---- effective sample size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.9, 1.0, 1.3])
def test_effective_sample_size_of_normal_laws(scale):
    """1 / ⟨w²⟩ = (√(2s² − 1) / s²)^dim for a unit law seen from one of width s > √½."""
    found = effective_sample_size(Normal(scale), ENERGY, seed_list=range(4))
    expected = (math.sqrt(2 * scale**2 - 1) / scale**2) ** ENERGY.dim
    assert found.share.value == pytest.approx(expected, abs=0.01 + 4.9 * found.share.se)
    assert abs(found.log_partition.value - ENERGY.log_partition.value) < 4.9 * found.log_partition.se + 1e-5
    assert found.faults == []
    assert found.seeds == (0, 1, 2, 3)
    assert found.count == 10_000


def test_a_surplus_shows_in_the_partition_function_not_in_the_share():
    found = effective_sample_size(Normal(surplus=0.5), ENERGY, seed_list=[0])
    assert found.share.value == pytest.approx(1)
    assert found.log_partition.value == pytest.approx(ENERGY.log_partition.value - 0.5, abs=1e-3)


def test_few_samples_are_refused_unless_asked_for():
    with pytest.raises(UsageError, match=r"of 16 samples flatters.*at least 10000.*at_least=16"):
        effective_sample_size(Normal(), ENERGY, count=16)
    found = effective_sample_size(Normal(), ENERGY, count=16, at_least=16)
    assert "16 samples a seed, fewer than 10000" in found.faults[0]
    with pytest.raises(UsageError, match="at least one seed"):
        effective_sample_size(Normal(), ENERGY, seed_list=[])


def test_samples_without_a_density_weigh_nothing_and_are_counted():
    found = effective_sample_size(Normal(reach=4.0), ENERGY, seed_list=[0], **FEW)
    assert 100 < found.unscored < 400
    assert found.share.value == pytest.approx(1 - found.unscored / 500, rel=1e-3)
    assert "have no density" in found.faults[0]
    none = effective_sample_size(Normal(reach=0.0), ENERGY, seed_list=[0, 1], **FEW)
    assert none.shares == (0.0, 0.0)
    assert none.log_partition.value == -math.inf


def test_effective_share_by_hand():
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert effective_share(weights.log() + 1000) == pytest.approx(36 / (3 * 14))
    assert effective_share(torch.full((4,), -math.inf)) == 0


def test_draws_depend_on_the_seed_alone():
    one, two, other = (effective_sample_size(Normal(1.3), ENERGY, seed_list=s, **FEW) for s in ([0], [0], [1]))
    assert one == two
    assert one.shares != other.shares


# ---- report and published values -----------------------------------------------------------------------------------


def report_of(model):
    return evaluate_boltzmann(model, Split(clouds(300)), ENERGY, compared=600, seed_list=(0, 1), **FEW)


def test_report_is_plain_and_its_table_holds_each_number_with_its_floor():
    report = report_of(Normal())
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["likelihood"]["valid"]
    assert plain["effective"]["count"] == 500
    table = report.table()
    assert "| NLL (nats) | 5." in table
    assert "| 5.67575 ± 0 |" in table
    assert "| NLL (published convention) |" in table
    assert "500 samples × 2 seeds" in table
    assert abs(report.mean_energy.value - report.reference_energy.value) < 0.5


def test_table_shows_no_number_for_an_invalid_likelihood():
    table = report_of(Normal(surplus=1.0)).table()
    assert "| NLL (nats) | invalid |" in table
    assert "| NLL (published convention) | invalid |" in table
    assert "- the mean" in table


def test_unverified_values_are_never_shown():
    hidden = {row for row in PUBLISHED_VALUES if row.grade == "UNVERIFIED"}
    assert hidden
    assert {row.grade for row in PUBLISHED_VALUES} == {"P", "S", "UNVERIFIED"}
    for system in ("DW4", "LJ13", "LJ55"):
        assert not hidden & set(published_values(system))
    good = report_of(Normal())
    for system in ("DW4", "LJ13", "LJ55"):
        named = replace(good, system=system)
        text = named.table() + json.dumps(named.to_dict())
        assert "UNVERIFIED" not in text
        assert "OT-FM" not in text
        assert "NAE" in text


def test_published_values_below_the_floor_say_so():
    for energy in (DoubleWell(), LennardJones(13), LennardJones(55)):
        floor = energy.entropy_floor
        for row in (row for row in PUBLISHED_VALUES if row.system == energy.name and row.metric == "nll"):
            error = math.hypot(floor.error, row.error or 0.0)
            below = row.value < floor.value - energy.published_offset - 2 * error
            assert below == ("below the entropy" in row.remark), row


def test_weights_are_of_the_samples_that_have_the_density():
    class Noisy(Normal):
        """Its sampler draws from a wider law than its density is of."""

        def sample(self, n, context=None, generator=None):
            return 2 * super().sample(n, context, generator)

        def exact_sample(self, n, context=None, generator=None):
            return super().sample(n, context, generator)

    found = effective_sample_size(Noisy(), Trapped(), seed_list=(0, 1))
    assert found.shares == pytest.approx((1.0, 1.0))
    assert (
        evaluate_boltzmann(
            Noisy(), Split(clouds(300)), Trapped(), compared=600, seed_list=(0, 1), **FEW
        ).energies.distance.value
        < 0.5
    )
