"""What makes a likelihood valid, fault by fault, and what is averaged over what."""

import json
import math
from dataclasses import replace

import pytest
import torch

from manifold_gen import seeds
from manifold_gen.data.base import Split
from manifold_gen.distributions import Mixture, Uniform, VonMisesFisher, VonMisesProduct, WrappedNormal
from manifold_gen.distributions.base import ScoreRecord
from manifold_gen.manifolds import Euclidean, Sphere, Torus
from manifold_gen.metrics import Integral, LikelihoodReport, evaluate_likelihood

GOOD = LikelihoodReport(
    nll=1.0,
    nll_se=0.01,
    count=5000,
    unconverged=0,
    largest_residual=1e-12,
    round_trip=Integral(1.0, 0.0004, 4096.0),
    importance=Integral(1.003, 0.004, 9000.0),
)


def concentrated():
    return VonMisesFisher([0.0, 0.0, 1.0], 5.0)


def rows(n=400, seed=0):
    return Split(concentrated().sample(n, generator=seeds.generator(seed)))


def test_a_report_without_fault_is_valid():
    assert GOOD.valid
    assert GOOD.faults == []
    assert replace(GOOD, importance=None).valid


@pytest.mark.parametrize(
    ("count", "allowed"), [(1, 1), (50, 1), (999, 1), (1000, 1), (1999, 1), (2000, 2), (5000, 5), (100_000, 100)]
)
def test_a_thousandth_of_the_points_may_be_unconverged_and_one_in_small_sets(count, allowed):
    fits = replace(GOOD, count=count, unconverged=allowed)
    assert fits.valid
    broken = (
        replace(GOOD, count=count + 1, unconverged=allowed + 1)
        if count == 1
        else replace(fits, unconverged=allowed + 1)
    )
    assert not broken.valid
    assert len(broken.faults) == 1
    assert f"{allowed + 1} of" in broken.faults[0]
    assert "no preimage" in broken.faults[0]


@pytest.mark.parametrize("name", ["round_trip", "importance"])
@pytest.mark.parametrize("side", [-1, 1])
def test_an_integral_may_differ_from_one_by_two_hundredths_and_two_standard_errors(name, side):
    se = 0.003
    inside, outside = (Integral(1 + side * (0.02 + 2 * se + d), se, 4096.0) for d in (-1e-6, 1e-6))
    assert inside.slack == pytest.approx(0.026)
    assert replace(GOOD, **{name: inside}).valid
    broken = replace(GOOD, **{name: outside})
    assert not broken.valid
    assert len(broken.faults) == 1
    assert name.replace("_", " ").replace("importance", "importance sampling") in broken.faults[0]


def test_an_integral_must_be_known_to_five_thousandths():
    assert replace(GOOD, round_trip=Integral(1.0, 0.005, 1000.0)).valid
    broken = replace(GOOD, round_trip=Integral(1.0, 0.0051, 1000.0))
    assert not broken.valid
    assert ["0.0051" in fault for fault in broken.faults] == [True]


def test_every_fault_has_its_own_line():
    broken = replace(GOOD, unconverged=60, round_trip=Integral(0.9, 0.006, 1e3), importance=Integral(3.5, 0.2, 40.0))
    assert len(broken.faults) == 4


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_not_valid(value):
    assert not replace(GOOD, round_trip=Integral(value, 0.001, 4096.0)).valid
    assert not replace(GOOD, importance=Integral(value, 0.001, 4096.0)).valid


def test_a_report_is_plain_values():
    content = json.loads(json.dumps(replace(GOOD, gap=0.1, gap_se=0.01).to_dict()))
    assert content["valid"] is True
    assert content["faults"] == []
    assert (content["nll"], content["unconverged"], content["gap"]) == (1.0, 0, 0.1)
    assert content["round_trip"] == {"value": 1.0, "se": 0.0004, "effective": 4096.0}


def test_mean_and_standard_error_are_those_of_the_rows():
    split = rows()
    values = -concentrated().double().log_prob(split.x.double())
    report = evaluate_likelihood(concentrated(), split)
    assert report.nll == pytest.approx(float(values.mean()), abs=1e-12)
    assert report.nll_se == pytest.approx(float(values.std()) / 20, abs=1e-12)
    assert (report.count, report.unconverged, report.largest_residual) == (400, 0, 0.0)
    assert (report.round_trip.value, report.importance, report.gap) == (1.0, None, None)
    assert report.valid


