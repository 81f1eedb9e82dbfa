"""What training asks of a generative model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen.distributions.base import Sampler

if TYPE_CHECKING:
    from manifold_gen.data.base import Split


class GenerativeModel(Sampler):
    """A sampler that learns: named loss terms per sample, whose sum is minimised.

    Random inputs of the loss (probes, latents, proposal points, noise) come from ``auxiliary`` as tensors with one row
    a sample, so that the trainer can draw them for a whole batch and hand each process its rows: what a sample sees is
    a function of the seed, the step and its place in the batch, never of the process it landed on.

    ``hyperparameters`` are the constructor's keyword arguments beside ``manifold``, plain numbers, strings and lists:
    with the manifold's ``spec`` and the tensors they are all that a checkpoint keeps.
    """

    hyperparameters: dict[str, object]

    @property
    def kind(self) -> type[Sampler]:
        """The class by whose name a checkpoint finds this model again."""
        return type(self)

    @abstractmethod
    def losses(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Weighted loss terms, each ``(batch,)``, under the names they are logged by; the loss is their sum."""

    def auxiliary(self, n: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Random inputs of ``losses`` for ``n`` samples, each with leading dimension ``n``."""
        return {}

    def on(self, x: Tensor) -> GenerativeModel:
        """The model of the points ``x``: this one; a family of models, one a cloud size, tells by their shape."""
        return self

    def prepare(self, train: Split) -> None:
        """Told by the trainer once, before the first step of a run: the rows that it will train on."""

    def loss(self, x: Tensor, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Loss per sample, ``(batch,)``, unreduced."""
        terms = self.losses(x, context, self.on(x).auxiliary(x.shape[0], generator))
        return torch.stack(list(terms.values())).sum(0)

    def validation(
        self, x: Tensor, context: Tensor | None = None, auxiliary: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Terms ``(batch,)`` whose sum decides which weights are kept and when to stop early; default: ``losses``.

        A model whose loss changes with ``set_progress`` overrides this with terms that do not, nearest the negative
        log-likelihood. ``auxiliary`` holds the same random inputs at every call of one run.
        """
        return self.losses(x, context, auxiliary)

    def set_progress(self, fraction: float) -> None:
        """Told by the trainer before each step: the share of the training that is done, in [0, 1]."""
