r"""One model for clouds of every size: the law of sizes and, given the size, a model whose networks are shared.

.. math:: p(x) = p(n)\, p(x \mid n), \qquad x \in \text{PointCloud}(n).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.distributions.base import Distribution, Sampler, ScoreRecord
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.manifolds.point_clouds import PointClouds
from manifold_gen.models.base import GenerativeModel
from manifold_gen.models.chunks import CHUNK

LARGEST = 1024  # points of a cloud
SCORED = 256  # clouds at a time whose density is computed: pairs of points take memory


@runtime_checkable
class Resizable(Protocol):
    """What a model must offer to be one of a family."""

    def on_size(self, manifold: PointCloud) -> GenerativeModel:
        """The same networks on clouds of another size."""


class SizedModel(GenerativeModel):
    """A model of clouds whose size is random; ``models.build`` makes one from any model that is ``Resizable``.

    Args:
        manifold: the family of clouds.
        member: the model at any one size.

    Raises:
        UsageError: the member does not know how to change its size.
    """

    def __init__(self, manifold: PointClouds, member: Resizable) -> None:
        if not isinstance(member, Resizable):
            raise UsageError(
                f"{type(member).__name__} lives on clouds of one size, {manifold} holds many; choose endpoint-flow, or "
                "give your class a method on_size"
            )
        super().__init__(manifold)
        self.member, self.hyperparameters = member, member.hyperparameters
        self.register_buffer("counts", torch.zeros(LARGEST + 1, dtype=torch.int64))

    @property
    def kind(self) -> type[Sampler]:
        """The member's class."""
        return type(self.member)

    def at(self, n: int) -> GenerativeModel:
        """The model of clouds of ``n`` points; its weights are those of the family."""
        return self.member.on_size(self.manifold.at(n)).train(self.training)

    def on(self, x: Tensor) -> GenerativeModel:
        """The model at the size of the clouds ``x`` ``(*batch, n, d)``."""
        return self.at(x.shape[-2])

    def prepare(self, train: RaggedSplit) -> None:
        """Counts the sizes, and lets the member prepare.

        Raises:
            DataError: a cloud has more than ``LARGEST`` points.
        """
        self.prepare_sizes(train)
        self.member.prepare(train)

    def prepare_sizes(self, train: RaggedSplit) -> None:
        """Takes the law of sizes of ``train``, and nothing else.

        Raises:
            DataError: a cloud has more than ``LARGEST`` points.
        """
        if int(train.sizes.max()) > LARGEST:
            raise DataError(
                f"the largest cloud has {int(train.sizes.max())} points, models know sizes up to {LARGEST}; leave "
                "larger ones out"
            )
        self.counts.copy_(torch.bincount(train.sizes, minlength=LARGEST + 1))

    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Those of the member at the size of ``x``."""
        return self.on(x).losses(x, context, auxiliary)

    def validation(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Those of the member at the size of ``x``."""
        return self.on(x).validation(x, context, auxiliary)

    def set_progress(self, fraction: float) -> None:
        """Passed on to the member."""
        self.member.set_progress(fraction)

    def log_prob_sizes(self, sizes: Tensor) -> Tensor:
        """log p(n) of each of ``sizes``, by the counts of the training set; −inf for one that never occurred."""
        return (self.counts.double() / self.counts.sum()).log()[sizes]

    def draw_sizes(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``(n,)`` sizes by the counts of the training set.

        Raises:
            UsageError: the model has not met any data.
        """
        if not int(self.counts.sum()):
            raise UsageError("this model has not met any data, so it knows no sizes; fit it, or give the sizes")
        if n == 0:
            return torch.zeros(0, dtype=torch.int64)
        return torch.multinomial(self.counts.double(), n, replacement=True, generator=generator)

    @property
    def bound_samples(self) -> int:
        """How many noises each cloud gets in ``elbo`` unless a call says.

        Raises:
            UsageError: the member knows no such bound.
        """
        if not hasattr(self.member, "elbo"):
            raise UsageError(
                f"{type(self.member).__name__} knows no lower bound of its density; endpoint-flow and free-form-flow do"
            )
        return self.member.bound_samples

    @torch.no_grad()
    def elbo(self, split: RaggedSplit, generator: torch.Generator | None = None, samples: int | None = None) -> Tensor:
        """Estimates ``(M,)`` of a lower bound of log p(n) + log p(x | n), nats, in the order of ``split``.

        Raises:
            UsageError: the member knows no such bound.
        """
        samples = self.bound_samples if samples is None else samples
        found = self.log_prob_sizes(split.sizes).to(split.x)
        for index in split.parts(CHUNK):
            rows = split.batch(index)
            found[index] += self.on(rows.x).elbo(rows.x, generator, rows.context, samples)
        return found

    @torch.no_grad()
    def score(self, split: RaggedSplit) -> ScoreRecord:
        """log p(n) + log p(x | n) and what it rests on, each ``(M,)`` in the order of ``split``.

        Raises:
            UsageError: the member has no density.

        Example:
            >>> from manifold_gen.models import FreeFormFlow
            >>> clouds = PointClouds(2, 1)
            >>> model = SizedModel(clouds, FreeFormFlow(clouds.at(2), width=8, depth=1))
            >>> split = RaggedSplit.join([clouds.at(n).projx(torch.ones(n, 3)) for n in (2, 3)])
            >>> model.prepare(split)
            >>> model.score(split).converged
            tensor([True, True])
        """
        if not isinstance(self.member, Distribution):
            raise UsageError(f"{type(self.member).__name__} has no density; free-form-flow and endpoint-flow have")
        columns: list[Tensor] = []
        for index in split.parts(SCORED):
            rows = split.batch(index)
            record = self.on(rows.x).score(rows.x, rows.context)
            found = (record.log_prob, record.residual, record.converged, record.steps)
            columns = columns or [part.new_zeros(len(split)) for part in found]
            for column, part in zip(columns, found, strict=True):
                column[index] = part
        columns[0] += self.log_prob_sizes(split.sizes).to(columns[0])
        return ScoreRecord(*columns)

    @torch.no_grad()
    def round_trip(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Whether the latents of ``n`` clouds come back from their clouds, sizes by their law: ``(n,)`` booleans."""
        sizes = self.draw_sizes(n, generator)
        returned = torch.zeros(n, dtype=torch.bool)
        for size in sizes.unique().tolist():
            for rows in (sizes == size).nonzero().squeeze(-1).split(SCORED):
                here = None if context is None else context[rows]
                returned[rows] = self.at(size).round_trip(len(rows), here, generator).cpu()
        return returned

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        sizes: Tensor | None = None,
        chunk: int = CHUNK,
        **options: object,
    ) -> RaggedSplit:
        """``n`` clouds in random order of size.

        Args:
            n: how many.
            context: ``(n, c)``, what each is conditioned on.
            generator: of every draw.
            sizes: ``(n,)`` sizes; default: drawn from their law.
            chunk: clouds at a time.
            options: of the member's sampler, such as ``steps``.
        """
        sizes = self.draw_sizes(n, generator) if sizes is None else sizes
        clouds: list[Tensor] = [torch.empty(0)] * len(sizes)
        for size in sizes.unique().tolist():
            for rows in (sizes == size).nonzero().squeeze(-1).split(chunk):
                here = None if context is None else context[rows]
                drawn = self.at(size).sample(len(rows), here, generator, **options)
                for row, cloud in zip(rows.tolist(), drawn, strict=True):
                    clouds[row] = cloud
        width = self.manifold.position_dim + self.manifold.feature_dim
        x = torch.cat(clouds) if clouds else torch.zeros(0, width)
        return RaggedSplit(x, context, sizes)
