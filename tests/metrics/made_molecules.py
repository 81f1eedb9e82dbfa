"""Small molecules with known graphs."""

from __future__ import annotations

import math

import torch

from manifold_gen.chemistry.molecules import Molecules

TETRAHEDRON = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64) / math.sqrt(3)


def water():
    half = math.radians(104.5) / 2
    arms = 0.96 * torch.tensor([[math.sin(half), math.cos(half), 0], [-math.sin(half), math.cos(half), 0]])
    return torch.cat([torch.zeros(1, 3), arms]).to(torch.float64), torch.tensor([8, 1, 1])


def methane(length=1.09):
    return torch.cat([torch.zeros(1, 3), length * TETRAHEDRON]), torch.tensor([6, 1, 1, 1, 1])


def ring(size, carbons, hydrogens=0.0):
    """A flat ring of carbons with sides of the given length, and hydrogens outside if a length is given."""
    angles = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    radius = carbons / (2 * math.sin(math.pi / size))
    unit = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], -1)
    if not hydrogens:
        return radius * unit, torch.tensor(size * [6])
    return torch.cat([radius * unit, (radius + hydrogens) * unit]), torch.tensor(size * [6] + size * [1])


def kekule_benzene():
    """Sides of 1.34 and 1.47 Å in turn, which the tables read as double and single bonds."""
    x = torch.zeros(6, 3, dtype=torch.float64)
    heading, place = 0.0, torch.zeros(3, dtype=torch.float64)
    for k in range(6):
        x[k] = place
        step = 1.34 if k % 2 == 0 else 1.47
        place = place + step * torch.tensor([math.cos(heading), math.sin(heading), 0], dtype=torch.float64)
        heading += math.pi / 3
    x = x - x.mean(0)
    outside = x + 1.09 * x / x.norm(dim=1, keepdim=True)
    return torch.cat([x, outside]), torch.tensor(6 * [6] + 6 * [1])


def beside(*parts, gap=8.0):
    """Molecules in one, far from one another."""
    shifted = [x + torch.tensor([k * gap, 0, 0], dtype=torch.float64) for k, (x, _) in enumerate(parts)]
    return torch.cat(shifted), torch.cat([z for _, z in parts])


def over_bonded():
    """A carbon with five hydrogens."""
    x, z = methane()
    return torch.cat([x, torch.tensor([[0.0, 0, -1.1]], dtype=torch.float64)]), torch.cat([z, torch.tensor([1])])


def hydroxyl():
    x, z = water()
    return x[:2], z[:2]


def joined(*parts):
    return Molecules.join(list(parts))


def strained_cage():
    """A cage of three fused small rings that a model drew: valid, and almost impossible to embed anew."""
    hundredths = [
        *[[-214, 84, -77], [102, 54, -91], [-11, 231, -27], [-131, -90, 7], [-10, 123, -19], [-219, -139, 6]],
        *[[160, 86, -175], [110, -75, -16], [207, -124, -12], [-3, -252, 28], [-144, 53, 2], [102, 57, 60]],
        *[[-15, -162, -33], [108, 159, 221], [167, 102, 167], [-21, -194, -138], [-187, 86, 98]],
    ]
    numbers = torch.tensor([1, 6, 1, 7, 6, 1, 1, 6, 1, 1, 6, 6, 6, 1, 8, 1, 1])
    return torch.tensor(hundredths, dtype=torch.float64) / 100, numbers


def twisted_ethene():
    """Tetrafluoroethene, one end turned by 60 degrees."""
    end = torch.tensor([[0.66, 0, 0], [1.4, 1.1, 0], [1.4, -1.1, 0]], dtype=torch.float64)
    angle = math.radians(60)
    turn = torch.tensor(
        [[-1.0, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )
    return torch.cat([end, end @ turn.mT]), torch.tensor([6, 9, 9] * 2)
