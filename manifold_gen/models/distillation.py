r"""A free-form flow that starts from what a continuous model has learned.

A continuous model T joins each latent z to one data point x = T(z): a bijection already, but one that takes many
evaluations. Decoder g and encoder f are first regressed on such pairs and on the teacher's Jacobian,

.. math:: \beta\,\mathrm{dist}^2(g(z), x) + \beta\,\mathrm{dist}^2(f(x), z)
          + \lambda\log\bigl(1 + \tfrac1n |DT(z)^{-1} Dg(z) - 1|^2\bigr),

then trained by their own likelihood, which may end above the teacher's.
Hinton, Vinyals and Dean, *Distilling the knowledge in a neural network* (2015), for learning from a slower model's
answers; Czarnecki and others, *Sobolev training for neural networks* (2017), for learning its derivatives too.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifold_gen import calculus
from manifold_gen.data.base import Dataset
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models.cloud_pairs import cloud_pairs
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.models.free_form_flow import LARGEST_FOLD_DIM, FreeFormFlow
from manifold_gen.models.pairs import FlowPairs, LearnsPairs, flow_pairs
from manifold_gen.models.sized import SizedModel
from manifold_gen.ode import Solver
from manifold_gen.training import FitResult, TrainingConfig, fit

# |det| of either map below this counts as this much where their logarithms are compared.
SMALLEST_DET = 1e-3


class DistilledFlow(LearnsPairs, FreeFormFlow):
    r"""A ``FreeFormFlow`` whose training begins on the pairs of a teacher.

    Give it the pairs by ``learn_from`` before ``fit``; without them it is a ``FreeFormFlow`` and trains as one. Pairs
    are no part of the model: a saved one holds its networks alone.

    Args:
        manifold: where data and latents live.
        pairs: latents of the base that the teacher is asked about.
        near: training points whose latents it is asked about, at most.
        pair_steps: midpoint steps of the teacher's flow; one takes two evaluations.
        pair_weight, jacobian_weight, volume_weight: β of the distances, λ of the Jacobians, and the weight of
            (log|det Dg(z)| − log|det DT(z)|)².
        share: of the training spent on pairs.
        volume: of the likelihood that follows, see ``FreeFormFlow``; ``"auto"`` is ``"inverse"`` in up to three
            dimensions, where Newton's method is cheap and Jacobians are followed, and as in ``FreeFormFlow`` beyond.
        options: as in ``FreeFormFlow``. With ``stages`` K, stage k is also regressed on the teacher's flow from time
            k/K to (k + 1)/K.

    Raises:
        UsageError: fewer ``pair_steps`` than stages, or as ``FreeFormFlow``.

    Example:
        >>> from manifold_gen.manifolds import Torus
        >>> from manifold_gen.models import FlowMatching
        >>> circle = Torus(1)
        >>> flow = DistilledFlow(circle, pairs=32, near=8, pair_steps=2, width=8, depth=1)
        >>> flow.learn_from(FlowMatching(circle, width=8, depth=1), circle.random_uniform(20))
        >>> len(flow.pairs)
        40
    """

    inverse_up_to = LARGEST_FOLD_DIM

    def __init__(
        self,
        manifold: Manifold,
        *,
        pairs: int = 4096,
        near: int = 4096,
        pair_steps: int = 8,
        pair_weight: float = 100.0,
        jacobian_weight: float = 0.1,
        volume_weight: float = 0.0,
        share: float = 0.4,
        volume: str = "auto",
        **options: object,
    ) -> None:
        own = {k: v for k, v in locals().items() if k not in ("self", "manifold", "options", "__class__")}
        super().__init__(manifold, volume=volume, **options)
        stages = self.hyperparameters["stages"]
        if pair_steps < stages:
            raise UsageError(f"pair_steps is {pair_steps}; expected at least one a stage, there are {stages}")
        self.hyperparameters = {**self.hyperparameters, **own}
        self.follows_jacobians = manifold.dim <= LARGEST_FOLD_DIM and bool(jacobian_weight or volume_weight)

    def learn_from(
        self, teacher: ContinuousDistribution, points: Tensor, context: Tensor | None = None, seed: int = 0
    ) -> None:
        """Ask ``teacher`` for the pairs that the first part of a training regresses on.

        Args:
            teacher: a trained continuous model on the same manifold.
            points: training points ``(N, *shape)``, near which some pairs lie.
            context: ``(N, …)``, what each point is conditioned on.
            seed: of the latents and of the choice of points.

        Raises:
            UsageError: the teacher lives on another manifold.
            IntegrationError: its field is not finite somewhere.
        """
        if teacher.manifold.spec != self.manifold.spec:
            raise UsageError(
                f"the teacher lives on {teacher.manifold.spec}, the student on {self.manifold.spec}; "
                "make both with the data set's manifold"
            )
        told = self.hyperparameters
        solver = Solver("midpoint", told["pair_steps"] // told["stages"])
        counts = (told["pairs"], told["near"])
        self.pairs = flow_pairs(teacher, points, context, *counts, solver, told["stages"], seed, self.follows_jacobians)

    # ---- training -----------------------------------------------------------------------------------------------

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The distances of the pairs during ``share`` of the training, then the terms of ``FreeFormFlow``."""
        drawn = self.auxiliary(len(x)) if auxiliary is None else auxiliary
        if self.pairs is None or self.progress >= self.hyperparameters["share"]:
            return super().losses(x, context, drawn)
        return self._pair_losses(self.pairs.to(x).take(drawn["pair"]))

    def _pair_losses(self, pairs: FlowPairs) -> dict[str, Tensor]:
        told, manifold = self.hyperparameters, self.manifold
        context = self.context(pairs.context)
        terms = {}
        if pairs.jacobian is None:
            y = self.decoder(pairs.z, context)
        else:
            y, matrix = calculus.jacobian(self.decoder, manifold, pairs.z, context)
            terms["pair_jacobian"] = told["jacobian_weight"] * _relative(pairs.jacobian, matrix)
            terms["pair_volume"] = told["volume_weight"] * _volume_error(pairs.jacobian, matrix)
        guess = self.encoder(pairs.x, context)
        terms["pair_decoder"] = told["pair_weight"] * manifold.dist2(y, pairs.x)
        terms["pair_encoder"] = told["pair_weight"] * manifold.dist2(guess, pairs.z)
        if told["stages"] > 1:
            terms["pair_stages"] = told["pair_weight"] * self._stage_errors(pairs, context)
        return terms

    def _stage_errors(self, pairs: FlowPairs, context: Tensor | None) -> Tensor:
        path, count = [pairs.z, *pairs.stops.unbind(1)], pairs.stops.shape[1]
        errors = [
            self.manifold.dist2(self.decoder.stage(k, path[k], context), path[k + 1])
            + self.manifold.dist2(self.encoder.stage(k, path[count - k], context), path[count - k - 1])
            for k in range(count)
        ]
        return torch.stack(errors).sum(0)