def test_the_gap_is_paired():
    """The paired error is far below that of either mean."""
    split, near = rows(), VonMisesFisher([0.0, 0.02, 1.0], 4.8)
    report = evaluate_likelihood(near, split, density=concentrated())
    x = split.x.double()
    difference = concentrated().double().log_prob(x) - near.double().log_prob(x)
    assert report.gap == pytest.approx(float(difference.mean()), abs=1e-9)
    assert report.gap_se == pytest.approx(float(difference.std()) / 20, abs=1e-9)
    assert report.gap_se < 0.2 * report.nll_se


class Patchy(VonMisesFisher):
    """Does not converge on the lower half of the sphere."""

    def score(self, x, context=None):
        record = super().score(x, context)
        ok = x[..., 2] > 0.5
        residual = torch.where(ok, 1e-12, 0.3).to(x)
        return ScoreRecord(torch.where(ok, record.log_prob, -math.inf), residual, ok, record.steps)


def test_means_and_gaps_are_over_the_converged_points():
    split = rows()
    model = Patchy([0.0, 0.0, 1.0], 5.0)
    kept = split.x.double()[split.x[:, 2] > 0.5]
    report = evaluate_likelihood(model, split, density=VonMisesFisher([0.0, 0.0, 1.0], 4.0))
    assert report.unconverged == 400 - len(kept) > 0
    assert report.unconverged_share == report.unconverged / 400
    assert report.nll == pytest.approx(float(-concentrated().double().log_prob(kept).mean()), abs=1e-9)
    truth = VonMisesFisher([0.0, 0.0, 1.0], 4.0).double().log_prob(kept)
    assert report.gap == pytest.approx(float(truth.mean()) + report.nll, abs=1e-9)
    assert report.largest_residual == pytest.approx(1e-12)
    assert not report.valid


def test_no_converged_point_at_all():
    x = torch.tensor([[0.0, 0.0, -1.0]]).repeat(5, 1)
    report = evaluate_likelihood(Patchy([0.0, 0.0, 1.0], 5.0), Split(x))
    assert math.isnan(report.nll)
    assert report.unconverged == 5
    assert not report.valid


class Louder(VonMisesFisher):
    """Claims a tenth more density than there is."""

    def log_prob(self, x, context=None):
        return super().log_prob(x, context) + math.log(1.1)


def test_importance_sampling_finds_a_wrong_normaliser():
    split = rows()
    report = evaluate_likelihood(Louder([0.0, 0.0, 1.0], 5.0), split, train=rows(seed=1))
    assert abs(report.importance.value - 1.1) <= 5 * report.importance.se
    assert len(report.faults) == 1
    assert "importance sampling" in report.faults[0]


@pytest.mark.parametrize(
    ("model", "is_estimated"),
    [
        (VonMisesProduct([0.5, -1.0], [4.0, 2.0]), True),
        (Uniform(Sphere(3)), True),
        (Uniform(Torus(4)), False),
        (WrappedNormal(Euclidean(2), torch.zeros(2), 1.0), False),
    ],
    ids=["torus:2", "sphere:3", "torus:4", "euclidean:2"],
)
def test_importance_sampling_where_space_is_compact_and_small(model, is_estimated):
    split = Split(model.sample(300, generator=seeds.generator(0)))
    report = evaluate_likelihood(model, split, train=split, proposals=4000)
    assert (report.importance is not None) == is_estimated
    assert report.valid
    if is_estimated:
        assert abs(report.importance.value - 1) <= 5 * report.importance.se + 1e-9
        assert 0 < report.importance.effective <= 4000 * (1 + 1e-9)


def test_the_effective_sample_size_counts_what_carries_the_estimate():
    """A density far narrower than the kernels of the proposal leaves few points that matter."""
    narrow = Mixture(VonMisesFisher(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([2000.0])), torch.zeros(1))
    split = Split(narrow.sample(300, generator=seeds.generator(0)))
    wide = evaluate_likelihood(concentrated(), rows(), train=rows(seed=1), proposals=4000)
    report = evaluate_likelihood(narrow, split, train=split, proposals=4000)
    assert report.importance.effective < 0.3 * wide.importance.effective


def test_a_seed_decides_the_report_and_nothing_global_does():
    split = rows()
    state = torch.get_rng_state()
    first, again, other = (
        evaluate_likelihood(concentrated(), split, train=split, proposals=1000, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again
    assert first.importance != other.importance
    assert first.nll == other.nll
