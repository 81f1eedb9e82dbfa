"""The assignment problem for a batch of small square matrices, where the numbers are."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def assignment(gain: Tensor) -> Tensor:
    r"""The permutation of the columns of each matrix that gains most, int64 ``(b, n)``.

    .. math:: \operatorname{argmax}_\pi \sum_i g_{i \pi(i)}.

    On a GPU all matrices are solved there, at once and in float32, by a kernel in Triton; without Triton, and
    elsewhere, one after the other by SciPy.

    Args:
        gain: ``(b, n, n)``.

    Raises:
        ValueError: off the GPU, an entry is NaN. There a matrix with one gets columns that mean nothing.

    Example:
        >>> assignment(torch.tensor([[[1.0, 3.0], [2.0, 3.0]]]))
        tensor([[1, 0]])
    """
    gain = gain.detach()
    if gain.is_cuda:
        try:
            from manifold_gen.assignment_kernel import solve
        except ModuleNotFoundError:  # no Triton: one by one below
            pass
        else:
            return solve(-gain)
    order = [linear_sum_assignment(matrix, maximize=True)[1] for matrix in gain.cpu().numpy()]
    return torch.as_tensor(np.array(order, dtype=np.int64).reshape(gain.shape[:2]), device=gain.device)
