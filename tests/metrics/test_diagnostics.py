"""The block after a fit: every check passes on a good model and fails on the fault it watches."""

import json
import math

import pytest
import torch

from manifold_gen import seeds
from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import VonMisesFisher
from manifold_gen.distributions.base import ScoreRecord
from manifold_gen.manifolds import Sphere
from manifold_gen.metrics import diagnose

POLE = [0.0, 0.0, 1.0]


def dataset(test_kappa=5.0, counts=(600, 200, 200)):
    kappas = (5.0, 5.0, test_kappa)
    splits = [
        Split(VonMisesFisher(POLE, kappa).sample(n, generator=seeds.generator(i)))
        for i, (n, kappa) in enumerate(zip(counts, kappas, strict=True))
    ]
    return Dataset("cap", Sphere(2), *splits, density=VonMisesFisher(POLE, 5.0))


class Faulty(VonMisesFisher):
    """Has one of the faults that the checks are for."""

    def __init__(self, fault):
        super().__init__(POLE, 5.0)
        self.fault = fault

    def log_prob(self, x, context=None):
        return super().log_prob(x, context) + (math.log(1.2) if self.fault == "integral by importance" else 0.0)

    def score(self, x, context=None):
        record = super().score(x, context)
        lost = torch.zeros_like(record.converged)
        if self.fault == "unconverged":
            lost = x[..., 2] < 0.7
        log_prob = torch.where(lost, -math.inf, record.log_prob)
        return ScoreRecord(log_prob, record.residual, ~lost, record.steps)

    def round_trip(self, n, context=None, generator=None):
        returned = super().round_trip(n, context, generator)
        return torch.arange(n) % 2 == 0 if self.fault == "integral by round trip" else returned

    def reconstruction_error(self, x, context=None):
        error = super().reconstruction_error(x, context)
        return error + 0.2 if self.fault == "reconstruction error" else error


def test_a_good_model_passes_every_check():
    found = diagnose(VonMisesFisher(POLE, 5.0), dataset())
    assert found.failures == []
    assert all(check.passed for check in found.checks)
    assert set(found.reports) == {"train", "val", "test"}
    assert "FAIL" not in found.table()


@pytest.mark.parametrize(
    "fault", ["unconverged", "integral by importance", "integral by round trip", "reconstruction error"]
)
def test_a_fault_fails_its_check(fault):
    found = diagnose(Faulty(fault), dataset())
    assert any(fault in failure for failure in found.failures)
    failed = [check for check in found.checks if not check.passed]
    assert len(failed) == len(found.failures)
    assert found.table().count("FAIL") == len(failed)


def test_a_test_split_far_less_likely_than_the_training_rows_is_told():
    found = diagnose(VonMisesFisher(POLE, 5.0), dataset(test_kappa=0.5))
    assert [failure for failure in found.failures if "test" in failure]


def test_the_block_is_plain_values_and_text():
    found = diagnose(Faulty("integral by round trip"), dataset())
    content = json.loads(json.dumps(found.to_dict()))
    assert set(content) >= {"checks", "failures", "splits"}
    assert content["failures"] == found.failures
    assert set(content["splits"]) == {"train", "val", "test"}
    table = found.table()
    for name in ("train", "val", "test", "round trip", "importance sampling", "reconstruction", "residual"):
        assert name in table
    assert "above the true density" in table


def test_at_most_so_many_rows_of_the_others_are_scored():
    found = diagnose(VonMisesFisher(POLE, 5.0), dataset(), most=50)
    assert {name: report.count for name, report in found.reports.items()} == {"train": 50, "val": 50, "test": 200}


def test_empty_splits_are_left_out():
    found = diagnose(VonMisesFisher(POLE, 5.0), dataset(counts=(300, 0, 0)))
    assert set(found.reports) == {"train"}
    assert "train" in found.table()
