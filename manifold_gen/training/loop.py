"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import torch

from manifold_gen.checkpoint.folder import MODEL, STATE, WEIGHTS, RunFolder, state_bytes, state_from_bytes
from manifold_gen.checkpoint.model import description, weights
from manifold_gen.data.base import Dataset
from manifold_gen.errors import DivergenceError
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training.config import TrainingConfig
from manifold_gen.training.distributed import World, joined
from manifold_gen.training.ema import MovingAverage
from manifold_gen.training.inputs import check_inputs, precision_dtype
from manifold_gen.training.progress import Progress, duration
from manifold_gen.training.report import Callback, Emitter, Report, divergence, told
from manifold_gen.training.schedule import learning_rate
from manifold_gen.training.signals import Interrupted, StopFlag, listening
from manifold_gen.training.state import Best, State
from manifold_gen.training.step import Stepper


@dataclass(frozen=True)
class FitResult:
    """A finished training.

    Attributes:
        model: the fitted model, in evaluation mode, with the weights that were kept.
        run: the run folder, ``None`` where none was asked for.
        step: steps done, fewer than configured where training stopped early.
        best_step: step of the weights that were kept.
        best_value: their validation loss, ``None`` where there are no validation rows.
        stopped_early: whether ``patience`` ran out.
        seconds: time spent on steps and evaluations, over all sessions of the run.
        diagnostics: what ``diagnose`` returned.
    """

    model: GenerativeModel
    run: Path | None
    step: int
    best_step: int
    best_value: float | None
    stopped_early: bool
    seconds: float
    diagnostics: Report | None = None


def fit(
    model: GenerativeModel,
    dataset: Dataset,
    config: TrainingConfig | None = None,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    settings: Mapping[str, object] | None = None,
    callbacks: Sequence[Callback] = (),
    observe: Callable[[int, GenerativeModel], None] | None = None,
    diagnose: Callable[[GenerativeModel, Dataset], Report] | None = None,
    quiet: bool = False,
) -> FitResult:
    """Minimise the mean of ``model.loss`` over ``dataset.train``; the model carries the result.

    Args:
        model: trained in place; its initial weights are the caller's.
        dataset: points in memory, of the model's manifold.
        config: how to train.
        out: run folder; nothing is written where it is ``None``.
        overwrite: replace the run in ``out``.
        resume: go on with the run in ``out`` as if it had never stopped; give the same model, data and configuration.
        settings: what ``config.toml`` records; default: the names of model and data, and ``config``.
        callbacks: called with every record that goes to ``metrics.jsonl``.
        observe: called at every evaluation with the step and the model, which carries the averaged weights meanwhile.
        diagnose: called with the fitted model and the data; what it returns goes to ``diagnostics.json``.
        quiet: no progress on standard error.

    Raises:
        UsageError: model, data and configuration do not go together.
        DataError: no training rows, or rows that are not finite.
        DivergenceError: a loss or gradient is not finite; the last checkpoint stays.
        RunFolderError: ``out`` exists, is in use or cannot be written.
        Interrupted: SIGINT or SIGTERM; the run is saved.

    Example:
        >>> from manifold_gen.data.base import Dataset, Split
        >>> from manifold_gen.manifolds import Torus
        >>> from manifold_gen.models import FreeFormFlow
        >>> x = torch.linspace(-1.0, 1.0, 60).reshape(30, 2)
        >>> data = Dataset("line", Torus(2), Split(x[:20]), Split(x[20:25]), Split(x[25:]))
        >>> result = fit(FreeFormFlow(Torus(2), width=8, depth=1), data, TrainingConfig(steps=5), quiet=True)
        >>> result.step, result.best_step
        (5, 5)
    """
    config = config or TrainingConfig()
    check_inputs(model, dataset, config)
    if out is not None:
        _description(model, dataset)  # a model that cannot be saved is refused before it is trained
    if config.threads:
        torch.set_num_threads(config.threads)
    with ExitStack() as stack:
        world, device = stack.enter_context(joined(config.device))
        folder = None
        if out is not None and world.leads:
            folder = stack.enter_context(RunFolder(out, overwrite=overwrite, resume=resume))
        trainer = _Trainer(model, dataset, config, world, device, observe)
        with listening() as flag:
            trainer.open(folder, settings, resume=resume and out is not None)
            trainer.train(folder, flag, callbacks, quiet=quiet or not world.leads)
        result = trainer.finish(folder, None if out is None else Path(out), diagnose if world.leads else None)
    return result


