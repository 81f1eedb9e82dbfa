"""The assignment problem of many small square matrices at once on a GPU, one program a matrix.

Shortest augmenting paths with potentials, the Hungarian method in O(n³): R. Jonker and A. Volgenant, *A shortest
augmenting path algorithm for dense and sparse linear assignment problems*, Computing 38 (1987). Vectors over columns
lie in registers; place 0 is a column that no row can keep, from which every path starts. The module needs Triton,
which comes with torch where CUDA does.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

FAR = 3.0e38


def solve(cost: Tensor) -> Tensor:
    """The column of each row ``(b, n)``, int64, for which the sum of the ``(b, n, n)`` costs is least; float32 inside.

    A matrix with an entry that is not finite gets some columns: the search has a bounded number of steps.
    """
    batch, n, _ = cost.shape
    cost = cost.detach().float().contiguous()
    columns = torch.zeros(batch, n, dtype=torch.int64, device=cost.device)
    if columns.numel():
        width = triton.next_power_of_2(n + 1)
        _augmenting_paths[(batch,)](cost, columns, n, WIDTH=width, FAR=FAR, num_warps=max(1, min(8, width // 32)))
    return columns


@triton.jit
def _at(values, lane, place):  # noqa: ANN001, ANN202
    return tl.sum(tl.where(lane == place, values, 0), 0)


@triton.jit
def _augmenting_paths(cost_ptr, columns_ptr, n, WIDTH: tl.constexpr, FAR: tl.constexpr):  # noqa: ANN001, ANN202
    matrix = tl.program_id(0).to(tl.int64)
    cost_ptr += matrix * n * n
    lane = tl.arange(0, WIDTH)
    real = (lane >= 1) & (lane <= n)
    row_of = tl.zeros([WIDTH], tl.int32)  # the row that a column is given, 0 for none; rows count from 1
    row_potential = tl.zeros([WIDTH], tl.float32)  # of the row that a column is given
    potential = tl.zeros([WIDTH], tl.float32)  # of the columns
    for row in range(1, n + 1):
        row_of = tl.where(lane == 0, row, row_of)
        row_potential = tl.where(lane == 0, 0.0, row_potential)
        least = tl.full([WIDTH], FAR, tl.float32)
        before = tl.zeros([WIDTH], tl.int32)
        seen = lane == 0
        column = 0
        current = row
        steps = 0
        while (current != 0) & (steps <= n):
            start = tl.load(cost_ptr + (current - 1) * n + lane - 1, mask=real, other=0.0)
            reduced = start - _at(row_potential, lane, column) - potential
            nearer = real & (seen == 0) & (reduced < least)
            least = tl.where(nearer, reduced, least)
            before = tl.where(nearer, column, before)
            open_ = tl.where(real & (seen == 0), least, FAR)
            step = tl.min(open_, 0)
            column = tl.argmin(open_, 0)
            row_potential = tl.where(seen, row_potential + step, row_potential)
            potential = tl.where(seen, potential - step, potential)
            least = tl.where(seen, least, least - step)
            seen = seen | (lane == column)
            current = _at(row_of, lane, column)
            steps += 1
        steps = 0
        while (column != 0) & (steps <= n):
            previous = _at(before, lane, column)
            row_of = tl.where(lane == column, _at(row_of, lane, previous), row_of)
            row_potential = tl.where(lane == column, _at(row_potential, lane, previous), row_potential)
            column = previous
            steps += 1
    tl.store(columns_ptr + matrix * n + row_of - 1, (lane - 1).to(tl.int64), mask=real & (row_of > 0))
