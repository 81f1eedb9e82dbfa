"""Bonds from distances alone: the tables by which molecules of QM9 are judged.

Two atoms at distance d have a single bond where d lies below the length of the table plus 10 pm, a double bond where it
also lies below that of double bonds plus 5 pm, and a triple bond where it also lies below that of triple bonds plus
3 pm. There are no charges and no aromatic bonds, and only H, C, N, O and F have entries.

Source: Hoogeboom, Satorras, Vignac and Welling, *Equivariant diffusion for molecule generation in 3D* (2022), appendix
C, whose evaluator these rules reproduce bond by bond.
"""

from __future__ import annotations

import torch
from torch import Tensor

from manifold_gen.chemistry.elements import element_symbol
from manifold_gen.errors import DataError, UsageError

#: Elements with entries, by atomic number.
ELEMENTS = (1, 6, 7, 8, 9)
#: The one sum of bond orders that counts as stable, by atomic number.
VALENCES = {1: 1, 6: 4, 7: 3, 8: 2, 9: 1}
#: Typical lengths in pm of single, double and triple bonds, by atomic numbers in ascending order.
LENGTHS: tuple[dict[tuple[int, int], int], ...] = (
    {
        **{(1, 1): 74, (1, 6): 109, (1, 7): 101, (1, 8): 96, (1, 9): 92},
        **{(6, 6): 154, (6, 7): 147, (6, 8): 143, (6, 9): 135},
        **{(7, 7): 145, (7, 8): 140, (7, 9): 136, (8, 8): 148, (8, 9): 142, (9, 9): 142},
    },
    {(6, 6): 134, (6, 7): 129, (6, 8): 120, (7, 7): 125, (7, 8): 121, (8, 8): 121},
    {(6, 6): 120, (6, 7): 116, (6, 8): 113, (7, 7): 110},
)
#: What is added to the lengths, in pm.
MARGINS = (10, 5, 3)


def bond_orders(positions: Tensor, numbers: Tensor) -> Tensor:
    """Order 0, 1, 2 or 3 of the bond between every two atoms.

    Args:
        positions: ``(m, n, 3)`` in ångström. An atom that is not at a finite place has no bonds.
        numbers: ``(m, n)`` atomic numbers.

    Returns:
        ``(m, n, n)`` of type int8, symmetric, zero on the diagonal.

    Raises:
        UsageError: the shapes do not fit.
        DataError: an element other than H, C, N, O and F.

    Example:
        >>> carbon_monoxide = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 1.128]]])
        >>> bond_orders(carbon_monoxide, torch.tensor([[6, 8]])).tolist()
        [[[0, 3], [3, 0]]]
    """
    if positions.dim() != 3 or positions.shape[-1] != 3 or positions.shape[:2] != numbers.shape:
        raise UsageError(
            f"expected positions (m, n, 3) and numbers (m, n), got {tuple(positions.shape)} and {tuple(numbers.shape)}"
        )
    rows = _rows(numbers)
    pairs = rows.unsqueeze(-1) * len(ELEMENTS) + rows.unsqueeze(-2)
    # In double precision, so that a float32 copy of the coordinates does not move a distance across its threshold.
    x = positions.detach().to(torch.float64)
    picometres = 100 * torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    orders = torch.zeros(pairs.shape, dtype=torch.int8, device=positions.device)
    below = torch.ones_like(pairs, dtype=torch.bool)
    for table in _thresholds().to(positions.device):
        below = below & (picometres < table[pairs])
        orders += below
    orders.diagonal(dim1=-2, dim2=-1).zero_()
    return orders


def valences(orders: Tensor) -> Tensor:
    """Sum of the bond orders of every atom, ``(…, n, n)`` to ``(…, n)``.

    >>> valences(torch.tensor([[0, 3], [3, 0]], dtype=torch.int8)).tolist()
    [3, 3]
    """
    return orders.sum(-1)


def stable_atoms(numbers: Tensor, orders: Tensor) -> Tensor:
    """Whether the bond orders of every atom add up to its one allowed valence: ``(…, n)``.

    Raises:
        DataError: an element other than H, C, N, O and F.

    >>> stable_atoms(torch.tensor([1, 8]), torch.tensor([[0, 1], [1, 0]])).tolist()  # hydroxyl: oxygen lacks a bond
    [True, False]
    """
    allowed = torch.tensor([VALENCES[z] for z in ELEMENTS], device=numbers.device)
    return valences(orders) == allowed[_rows(numbers)]


def check_elements(numbers: Tensor) -> None:
    """Refuse elements that the tables do not have.

    Raises:
        DataError: an element other than H, C, N, O and F.
    """
    unknown = sorted(set(numbers.unique().tolist()) - set(ELEMENTS))
    if unknown:
        raise DataError(
            "the distance tables know H, C, N, O and F; these molecules hold "
            f"{', '.join(map(element_symbol, unknown))}. Bonds, stability and validity by these tables are not defined "
            "there: give bond orders of your own, or leave those molecules out"
        )


def _rows(numbers: Tensor) -> Tensor:
    """The place of each element in ``ELEMENTS``."""
    check_elements(numbers)
    return torch.searchsorted(torch.tensor(ELEMENTS, device=numbers.device), numbers.to(torch.int64).contiguous())


def _thresholds() -> Tensor:
    """``(3, 25)``: the distance in pm below which a pair has a bond of each order; −∞ where the tables have none."""
    table = torch.full((len(LENGTHS), len(ELEMENTS), len(ELEMENTS)), -torch.inf, dtype=torch.float64)
    for order, (lengths, margin) in enumerate(zip(LENGTHS, MARGINS, strict=True)):
        for (first, second), length in lengths.items():
            i, j = ELEMENTS.index(first), ELEMENTS.index(second)
            table[order, i, j] = table[order, j, i] = length + margin
    return table.flatten(1)