class _Trainer:
    """One run in one process."""

    def __init__(
        self,
        model: GenerativeModel,
        dataset: Dataset,
        config: TrainingConfig,
        world: World,
        device: torch.device,
        observe: Callable[[int, GenerativeModel], None] | None = None,
    ) -> None:
        self.observe = observe
        dtype = precision_dtype(config.precision, dataset.manifold)
        self.model = model.to(device=device, dtype=dtype).train()
        self.dataset, self.config, self.world, self.device = dataset, config, world, device
        self.train_split, self.val_split = (s.to(dtype=dtype, device=device) for s in (dataset.train, dataset.val))
        self.stepper = Stepper(self.model, config, world, device)
        average = MovingAverage(self.model, config.ema_decay)
        self.state = State(self.model, self.stepper.optimiser, average, config)
        self.session_start = self.saved_at = self.logged_at = time.monotonic()
        self.elapsed_before = 0.0

    # ---- beginning and end --------------------------------------------------------------------------------------

    def open(self, folder: RunFolder | None, settings: Mapping[str, object] | None, *, resume: bool) -> None:
        """Go on from the folder's state, or write what a new run starts with."""
        data = folder.read_state() if folder is not None and resume else None
        data = self.world.broadcast_bytes(data or b"", self.device) if resume else b""
        if data:
            self.state.load_state_dict(state_from_bytes(data, self.device))
            self.elapsed_before = self.state.elapsed
        else:
            self.model.prepare(self.train_split)
        if folder is None:
            return
        folder.truncate_metrics(self.state.step)
        if data:
            folder.log(f"resumed after step {self.state.step}")
            return
        folder.write_environment()
        folder.write_config(settings or told(self.model, self.dataset, self.config))
        self._save(folder)

    def finish(
        self, folder: RunFolder | None, path: Path | None, diagnose: Callable[[GenerativeModel, Dataset], Report] | None
    ) -> FitResult:
        """Leave the kept weights in the model and write them."""
        state = self.state
        if folder is not None:
            self._save(folder)
        self.model.load_state_dict(state.final_weights())
        self.model.set_progress(state.final_progress())
        self.model.eval()
        diagnostics = None if diagnose is None else diagnose(self.model, self.dataset)
        if folder is not None and diagnostics is not None:
            folder.write_diagnostics(diagnostics.to_dict())
        return FitResult(
            self.model,
            path,
            state.step,
            round(state.final_progress() * self.config.steps),
            None if state.best is None else state.best.value,
            self._out_of_patience(),
            self._elapsed(),
            diagnostics,
        )

    # ---- the loop -----------------------------------------------------------------------------------------------

    def train(self, folder: RunFolder | None, flag: StopFlag, callbacks: Sequence[Callback], *, quiet: bool) -> None:
        """Steps until the last one, until patience runs out or until a signal."""
        progress = Progress(self.config.steps, self.state.step, quiet=quiet)
        emit = Emitter(folder, callbacks, progress, self.config.steps)
        self.logged_at = time.monotonic()
        try:
            while self.state.step < self.config.steps and not self._out_of_patience():
                loss, signum = self._step(flag)
                progress.step(self.state.step, loss)
                self._report(emit)
                if folder is not None and self._checkpoint_due():
                    self._save(folder)
                if signum:
                    self._stop(folder, signum)
        finally:
            progress.close()
        if self.state.step == self.config.steps or self._out_of_patience():
            emit.line(f"done: {self.state.step} steps in {duration(self._elapsed())}")

    def _step(self, flag: StopFlag) -> tuple[float, int]:
        """One step: its loss, and the number of the signal that asks every process to stop after it."""
        step = self.state.step
        self.model.set_progress(step / self.config.steps)
        record = self.stepper.backward(self.train_split, step)
        bad = not (isfinite(record.loss) and isfinite(record.gradient_norm))
        anywhere_bad, signum = self.world.largest([bad, flag.signum], self.device)
        if anywhere_bad:
            raise DivergenceError(divergence(record, step))
        self.stepper.update(learning_rate(self.config, step))
        self.state.average.update(step)
        self.state.sums.add(record.loss, record.gradient_norm, record.terms)
        self.state.step = step + 1
        return record.loss, signum

    def _report(self, emit: Emitter) -> None:
        step, last = self.state.step, self.state.step == self.config.steps
        if step % self.config.log_every == 0 or last:
            emit.metrics(self._training_record())
        if len(self.val_split) and (step % self.config.eval_every == 0 or last):
            emit.evaluation(self._evaluate())

    def _training_record(self) -> dict[str, object]:
        sums, now = self.state.sums, time.monotonic()
        seconds = max(now - self.logged_at, 1e-9)
        rows, means = sums.shared(self.world, self.device)
        record = {
            "step": self.state.step,
            "split": "train",
            **means,
            "lr": learning_rate(self.config, self.state.step - 1),
            "gradient_norm": sums.gradient_norm / sums.count,
            "steps_per_second": sums.count / seconds,
            "rows_per_second": rows / seconds,
            "elapsed": self._elapsed(),
        }
        self.logged_at = now
        sums.clear()
        return record

    def _evaluate(self) -> dict[str, object]:
        state = self.state
        self.model.set_progress(state.step / self.config.steps)
        self.model.eval()
        with state.average.applied():
            terms = self.stepper.validate(self.val_split)
            if self.observe is not None:
                self.observe(state.step, self.model)
        self.model.train()
        value = sum(terms.values())
        if isfinite(value) and (state.best is None or value < state.best.value):
            state.best, state.stale = Best(state.step, value, state.averaged_weights()), 0
        else:
            state.stale += 1
        return {"step": state.step, "split": "val", "loss": value, **terms, "elapsed": self._elapsed()}

    # ---- helpers ------------------------------------------------------------------------------------------------

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.state.stale

    def _elapsed(self) -> float:
        return self.elapsed_before + time.monotonic() - self.session_start

    def _checkpoint_due(self) -> bool:
        every, seconds = self.config.checkpoint_every, self.config.checkpoint_seconds
        by_step = every > 0 and self.state.step % every == 0
        return by_step or 0 < seconds <= time.monotonic() - self.saved_at

    def _save(self, folder: RunFolder) -> None:
        state = self.state
        state.elapsed = self._elapsed()
        folder.save(
            {
                STATE: state_bytes(state.state_dict()),
                MODEL: _description(self.model, self.dataset),
                WEIGHTS: weights(state.final_weights(), state.final_progress()),
            }
        )
        self.saved_at = time.monotonic()

    def _stop(self, folder: RunFolder | None, signum: int) -> None:
        where = "the model holds its last weights"
        if folder is not None:
            self._save(folder)
            where = f"saved in {folder.path}; go on with resume"
        raise Interrupted(f"stopped by signal {signum} after step {self.state.step}; {where}", signum)


def _description(model: GenerativeModel, dataset: Dataset) -> bytes:
    return description(model, {"name": dataset.name, **dataset.info})
