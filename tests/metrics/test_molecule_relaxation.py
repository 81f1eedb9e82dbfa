"""Relaxation and the whole report: known minima, failures with reasons, and text that says what it must."""

import json
import math

import made_molecules as made
import pytest
import torch
from scipy.spatial.transform import Rotation

from manifold_gen import seeds
from manifold_gen.chemistry.relaxation import kabsch_rmsd, relax
from manifold_gen.errors import DataError, UsageError
from manifold_gen.metrics.molecules import evaluate_molecules, relaxation
from manifold_gen.metrics.molecules.relaxed import median_estimate
from manifold_gen.metrics.molecules.tables import CAVEAT


def test_water_relaxes_to_one_geometry_from_two_sides():
    x, numbers = made.water()
    one, other = relax(0.95 * x, numbers, force=1e-5), relax(1.05 * x, numbers, force=1e-5)
    assert kabsch_rmsd(one.positions, other.positions) < 1e-3
    assert one.energy > 0
    assert other.energy > 0
    again = relax(one.positions, numbers)
    assert (again.energy, again.rmsd, again.evaluations) == (0.0, pytest.approx(0.0, abs=1e-12), 1)


def test_energy_given_up_does_not_depend_on_place_or_direction():
    x, numbers = made.methane(1.15)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeds.generator(1), dtype=torch.float64))[0]
    one, other = relax(x, numbers), relax(x @ turn + 3.0, numbers)
    assert one.energy == pytest.approx(other.energy, abs=1e-3)
    assert one.rmsd == pytest.approx(other.rmsd, abs=1e-4)
    # All four bonds shorten alike: hydrogens move by what the bonds lose, the carbon stays.
    lost = 1.15 - float((one.positions[1:] - one.positions[0]).norm(dim=1).mean())
    assert one.rmsd == pytest.approx(lost * math.sqrt(4 / 5), rel=1e-3)


def test_alignment_undoes_rotations_and_not_reflections():
    x = torch.randn(7, 3, generator=seeds.generator(2), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeds.generator(3), dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    assert kabsch_rmsd(x, x @ turn - 2.0) < 1e-12
    assert kabsch_rmsd(x, -x) > 0.1


@pytest.mark.parametrize("seed", [4, 5, 6, 7])
def test_alignment_is_scipys(seed):
    x, y = torch.randn(2, 6, 3, generator=seeds.generator(seed), dtype=torch.float64)
    _, root = Rotation.align_vectors((y - y.mean(0)).numpy(), (x - x.mean(0)).numpy())
    assert kabsch_rmsd(x, y) == pytest.approx(root / math.sqrt(6), rel=1e-10)


def test_failures_have_reasons_and_no_numbers():
    good = made.methane(1.12)
    placeless = (good[0] * math.nan, good[1])
    together = (torch.zeros(2, 3, dtype=torch.float64), torch.tensor([1, 1]))
    found = relaxation(made.joined(good, placeless, together, good))
    assert found.tried == 4
    assert sorted(found.failures.values()) == [1, 1]
    assert any("not finite" in reason for reason in found.failures)
    assert found.energy.value == pytest.approx(relax(*good).energy)
    with pytest.raises(DataError, match="within the evaluations allowed"):
        relax(*made.methane(1.3), most=2)
    nothing = relaxation(made.joined(placeless))
    assert math.isnan(nothing.energy.value)
    assert nothing.failures == {"a coordinate is not finite": 1}


def test_the_error_of_a_median_is_its_spread():
    draws = torch.randn(3000, 60, generator=seeds.generator(5), dtype=torch.float64)
    found = [median_estimate(row) for row in draws]
    spread = float(torch.tensor([e.value for e in found]).std())
    assert sum(e.se for e in found) / len(found) == pytest.approx(spread, rel=0.08)
    assert math.isnan(median_estimate(torch.tensor([1.0])).se)
    assert math.isnan(median_estimate(torch.zeros(0)).value)


def test_the_report_says_temperature_errors_and_what_stability_is_not():
    samples = made.joined(*[made.methane(1.12)] * 5, made.over_bonded(), (made.water()[0] * math.nan, made.water()[1]))
    train = made.joined(*[made.methane()] * 40, *[made.water()] * 40)
    report = evaluate_molecules(samples, train, train, temperature=0.5, relax=2, posebusters=1)
    text = report.table()
    assert "sampling temperature 0.5" in text
    assert CAVEAT in text
    assert "1 have coordinates that are not finite" in text
    assert report.strict.value == pytest.approx(5 / 7)
    assert report.novel.value == 0.0
    assert report.relaxation.tried == 2
    assert report.posebusters.tried == 1
    for line in text.splitlines():
        if line.startswith(("strict", "atoms", "molecules stable", "valid", "unique", "novel", "length", "Pose")):
            assert "±" in line
    assert json.loads(json.dumps(report.to_dict()))["strict"]["value"] == report.strict.value


def test_every_distance_stands_beside_its_floor_and_what_it_was_measured_on():
    samples, known = made.joined(*[made.methane(1.12)] * 7), made.joined(*[made.methane()] * 40)
    lines = evaluate_molecules(samples, known, made.joined(*[made.methane()] * 50)).table().splitlines()
    head = next(k for k, line in enumerate(lines) if line.startswith("distance from"))
    assert "distance from 50 molecules" in lines[head]
    assert "floor: 7 training molecules" in lines[head]
    rows = lines[head + 1 :]
    assert [row.split(",")[0] for row in rows[:6]] == [
        *("bond kinds", "ring sizes", "elements", "atom counts", "atom counts", "heavy atoms")
    ]
    assert any(row.startswith("length of C-H, W1 in Å") for row in rows)
    assert all(row.count("±") == 2 for row in rows)
    text = evaluate_molecules(samples, known).table()
    assert "distance from 40 molecules" in text
    assert "no floor" in text
    assert "needs molecules to train on and others" in text


def test_an_error_that_cannot_be_known_is_not_written_as_a_number():
    text = evaluate_molecules(made.joined(made.methane(1.12)), relax=1, test=made.joined(made.water())).table()
    assert "± ? (too few) kcal/mol" in text
    assert "nan" not in text


def test_the_report_without_references_or_stable_molecules():
    report = evaluate_molecules(made.joined(made.over_bonded(), made.over_bonded()), relax=5)
    assert (report.novel, report.comparison, report.relaxation, report.posebusters) == (None, None, None, None)
    assert report.strict.value == 0.0
    assert report.strict.se > 0
    assert "unique among valid                none" in report.table()
    with pytest.raises(UsageError, match="draw some"):
        evaluate_molecules(made.joined())
