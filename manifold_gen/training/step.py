"""One optimiser step: batch, loss, gradient, update; and the same loss on held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from manifold_gen import seeds
from manifold_gen.data.base import Split
from manifold_gen.errors import UsageError
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training.config import TrainingConfig
from manifold_gen.training.distributed import World
from manifold_gen.training.muon import Muon

Terms = dict[str, Tensor]
_TRAINING, _VALIDATION = 1, 2  # streams of random numbers, apart from each other and from the batch order


class LossModule(nn.Module):
    """A model's loss as a ``forward``, which is what data-parallel and compiled modules understand."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, context: Tensor | None, auxiliary: Terms) -> tuple[Tensor, Terms]:
        """Mean loss, and its terms per sample without gradient."""
        terms = self.model.losses(x, context, auxiliary)
        total = torch.stack(list(terms.values())).sum(0).mean()
        return total, {name: term.detach() for name, term in terms.items()}


@dataclass(frozen=True)
class StepRecord:
    """What one step measured: loss and gradient norm of the global batch, terms ``(rows,)``, rows of the data set."""

    loss: float
    gradient_norm: float
    terms: Terms
    index: Tensor


class Stepper:
    """The loss of a model on one process, its gradient averaged over all, and the optimiser."""

    def __init__(self, model: GenerativeModel, config: TrainingConfig, world: World, device: torch.device) -> None:
        self.model, self.config, self.world, self.device = model, config, world, device
        self.optimiser = build_optimiser(model, config)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.loss = self._loss_module()
        self._epoch: tuple[int, list[Tensor]] = (-1, [])

    def backward(self, train: Split, step: int) -> StepRecord:
        """Loss and gradient of the batch of ``step``, the gradient clipped; no weight changes."""
        index, rows = self._batch(train, step)
        size = len(index)
        mine = index[rows]
        batch = train.batch(mine.to(self.device))
        auxiliary = self._auxiliary(batch.x, size, rows, _TRAINING, step)
        self.optimiser.zero_grad()
        with self._autocast():
            total, terms = self.loss(batch.x, batch.context, auxiliary)
        if step == 0:
            _check_terms(terms, len(mine))
        total.backward()
        norm = get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.config.grad_clip > 0:
            clip_grads_with_norm_(self.parameters, self.config.grad_clip, norm)
        loss, gradient_norm = torch.stack([total.detach(), norm]).tolist()
        return StepRecord(loss, gradient_norm, terms, mine)

    def update(self, lr: float) -> None:
        """Change the weights by the gradient of the last ``backward``."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()

    def validate(self, val: Split) -> dict[str, float]:
        """Mean of each term of the model's ``validation`` on ``val``, with the same random inputs at every call."""
        size = self.config.batch_size
        parts = val.parts(size)
        # a process without a part of its own takes the first, at weight 0, to know the names of the terms
        mine = range(self.world.rank, len(parts), self.world.size) or [0]
        sums: dict[str, Tensor] = {}
        for number in mine:
            rows = val.batch(parts[number].to(self.device))
            auxiliary = self._auxiliary(rows.x, len(rows), slice(None), _VALIDATION, number)
            weight = float(number % self.world.size == self.world.rank)
            for name, term in self.model.validation(rows.x, rows.context, auxiliary).items():
                sums[name] = sums.get(name, 0.0) + weight * term.detach().double().sum()
        totals = self.world.add(torch.stack(list(sums.values()))).tolist()
        return {name: total / len(val) for name, total in zip(sums, totals, strict=True)}

    def _batch(self, train: Split, step: int) -> tuple[Tensor, slice]:
        epoch, place = divmod(step, train.batch_count(self.config.batch_size))
        if epoch != self._epoch[0]:
            self._epoch = (epoch, train.batch_index(self.config.seed, epoch, self.config.batch_size))
        index = train.shared(self._epoch[1][place], self.world.size)
        return index, self.world.rows(len(index))

    def _auxiliary(self, x: Tensor, size: int, rows: slice, *counters: int) -> Terms:
        generator = seeds.generator(self.config.seed, *counters, device=self.device)
        drawn: Mapping[str, Tensor] = self.model.on(x).auxiliary(size, generator)
        return {name: value[rows] for name, value in drawn.items()}

    def _autocast(self) -> AbstractContextManager[object]:
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _loss_module(self) -> Callable[..., tuple[Tensor, Terms]]:
        module: nn.Module = LossModule(self.model)
        if self.config.compile:
            _compile(module)
        if self.world.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        parallel = DistributedDataParallel(module, device_ids=devices)
        parallel.broadcast_buffers = False  # newer versions of torch warn of the argument
        return parallel


def build_optimiser(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser of ``config``; weight decay for parameters of two axes and more."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UsageError(f"{type(model).__name__} has no parameters to train")
    if config.optimiser == "muon":
        return Muon(trained, config.lr, config.betas, config.weight_decay)
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    others = [parameter for parameter in trained if parameter.dim() <= 1]
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((matrices, config.weight_decay), (others, 0.0))
        if params
    ]
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
    if config.optimiser == "adam":
        return torch.optim.Adam(trained, lr=config.lr, betas=config.betas, fused=True)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.betas[0], fused=True)


def _compile(module: nn.Module) -> None:
    """Compile the parts that ask for it, for every shape at once; a module without such parts as a whole.

    Clouds come in many sizes, and a part that is repeated is compiled once.
    """
    parts = [part for part in module.modules() if getattr(part, "compiled_alone", False)]
    for part in parts:
        part.compile(dynamic=True)
    if not parts:
        module.compile()


def _check_terms(terms: Terms, rows: int) -> None:
    for name, term in terms.items():
        if term.shape != (rows,):
            raise UsageError(f"loss term {name!r} has shape {tuple(term.shape)}, expected one value a row: ({rows},)")
