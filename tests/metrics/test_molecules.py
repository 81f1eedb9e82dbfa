"""Stability, validity and strict success: molecules made by hand, and QM9 against the published numbers."""

import math

import made_molecules as made
import numpy as np
import pytest
import torch

from manifold_gen.chemistry import bonds
from manifold_gen.data.qm9 import qm9_molecules
from manifold_gen.errors import DataError, UsageError
from manifold_gen.metrics.molecules import (
    Graphs,
    novelty,
    read_graphs,
    single_fragment,
    stability,
    strict_success,
    uniqueness,
    valid_and_unique,
    validity,
)


@pytest.fixture(scope="module")
def qm9():
    """The published split's test molecules."""
    return qm9_molecules()["test"]


def test_molecules_of_qm9_score_as_published(qm9):
    found, graphs = stability(qm9), read_graphs(qm9)
    assert len(qm9) == 13083
    assert round(found.atom.value, 4) == 0.9934
    assert round(found.molecule.value, 4) == 0.9522
    assert round(validity(graphs).value, 4) == 0.9774
    assert round(valid_and_unique(graphs).value, 4) == 0.9774
    assert round(single_fragment(graphs).value, 4) == 0.9774
    assert strict_success(graphs).value <= found.molecule.value
    assert float(graphs.stable.double().mean()) == pytest.approx(found.molecule.value, abs=1e-12)


def test_a_double_bond_of_carbon_and_nitrogen_two_picometres_too_long_is_noticed(qm9, monkeypatch):
    broken = {**bonds.LENGTHS[1], (6, 7): bonds.LENGTHS[1][6, 7] + 2}
    monkeypatch.setattr(bonds, "LENGTHS", (bonds.LENGTHS[0], broken, bonds.LENGTHS[2]))
    assert round(stability(qm9).molecule.value, 4) != 0.9522


def test_a_table_without_the_triple_bond_of_carbon_monoxide_is_noticed(monkeypatch):
    molecules = made.joined((torch.tensor([[0.0, 0, 0], [0, 0, 1.13], [0, 0, 2.33]]), torch.tensor([8, 6, 8])))
    assert read_graphs(molecules).valid.tolist() == [False]  # five bonds at the carbon
    broken = {pair: length for pair, length in bonds.LENGTHS[2].items() if pair != (6, 8)}
    monkeypatch.setattr(bonds, "LENGTHS", (*bonds.LENGTHS[:2], broken))
    assert read_graphs(molecules).valid.tolist() == [True]


def test_molecules_made_by_hand():
    molecules = made.joined(
        made.water(),
        made.methane(),
        made.kekule_benzene(),
        made.beside(made.water(), made.methane()),
        made.over_bonded(),
        made.hydroxyl(),
    )
    graphs = read_graphs(molecules)
    assert graphs.stable.tolist() == [True, True, True, True, False, False]
    assert graphs.valid.tolist() == [True, True, True, True, False, True]
    assert graphs.fragments.tolist() == [1, 1, 1, 2, 1, 1]
    assert graphs.implicit_hydrogens.tolist() == [0, 0, 0, 0, 0, 1]
    assert graphs.strict.tolist() == [True, True, True, False, False, False]
    assert graphs.smiles[:2] == ("[H]O[H]", "[H]C([H])([H])[H]")
    assert "c1" in graphs.smiles[2]
    assert graphs.smiles[3] == graphs.smiles[1]  # the fragment with more atoms
    assert graphs.rings == ((), (), (6,), (), (), ())
    found = stability(molecules)
    assert found.molecule.value == pytest.approx(4 / 6)
    # Of the carbon with five hydrogens those are stable, of hydroxyl the hydrogen.
    assert found.atom.value == pytest.approx((3 + 5 + 12 + 8 + 5 + 1) / (3 + 5 + 12 + 8 + 6 + 2))
    assert valid_and_unique(graphs).value == pytest.approx(4 / 6)
    assert uniqueness(graphs).value == pytest.approx(4 / 5)


