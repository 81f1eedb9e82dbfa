"""The headline of the evaluation as a judge of single clouds, which can ask for molecules that it has not just seen."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.metrics.molecules.graphs import read_graphs


def strict_judge(fmt: MoleculeFormat, memory: int = 0) -> Callable[[Tensor], Tensor]:
    """Which clouds ``(b, n, p + k)`` of one size are strict successes: ``(b,)`` of bool, on the clouds' device.

    A generator that learns from a judge comes to make the same few molecules, all of them right. One that remembers
    finds them wrong, so that the generator moves on.

    Args:
        fmt: what the features of the clouds mean.
        memory: strict successes that are remembered, the last ones that it was asked about; one that has the graph of
            one of them is wrong. 0 for none.

    Raises:
        UsageError: a negative memory.
        MissingExtraError: RDKit is not installed; when it judges.

    Example:
        >>> water = torch.tensor([[0.0, 0.0, 0.12, 0, 1], [0.0, 0.76, -0.48, 1, 0], [0.0, -0.76, -0.48, 1, 0]])
        >>> strict_judge(MoleculeFormat((1, 8)))(torch.stack([water, 3 * water, water]))
        tensor([ True, False,  True])
        >>> strict_judge(MoleculeFormat((1, 8)), memory=1)(torch.stack([water, 3 * water, water]))
        tensor([ True, False, False])
    """
    recent = _Recent(memory)

    def judge(clouds: Tensor) -> Tensor:
        graphs = read_graphs(fmt.decode(RaggedSplit.join(list(clouds.cpu()))))
        verdict = [ok and recent.is_new(name) for ok, name in zip(graphs.strict.tolist(), graphs.smiles, strict=True)]
        return torch.tensor(verdict, dtype=torch.bool, device=clouds.device)

    return judge


class _Recent:
    """The last ``size`` names that were asked about."""

    def __init__(self, size: int) -> None:
        if size < 0:
            raise UsageError(f"memory is {size}, expected a number of molecules, 0 or more")
        self.size, self.names, self.counts = size, deque(), Counter()

    def is_new(self, name: str) -> bool:
        """Whether ``name`` is none of them; from now on it is."""
        new = not self.counts[name]
        self.names.append(name)
        self.counts[name] += 1
        if len(self.names) > self.size:
            gone = self.names.popleft()
            self.counts[gone] -= 1
            if not self.counts[gone]:
                del self.counts[gone]
        return new
