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
