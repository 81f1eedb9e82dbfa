r"""Pairs of a continuous model's flow on clouds of every size, for a student that has to invert what it learns.

Latents of the base are followed to the data, and training clouds to the base. Two things are particular to clouds that
carry kinds. A flow brings a region of latents to one kind, so nothing of them is left at its end; the student's target
keeps it,

.. math:: h = s\,(\text{one-hot} + \Phi(z) - \tfrac12),

with Φ the normal distribution function of the features of the latent and s the size of the kinds: the cube of a kind is
filled by the latents that lead there. And a cloud is followed back not from t = 1, where all its latents meet, but from
a little noise before, paired as the teacher was taught.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from manifold_gen import seeds
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.models.chunks import in_chunks
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.models.pairs import FlowPairs, transport
from manifold_gen.models.sized import SCORED, SizedModel
from manifold_gen.ode import Solver

# Where a training cloud is followed back from: that near to the data what is guessed of it moves by hundredths of its
# size, and all of the noise is left in its kinds.
START = 0.98
_SIZES, _LATENTS, _ROWS, _NOISE = 21, 22, 23, 24  # streams of random numbers


@torch.no_grad()
def cloud_pairs(
    teacher: SizedModel,
    train: RaggedSplit,
    kind_size: float,
    count: int,
    near: int,
    solver: Solver,
    seed: int = 0,
    stages: int = 1,
) -> dict[int, FlowPairs]:
    """Pairs by cloud size: of ``count`` latents with sizes by the law of ``train``, and of ``near`` clouds of it.

    Args:
        teacher: a family of continuous models.
        train: clouds; where there are fewer than ``near``, all of them.
        kind_size: s, 0 where features are no kinds.
        count, near: how many of either.
        solver: of each stage.
        seed: of sizes, latents, noise and choice.
        stages: K, see ``FlowPairs``.

    Raises:
        UsageError: the teacher is no continuous model, or is conditioned on something.
        IntegrationError: its field is not finite somewhere.
    """
    if not isinstance(teacher.member, ContinuousDistribution) or train.context is not None:
        raise UsageError(
            f"pairs of {type(teacher.member).__name__} were asked for, of clouds "
            f"{'with' if train.context is not None else 'without'} a context; expected a continuous model without one"
        )
    like = next(teacher.parameters())
    drawn = train.sizes[torch.randint(len(train), (count,), generator=seeds.generator(seed, _SIZES))]
    rows = torch.randperm(len(train), generator=seeds.generator(seed, _ROWS))[:near]
    chosen = train.take(rows).to(dtype=like.dtype, device=like.device)
    found: dict[int, FlowPairs] = {}
    for n in torch.cat([drawn, chosen.sizes.cpu()]).unique().tolist():
        there = (chosen.sizes == n).nonzero().squeeze(-1)
        points = chosen.batch(there).x if len(there) else like.new_zeros(0, n, chosen.x.shape[-1])
        found[n] = _of_size(
            teacher.at(n), points, kind_size, int((drawn == n).sum()), solver, stages, seeds.mix(seed, n)
        )
    return found


def _of_size(
    teacher: ContinuousDistribution, points: Tensor, size: float, count: int, solver: Solver, stages: int, seed: int
) -> FlowPairs:
    """The pairs of one size: those of ``count`` latents, then those of ``points``."""
    device, times = points.device, [k / stages for k in range(stages + 1)]

    def followed(x: Tensor, start: float, end: float) -> Tensor:
        return in_chunks(lambda rows, _: transport(teacher, rows, None, start, end, solver), x, None, SCORED)

    path = [teacher.base.sample(count, generator=seeds.generator(seed, _LATENTS, device=device)).to(points)]
    for start, end in itertools.pairwise(times):
        path.append(followed(path[-1], start, end))
    noise = teacher.base.sample(len(points), generator=seeds.generator(seed, _NOISE, device=device)).to(points)
    back = [torch.lerp(teacher.coupled(noise, points), points, START)]
    for start, end in itertools.pairwise([START, *times[-2::-1]]):
        back.append(followed(back[-1], start, end))
    back[0] = points
    stops = [torch.cat(both) for both in zip(path, reversed(back), strict=True)]
    if size > 0:
        stops[-1] = kept_apart(stops[-1], stops[0], size, teacher.manifold.feature_dim)
    return FlowPairs(stops[0], torch.stack(stops[1:], 1), None)


def kept_apart(x: Tensor, z: Tensor, size: float, k: int) -> Tensor:
    """``x`` with its last ``k`` features the nearest kind's, and within the cube of the kind where those of ``z`` say.

    Example:
        >>> kept_apart(torch.tensor([[0.0, 0.2, 0.9]]), torch.tensor([[0.0, 0.0, 9.0]]), 1.0, 2)
        tensor([[0.0000, 0.0000, 1.5000]])
    """
    kinds = torch.nn.functional.one_hot(x[..., -k:].argmax(-1), k).to(x)
    return torch.cat([x[..., :-k], size * (kinds + torch.special.ndtr(z[..., -k:]) - 0.5)], -1)