def test_rings_of_a_molecule_that_is_not_valid_are_counted():
    graphs = read_graphs(made.joined(made.ring(5, 1.20)))  # triple bonds all round
    assert graphs.smiles == (None,)
    assert graphs.rings == ((5,),)


def test_a_molecule_at_no_finite_place_is_a_failure_and_not_an_error():
    x, z = made.water()
    graphs = read_graphs(
        made.joined((x, z), (x * math.nan, z), (torch.where(torch.arange(9).view(3, 3) == 8, math.inf, x), z))
    )
    assert graphs.strict.tolist() == [True, False, False]
    assert graphs.valid.tolist() == [True, False, False]


def test_novelty_is_of_distinct_molecules_by_the_same_bonds():
    graphs = read_graphs(made.joined(made.water(), made.water(), made.methane(), made.over_bonded()))
    known = {smiles for smiles in read_graphs(made.joined(made.water())).smiles if smiles}
    assert novelty(graphs, known).value == 0.5
    assert novelty(graphs, set()).value == 1.0
    assert math.isnan(novelty(read_graphs(made.joined(made.over_bonded())), known).value)


def test_order_of_molecules_and_of_their_atoms_does_not_matter():
    parts = [made.methane(), made.water(), made.kekule_benzene(), made.hydroxyl()]
    graphs = read_graphs(made.joined(*parts))
    backwards = read_graphs(made.joined(*[(x.flip(0), z.flip(0)) for x, z in reversed(parts)]))
    assert backwards.smiles == graphs.smiles[::-1]
    assert backwards.strict.tolist() == graphs.strict.tolist()[::-1]


def graphs_of(smiles):
    count = len(smiles)
    ones = torch.ones(count, dtype=torch.int64)
    return Graphs(ones.bool(), tuple(smiles), ones, 0 * ones, ((),) * count)


def test_errors_of_distinct_shares_are_those_of_leaving_one_molecule_out():
    smiles = ["a", "a", "b", "c", None, "d", "d", "d", None, "e"]
    known = {"a", "c"}

    def spread(statistic):
        values = np.array([statistic(smiles[:k] + smiles[k + 1 :]) for k in range(len(smiles))])
        return math.sqrt(values.var() * (len(values) - 1))

    def share(words):
        return len({word for word in words if word}) / len(words)

    def new(words):
        distinct = {word for word in words if word}
        return len(distinct - known) / len(distinct)

    graphs = graphs_of(smiles)
    assert valid_and_unique(graphs).value == share(smiles)
    assert valid_and_unique(graphs).se == pytest.approx(spread(share), rel=1e-9)
    assert novelty(graphs, known).value == new(smiles)
    # Molecules that are not valid change nothing when left out, and are not counted.
    valid = [word for word in smiles if word]
    expected = np.array([new(valid[:k] + valid[k + 1 :]) for k in range(len(valid))])
    assert novelty(graphs, known).se == pytest.approx(math.sqrt(expected.var() * (len(valid) - 1)), rel=1e-9)


def test_errors_of_atom_stability_count_molecules():
    broken, whole = made.over_bonded(), made.methane()
    many = made.joined(*([whole] * 60 + [broken] * 20))
    found = stability(many).atom
    sizes = many.sizes.numpy().astype(float)
    stable = np.array([5.0] * 60 + [5.0] * 20)
    rng = np.random.default_rng(0)
    draws = rng.integers(80, size=(4000, 80))
    spread = (stable[draws].sum(1) / sizes[draws].sum(1)).std()
    assert found.value == pytest.approx(400 / 420)
    assert found.se >= 0.99 * spread
    assert stability(made.joined(*[whole] * 60)).atom.se > 0


def test_other_elements_and_empty_sets_are_refused():
    chloride = (torch.tensor([[0.0, 0, 0], [0, 0, 1.27]]), torch.tensor([17, 1]))
    with pytest.raises(DataError, match="H, C, N, O and F; these molecules hold Cl"):
        read_graphs(made.joined(made.water(), chloride))
    with pytest.raises(UsageError, match="at least one"):
        stability(made.joined())
