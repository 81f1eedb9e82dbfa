"""Molecules whose verdict is known without looking: by hand from textbook geometry."""

from __future__ import annotations

import torch

from manifold_gen.chemistry.molecules import Molecules

WATER = (torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]), torch.tensor([8, 1, 1]))
HYDROXYL = (WATER[0][:2], WATER[1][:2])
METHANE = (
    0.63 * torch.tensor([[0.0, 0.0, 0.0], [1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]),
    torch.tensor([6, 1, 1, 1, 1]),
)
TWO_WATERS = (torch.cat([WATER[0], WATER[0] + 6]), torch.cat([WATER[1], WATER[1]]))
# four hydrogens on an oxygen
CROWDED = (0.9 * METHANE[0], torch.tensor([8, 1, 1, 1, 1]))
NOWHERE = (WATER[0] * torch.nan, WATER[1])
ALL = Molecules.join([WATER, METHANE, HYDROXYL, TWO_WATERS, CROWDED, NOWHERE])
VERDICTS = [
    "",
    "",
    "wrong valence, 1 H missing",
    "2 fragments",
    "wrong valence, not valid",
    "coordinates not finite",
]
