"""RDKit graphs from coordinates: atoms, bonds and places are the given ones, and nothing is repaired."""

import math

import pytest
import torch
from rdkit import Chem

from manifold_gen.chemistry.graphs import to_rdkit
from manifold_gen.errors import DataError, UsageError


def benzene():
    angles = 2 * math.pi * torch.arange(6) / 6
    ring = torch.stack([angles.cos(), angles.sin(), torch.zeros(6)], -1)
    return torch.cat([1.395 * ring, 2.48 * ring]).to(torch.float64), torch.tensor(6 * [6] + 6 * [1])


def test_given_orders_become_bonds_and_an_aromatic_ring_is_found():
    x, numbers = benzene()
    orders = torch.zeros(12, 12, dtype=torch.int8)
    for k in range(6):
        orders[k, (k + 1) % 6] = orders[(k + 1) % 6, k] = 1 + k % 2
        orders[k, k + 6] = orders[k + 6, k] = 1
    mol = to_rdkit(x, numbers, orders)
    assert Chem.GetAdjacencyMatrix(mol, useBO=True).tolist() == orders.tolist()
    Chem.SanitizeMol(mol)
    assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == "c1ccccc1"


def test_the_conformer_holds_the_places():
    x, numbers = benzene()
    mol = to_rdkit(x.to(torch.float32), numbers)
    assert mol.GetNumConformers() == 1
    assert torch.tensor(mol.GetConformer().GetPositions()).to(torch.float32).equal(x.to(torch.float32))
    assert [atom.GetAtomicNum() for atom in mol.GetAtoms()] == numbers.tolist()


def test_orders_come_from_distances_where_none_are_given():
    x = torch.tensor([[0.0, 0, 0], [0, 0, 1.2], [0, 0, -1.2]])
    assert Chem.MolToSmiles(to_rdkit(x, torch.tensor([6, 8, 8]))) == "O=C=O"


def test_nothing_is_repaired():
    over_bonded = torch.zeros(6, 6, dtype=torch.int8)
    over_bonded[0, 1:] = over_bonded[1:, 0] = 1
    mol = to_rdkit(
        torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([6] + 5 * [1]), over_bonded
    )
    with pytest.raises(Chem.AtomValenceException):
        Chem.SanitizeMol(mol)
    hydroxyl = to_rdkit(torch.tensor([[0.0, 0, 0], [0, 0, 0.97]]), torch.tensor([8, 1]))
    Chem.SanitizeMol(hydroxyl)
    assert hydroxyl.GetNumAtoms() == 2
    assert hydroxyl.GetAtomWithIdx(0).GetNumImplicitHs() == 1


def test_one_atom_is_a_molecule():
    assert to_rdkit(torch.zeros(1, 3), torch.tensor([6])).GetNumAtoms() == 1


def test_places_that_are_none_and_orders_that_are_none_are_refused():
    x, numbers = benzene()
    with pytest.raises(DataError, match="1 coordinates of 36 are not finite"):
        to_rdkit(torch.where(torch.arange(36).view(12, 3) == 4, math.nan, x), numbers)
    with pytest.raises(UsageError, match="0, 1, 2 or 3"):
        to_rdkit(x, numbers, torch.full((12, 12), 4))
    with pytest.raises(UsageError, match=r"\(12, 12\)"):
        to_rdkit(x, numbers, torch.zeros(3, 3))
    with pytest.raises(DataError, match="Cl"):
        to_rdkit(torch.zeros(1, 3), torch.tensor([17]))
