r"""An endpoint flow that learns the pairs of another one, and so needs fewer evaluations.

A flow joins each latent z to one cloud x = T(z). Trained anew on these pairs, by the same loss along the straight lines
between them, paths hardly cross any more, and their ends can be guessed from their beginnings. Rows at t = 0 alone make
a sampler of one evaluation.
Liu, Gong and Liu, *Flow straight and fast: learning to generate and transfer data with rectified flow* (2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.chunks import in_chunks
from manifold_gen.models.endpoint_flow import EndpointFlow
from manifold_gen.models.pairs import FlowPairs, LearnsPairs
from manifold_gen.models.renewal import Renewal
from manifold_gen.models.sized import SizedModel

PAIRS_AT_ONCE = 2048
_SIZES, _LATENTS = 31, 32  # streams of random numbers


class RectifiedFlow(LearnsPairs, EndpointFlow):
    """An ``EndpointFlow`` that is trained on the pairs of another; without them it trains as one.

    Give it the pairs by ``rectify``. They are no part of the model: a saved one holds its network alone.

    Args:
        manifold: where the clouds live.
        start: share of the rows that stand at t = 0, where a sample in one evaluation comes from.
        options: as in ``EndpointFlow``; ``noise`` is 0 unless it is given, for the pairs have no other.

    Raises:
        UsageError: a share outside [0, 1], ``pairing``, which would part the pairs, or as ``EndpointFlow``.

    Example:
        >>> flow = RectifiedFlow(PointCloud(4, 2), width=8, pair_width=8, depth=1, steps=1)
        >>> flow.sample(5).shape
        torch.Size([5, 4, 2])
    """

    def __init__(
        self, manifold: PointCloud, *, start: float = 0.5, noise: float = 0.0, pairing: bool = False, **options: object
    ) -> None:
        if not 0 <= start <= 1:
            raise UsageError(f"start is {start}, expected a share between 0 and 1")
        if pairing:
            raise UsageError("pairing is on, which would part the pairs that a rectified flow learns; leave it off")
        super().__init__(manifold, noise=noise, pairing=pairing, **options)
        self.hyperparameters = {**self.hyperparameters, "start": start}

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Those of ``EndpointFlow`` on pairs, whose clouds stand for those of ``x``: as many, of the same size."""
        drawn = self.auxiliary(len(x)) if auxiliary is None else dict(auxiliary)
        if self.pairs is not None:
            pairs, start = self.pairs.to(x).take(drawn["pair"]), self.hyperparameters["start"]
            x = pairs.x
            # the share of the uniform numbers below ``start`` becomes t = 0, the others are stretched to [0, 1]
            time = ((drawn["time"] - start) / max(1 - start, 1e-6)).clamp(0, 1)
            drawn |= {"latent": pairs.z, "time": time}
        return super().losses(x, context, drawn)


def rectify(
    teacher: SizedModel, student: SizedModel, train: RaggedSplit, count: int, steps: int, seed: int = 0
) -> None:
    """Start ``student`` from the weights of ``teacher`` and lay ``count`` of its pairs into it.

    Args:
        teacher: a family of ``EndpointFlow``.
        student: a family of ``RectifiedFlow`` with networks of the same size.
        train: clouds, of which the sizes are taken.
        count: pairs in all, sizes by the law of ``train``.
        steps: evaluations that the teacher takes for a pair.
        seed: of sizes and latents.

    Raises:
        UsageError: one of them is another model, or their networks differ.
    """
    _check(teacher, student)
    student.load_state_dict(teacher.state_dict())
    student.prepare_sizes(train)
    device = next(teacher.parameters()).device
    sizes = train.sizes[torch.randint(len(train), (count,), generator=seeds.generator(seed, _SIZES)).to(train.x.device)]
    follow, found = Renewal(steps, noise=0.0), {}
    for n, many in zip(*sizes.unique(return_counts=True), strict=True):
        member = teacher.at(int(n))
        z = member.base.sample(int(many), generator=seeds.generator(seed, _LATENTS, int(n), device=device))
        x = in_chunks(lambda rows, _, member=member: follow.refine(member, rows), z, None, PAIRS_AT_ONCE)
        found[int(n)] = FlowPairs(z, x.unsqueeze(1), None)
    student.member.pairs_by_size = found


def _check(teacher: SizedModel, student: SizedModel) -> None:
    if not isinstance(teacher.member, EndpointFlow) or not isinstance(student.member, RectifiedFlow):
        raise UsageError(
            f"{type(teacher.member).__name__} and {type(student.member).__name__} were given, expected families of "
            "EndpointFlow and of RectifiedFlow"
        )
    shapes = [{name: value.shape for name, value in model.state_dict().items()} for model in (teacher, student)]
    if shapes[0] != shapes[1]:
        raise UsageError("the networks of teacher and student differ; make the student with the teacher's settings")
