"""Bond orders: against a loop over the published rule, on molecules made by hand, and at the edges of the tables."""

import itertools
import math

import pytest
import torch

from manifold_gen import seeds
from manifold_gen.chemistry import bonds
from manifold_gen.chemistry.bonds import bond_orders, stable_atoms, valences
from manifold_gen.errors import DataError, UsageError

# Written out as one reads them, apart from the package's table: lengths of single, double and triple bonds in pm.
SINGLE = "HH 74 HC 109 HN 101 HO 96 HF 92 CC 154 CN 147 CO 143 CF 135 NN 145 NO 140 NF 136 OO 148 OF 142 FF 142"
DOUBLE = "CC 134 CN 129 CO 120 NN 125 NO 121 OO 121"
TRIPLE = "CC 120 CN 116 CO 113 NN 110"
SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}


def read(line):
    words = line.split()
    return {frozenset(SYMBOLS[s] for s in words[k]): int(words[k + 1]) for k in range(0, len(words), 2)}


TABLES = [read(line) for line in (SINGLE, DOUBLE, TRIPLE)]


def order_by_rule(first, second, distance):
    """The rule as its authors state it, for one pair."""
    pair, picometres = frozenset((first, second)), 100 * distance
    if picometres >= TABLES[0][pair] + 10:
        return 0
    if pair not in TABLES[1] or picometres >= TABLES[1][pair] + 5:
        return 1
    return 3 if pair in TABLES[2] and picometres < TABLES[2][pair] + 3 else 2


def mismatches():
    distances = torch.arange(0.6, 1.9, 0.00531, dtype=torch.float64)
    x = torch.zeros(len(distances), 2, 3, dtype=torch.float64)
    x[:, 1, 2] = distances
    found = {}
    for a, b in itertools.product(bonds.ELEMENTS, repeat=2):
        orders = bond_orders(x, torch.tensor([[a, b]]).expand(len(x), 2))[:, 0, 1].tolist()
        expected = [order_by_rule(a, b, d) for d in distances.tolist()]
        found[a, b] = sum(one != other for one, other in zip(orders, expected, strict=True))
    return {pair for pair, count in found.items() if count}


def test_every_pair_at_every_distance_has_the_order_of_the_rule():
    assert mismatches() == set()


def test_a_table_without_the_triple_bond_of_carbon_monoxide_is_noticed(monkeypatch):
    broken = {pair: length for pair, length in bonds.LENGTHS[2].items() if pair != (6, 8)}
    monkeypatch.setattr(bonds, "LENGTHS", (*bonds.LENGTHS[:2], broken))
    assert mismatches() == {(6, 8), (8, 6)}


def test_many_molecules_at_once_are_each_by_itself(dtype):
    generator = seeds.generator(3)
    x = 1.5 * torch.randn(20, 7, 3, generator=generator, dtype=dtype)
    numbers = torch.tensor(bonds.ELEMENTS)[torch.randint(5, (20, 7), generator=generator)]
    found = bond_orders(x, numbers)
    assert found.dtype == torch.int8
    assert torch.equal(found, found.mT)
    for m, i, j in torch.cartesian_prod(torch.arange(20), torch.arange(7), torch.arange(7)).tolist():
        distance = math.dist(x[m, i].tolist(), x[m, j].tolist())
        expected = 0 if i == j else order_by_rule(int(numbers[m, i]), int(numbers[m, j]), distance)
        assert int(found[m, i, j]) == expected
    assert valences(found).tolist() == found.to(torch.int64).sum(-1).tolist()


def test_orders_do_not_change_under_rotations_and_follow_permutations():
    generator = seeds.generator(4)
    x = torch.randn(5, 6, 3, generator=generator, dtype=torch.float64)
    numbers = torch.tensor(bonds.ELEMENTS)[torch.randint(5, (5, 6), generator=generator)]
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    order = torch.randperm(6, generator=generator)
    found = bond_orders(x, numbers)
    assert torch.equal(bond_orders(x @ turn + 1, numbers), found)
    assert torch.equal(bond_orders(x[:, order], numbers[:, order]), found[:, order][:, :, order])


def test_water_is_stable_and_carbon_with_five_hydrogens_is_not():
    water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    numbers = torch.tensor([[8, 1, 1]])
    assert stable_atoms(numbers, bond_orders(water.unsqueeze(0), numbers)).tolist() == [[True, True, True]]
    angles = 2 * math.pi * torch.arange(5) / 5
    ring = 1.09 * torch.stack([angles.cos(), angles.sin(), torch.zeros(5)], -1)
    methane_and_one = torch.cat([torch.zeros(1, 3), ring]).unsqueeze(0)
    numbers = torch.tensor([[6, 1, 1, 1, 1, 1]])
    orders = bond_orders(methane_and_one, numbers)
    assert valences(orders)[0].tolist() == [5, 1, 1, 1, 1, 1]
    assert stable_atoms(numbers, orders)[0].tolist() == [False] + 5 * [True]


def test_an_atom_at_no_place_has_no_bonds():
    x = torch.tensor([[[0.0, 0, 0], [0, 0, 1.0], [math.nan, 0, 0]]])
    assert bond_orders(x, torch.tensor([[8, 1, 1]])).tolist() == [[[0, 1, 0], [1, 0, 0], [0, 0, 0]]]


def test_empty_sets_and_single_atoms():
    assert bond_orders(torch.zeros(0, 4, 3), torch.zeros(0, 4, dtype=torch.int64)).shape == (0, 4, 4)
    assert bond_orders(torch.zeros(2, 1, 3), torch.tensor([[6], [1]])).tolist() == [[[0]], [[0]]]


def test_other_elements_and_shapes_are_refused():
    with pytest.raises(DataError, match=r"H, C, N, O and F.*Si, Cl"):
        bond_orders(torch.zeros(1, 3, 3), torch.tensor([[17, 6, 14]]))
    with pytest.raises(UsageError, match=r"\(m, n, 3\)"):
        bond_orders(torch.zeros(3, 3), torch.tensor([6, 6, 6]))
