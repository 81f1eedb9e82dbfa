"""The headline of the evaluation as a judge of single clouds."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.metrics.molecules.graphs import read_graphs


def strict_judge(fmt: MoleculeFormat) -> Callable[[Tensor], Tensor]:
    """Which clouds ``(b, n, p + k)`` of one size are strict successes: ``(b,)`` of bool, on the clouds' device.

    Raises:
        MissingExtraError: RDKit is not installed; when it judges.

    Example:
        >>> import torch
        >>> water = torch.tensor([[0.0, 0.0, 0.12, 0, 1], [0.0, 0.76, -0.48, 1, 0], [0.0, -0.76, -0.48, 1, 0]])
        >>> strict_judge(MoleculeFormat((1, 8)))(torch.stack([water, 3 * water]))
        tensor([ True, False])
    """

    def judge(clouds: Tensor) -> Tensor:
        return read_graphs(fmt.decode(RaggedSplit.join(list(clouds.cpu())))).strict.to(clouds.device)

    return judge