def distil(
    teacher: ContinuousDistribution | SizedModel,
    student: DistilledFlow | SizedModel,
    dataset: Dataset,
    config: TrainingConfig | None = None,
    **options: object,
) -> FitResult:
    """Collect the teacher's pairs and fit ``student``, in place; ``options`` go to ``fit``.

    On clouds of many sizes both are families that ``models.build`` made, and pairs are collected by size, see
    ``cloud_pairs``.

    Raises:
        UsageError: teacher, student and data do not go together.
        IntegrationError: the teacher's field is not finite somewhere.
        DivergenceError: a loss is not finite.
    """
    config = config or TrainingConfig()
    if dataset.manifold.varies:
        learn_sizes(teacher, student, dataset.train, config.seed)
    else:
        student.learn_from(teacher, dataset.train.x, dataset.train.context, config.seed)
    return fit(student, dataset, config, **options)


def learn_sizes(teacher: SizedModel, student: SizedModel, train: RaggedSplit, seed: int = 0) -> None:
    """Ask a family for the pairs of every size, and lay them into ``student``, a family of ``DistilledFlow``.

    Raises:
        UsageError: the clouds are of different kinds.
        IntegrationError: the teacher's field is not finite somewhere.
    """
    if teacher.manifold.spec != student.manifold.spec:
        raise UsageError(
            f"the teacher makes clouds of {teacher.manifold.spec}, the student of {student.manifold.spec}; take the "
            "elements and properties of one data set for both"
        )
    student.prepare(train)
    member, told = student.member, student.hyperparameters
    solver = Solver("midpoint", told["pair_steps"] // told["stages"])
    counts = (told["pairs"], told["near"])
    member.pairs_by_size = cloud_pairs(teacher, train, float(member.kind_size), *counts, solver, seed, told["stages"])


def _relative(teacher: Tensor, own: Tensor) -> Tensor:
    """log(1 + |T⁻¹ J − 1|² / n): how far J is from T in units of T, with bounded pull where T is nearly singular."""
    columns = [calculus.solve(teacher, column) for column in own.unbind(-1)]
    off = torch.stack(columns, -1) - torch.eye(own.shape[-1], dtype=own.dtype, device=own.device)
    return torch.log1p(off.square().sum((-2, -1)) / own.shape[-1])


def _volume_error(teacher: Tensor, own: Tensor) -> Tensor:
    found, wanted = (calculus.bounded_log_det(matrix, SMALLEST_DET) for matrix in (own, teacher))
    return (found - wanted).square()
