"""Everything that changes while a model trains, as plain tensors and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from manifold_gen.checkpoint.manifest import FORMAT_VERSION
from manifold_gen.errors import CheckpointError, UsageError
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training.config import FREE_ON_RESUME, TrainingConfig
from manifold_gen.training.distributed import World
from manifold_gen.training.ema import MovingAverage
from manifold_gen.training.step import Terms


@dataclass
class Best:
    """The best averaged weights so far by the validation loss."""

    step: int
    value: float
    weights: dict[str, Tensor]


@dataclass
class Sums:
    """Running sums of what the next log line averages."""

    count: int = 0
    rows: int = 0
    loss: float = 0.0
    gradient_norm: float = 0.0
    names: list[str] = field(default_factory=list)
    terms: Tensor | None = None

    def add(self, loss: float, gradient_norm: float, terms: Terms) -> None:
        """Take in one step, ``terms`` of this process's rows. A change of the terms' names starts afresh."""
        means = torch.stack(list(terms.values())).mean(1, dtype=torch.float64)
        if self.terms is None or self.names != list(terms):
            self.count, self.rows, self.loss, self.gradient_norm = 0, 0, 0.0, 0.0
            self.names, self.terms = list(terms), torch.zeros_like(means)
        self.count += 1
        self.rows += len(next(iter(terms.values())))
        self.loss += loss
        self.gradient_norm += gradient_norm
        self.terms += means

    def shared(self, world: World, device: torch.device) -> tuple[int, dict[str, float]]:
        """Rows of all processes, and the mean over steps and processes of the loss and of each term."""
        mine = torch.cat([torch.tensor([self.rows, self.loss], dtype=torch.float64), self.terms.cpu()])
        rows, *totals = world.add(mine.to(device)).tolist()
        means = (total / (self.count * world.size) for total in totals)
        return round(rows), dict(zip(["loss", *self.names], means, strict=True))

    def clear(self) -> None:
        """Begin the next average."""
        self.count, self.rows, self.loss, self.gradient_norm, self.terms = 0, 0, 0.0, 0.0, None


@dataclass
class State:
    """Position of a run: after ``step`` steps.

    ``stale`` counts evaluations since the best one.
    """

    model: GenerativeModel
    optimiser: torch.optim.Optimizer
    average: MovingAverage
    config: TrainingConfig
    step: int = 0
    elapsed: float = 0.0
    stale: int = 0
    best: Best | None = None
    sums: Sums = field(default_factory=Sums)

    def state_dict(self) -> dict[str, object]:
        """What ``load_state_dict`` continues from, bit for bit."""
        return {
            "format_version": FORMAT_VERSION,
            "config": {**asdict(self.config), "betas": list(self.config.betas)},
            "step": self.step,
            "elapsed": self.elapsed,
            "stale": self.stale,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": None if self.best is None else vars(self.best),
            "sums": vars(self.sums),
        }

    def load_state_dict(self, saved: Mapping[str, object]) -> None:
        """Continue from ``saved``.

        Raises:
            UsageError: the run was made with another configuration.
            CheckpointError: the weights do not fit the model.
        """
        refuse_other_config(self.config, saved["config"])
        try:
            self.model.load_state_dict(saved["model"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"the training state does not fit this model ({str(error).splitlines()[0]}); "
                "resume with the model and data that the run was started with"
            ) from error
        self.step, self.elapsed, self.stale = saved["step"], saved["elapsed"], saved["stale"]
        self.best = None if saved["best"] is None else Best(**saved["best"])
        self.sums = Sums(**saved["sums"])

    def final_weights(self) -> dict[str, Tensor]:
        """The averaged weights that the configuration keeps, with the model's buffers."""
        if self.config.keep == "best" and self.best is not None:
            return self.best.weights
        return self.averaged_weights()

    def final_progress(self) -> float:
        """Share of the training at which ``final_weights`` were taken."""
        step = self.best.step if self.config.keep == "best" and self.best is not None else self.step
        return step / self.config.steps

    def averaged_weights(self) -> dict[str, Tensor]:
        """A copy of the model's state with the averaged weights in place of the last ones."""
        state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return {**state, **{name: value.clone() for name, value in self.average.state_dict().items()}}


def refuse_other_config(config: TrainingConfig, saved: Mapping[str, object]) -> None:
    """Refuse to go on with settings that would have given another run."""
    now = {**asdict(config), "betas": list(config.betas)}
    changed = [key for key in now if key not in FREE_ON_RESUME and now[key] != saved.get(key)]
    if changed:
        parts = ", ".join(f"training.{key} = {saved.get(key)!r} (now {now[key]!r})" for key in changed)
        raise UsageError(f"the run was started with {parts}; resume with the same values or start a new run")
