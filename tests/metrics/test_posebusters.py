"""PoseBusters: true molecules pass, broken ones do not, and one that takes too long ends as a failure of its own."""

import signal

import made_molecules as made
import pytest
from posebusters import PoseBusters

from manifold_gen.chemistry.graphs import to_rdkit
from manifold_gen.data.qm9 import qm9_molecules
from manifold_gen.errors import UsageError
from manifold_gen.metrics.molecules import posebusters_pass
from manifold_gen.metrics.molecules.posebusters import NOT_ENDED, NOT_VALID
from manifold_gen.metrics.molecules.posebusters_worker import failed_tests, judge


def test_true_molecules_pass_alike_every_time():
    real = qm9_molecules()["test"][:3]
    found = posebusters_pass(real)
    assert (found.share.value, found.tried, found.failures) == (1.0, 3, {})
    assert posebusters_pass(real) == found


def test_what_is_not_valid_has_failed():
    found = posebusters_pass(
        made.joined(made.kekule_benzene(), made.beside(made.methane(), made.water()), made.over_bonded())
    )
    assert found.tried == 3
    assert found.share.value == pytest.approx(1 / 3)
    assert found.failures["all_atoms_connected"] == 1
    assert found.failures[NOT_VALID] == 1
    # the fault is the fragments': alone, methane has nothing but its ratio of energies against it
    assert "all_atoms_connected" not in posebusters_pass(made.joined(made.methane())).failures


def test_a_strained_cage_ends_in_time_and_the_others_keep_their_results():
    """Its 50 conformations take more than ten seconds; it stands between two molecules that need less than two."""
    benzene, cage, twisted = made.kekule_benzene(), made.strained_cage(), made.twisted_ethene()
    found = posebusters_pass(made.joined(benzene, cage, twisted), seconds=3.0)
    assert found.failures == {NOT_ENDED: 1, **posebusters_pass(made.joined(twisted)).failures}
    assert "double_bond_flatness" in found.failures
    assert found.share.value == pytest.approx(1 / 3)
    assert (found.tried, found.seconds) == (3, 3.0)


def test_nothing_is_left_out_of_the_published_tests():
    mol = to_rdkit(*made.twisted_ethene())
    published = PoseBusters(config="mol").bust([mol], None, None)
    assert list(judge().bust([mol], None, None).columns) == list(published.columns)
    assert failed_tests(judge(), mol) == ["double_bond_flatness"]
    assert not published["double_bond_flatness"].iloc[0]
    assert published.drop(columns="double_bond_flatness").all(axis=None)


def test_without_time_nothing_passes():
    found = posebusters_pass(made.joined(made.kekule_benzene(), made.kekule_benzene()), seconds=1e-3)
    assert (found.share.value, found.failures) == (0.0, {NOT_ENDED: 2})


def test_another_end_of_its_process_is_not_a_result(monkeypatch, tmp_path):
    broken = tmp_path / "worker.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr("manifold_gen.metrics.molecules.posebusters._WORKER", broken)
    with pytest.raises(RuntimeError, match="code 3"):
        posebusters_pass(made.joined(made.kekule_benzene()))


def test_wrong_arguments_are_refused(monkeypatch):
    benzene = made.joined(made.kekule_benzene())
    with pytest.raises(UsageError, match="at least one"):
        posebusters_pass(made.joined())
    with pytest.raises(UsageError, match="more than 0"):
        posebusters_pass(benzene, seconds=0.0)
    with pytest.raises(UsageError, match="more than 0"):
        posebusters_pass(benzene, seconds=float("nan"))
    monkeypatch.delattr(signal, "setitimer")
    with pytest.raises(UsageError, match="Linux or macOS"):
        posebusters_pass(benzene)
