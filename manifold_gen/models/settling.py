r"""Where a teacher settles clouds: what a ``SettledFlow`` learns.

To settle a cloud, the teacher repeats

.. math:: y \leftarrow \hat x_1\big(t\, y + (1 - t)\, \epsilon,\; t\big), \qquad t \text{ rising from } s \text{ to } 1,

each ε new and paired with y. From a late s it smooths a cloud and leaves its structure; from an earlier one, in many
rounds, it builds parts of it anew, in one of many ways. The first is what a generator can follow, the second what a
cloud needs that is wrong. So a judge, where there is one, decides for each cloud. One that also finds wrong what it has
just seen keeps the generator from making the same few clouds, see ``metrics.molecules.strict_judge``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.endpoint_flow import EndpointFlow
from manifold_gen.models.noise_schedule import time_pairs

Judge = Callable[[Tensor], Tensor]  # of clouds (b, n, p + k) of one size, which are right: (b,) of bool
PRECISIONS = ("float32", "bf16")
_LARGEST_WEIGHT = 5.0  # of a kind that the generator makes too seldom, and one over it of one made too often


@dataclass(frozen=True)
class Teacher:
    """A flow that settles clouds; it is not trained.

    Attributes:
        flow: guesses the clean cloud.
        judge: says which clouds are right; none for no opinion.
        precision: of the guesses, ``"float32"`` or ``"bf16"``, which processors that multiply in it make twice as fast.

    Raises:
        UsageError: an unknown precision.
    """

    flow: EndpointFlow
    judge: Judge | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}")

    def at(self, manifold: PointCloud) -> Teacher:
        """The same teacher of clouds of another size."""
        return replace(self, flow=self.flow.on_size(manifold))

    @torch.no_grad()
    def settle(self, x: Tensor, noise: Tensor, start: Tensor, context: Tensor | None = None) -> Tensor:
        """Where the clouds ``x`` ``(b, n, p + k)`` settle.

        Args:
            x: clouds.
            noise: ε of each round, ``(b, rounds, n, p + k)``.
            start: s, ``(b,)``.
            context: what the clouds are conditioned on.
        """
        y, embedded = x, self.flow.context(context)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            for fresh, u in zip(noise.unbind(1), time_pairs(noise.shape[1])[0], strict=True):
                t = 1 - (1 - start) * (1 - u)
                y = self.flow.endpoint(torch.lerp(self.flow.coupled(fresh, y), y, t.reshape(-1, 1, 1)), t, embedded)
        return y.to(x)

    @torch.no_grad()
    def goals(
        self, x: Tensor, noise: Tensor, rounds: int, late: Tensor, early: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """Where clouds should go: they settle from ``late``, and wrong ones from ``early`` where that rights them.

        Args:
            x: clouds ``(b, n, p + k)``.
            noise: ε, ``(b, K, n, p + k)``; wrong clouds settle in K rounds.
            rounds: of the others, at most K.
            late, early: s, ``(b,)``.
            context: what the clouds are conditioned on.
        """
        goal = self.settle(x, noise[:, :rounds], late, context)
        if self.judge is None:
            return goal
        wrong = (~self.judge(x)).nonzero().squeeze(-1)
        if not len(wrong):
            return goal
        mended = self.settle(x[wrong], noise[wrong], early[wrong], None if context is None else context[wrong])
        right = self.judge(mended)
        goal[wrong[right]] = mended[right]
        return goal


@torch.no_grad()
def balanced(goal: Tensor, made: Tensor, real: Tensor, exponent: float) -> Tensor:
    """Probabilities of the kinds in ``goal``, weighted by how much commoner they are in ``real`` than in ``made``.

    Args:
        goal, made, real: one a point, ``(b, n, k)``; of the last two the likeliest kind counts.
        exponent: of the weights; 0 leaves ``goal`` as it is.

    Example:
        >>> kinds = torch.eye(2)
        >>> balanced(torch.tensor([[[0.5, 0.5]]]), kinds[None, [0, 1, 1]], kinds[None, [0, 0, 1]], 1.0)
        tensor([[[0.6923, 0.3077]]])
    """
    wanted, present = (_counts(kinds) + 1 for kinds in (real, made))  # one more, so that no share is zero
    weighted = goal * (wanted / present).clamp(1 / _LARGEST_WEIGHT, _LARGEST_WEIGHT) ** exponent
    return weighted / weighted.sum(-1, keepdim=True)


def _counts(kinds: Tensor) -> Tensor:
    """How many points of the batch are of each kind, ``(k,)``."""
    return torch.bincount(kinds.argmax(-1).flatten(), minlength=kinds.shape[-1])
