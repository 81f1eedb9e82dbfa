"""Worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from manifold_gen.benchmark.engines.base import Outcome
from manifold_gen.benchmark.job import Job, Place, Work

# read by the libraries below torch when they are loaded: more threads than cores cost a factor of 100
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    log: Path
    key: str | None = None


class LocalEngine:
    """Processes that are started afresh, each with one job at a time.

    Args:
        work: a function of a module that a new process can import.
        jobs: processes at a time.
        place: its threads are announced to the libraries before they are loaded.

    Example:
        >>> from manifold_gen.benchmark.work import run_cell
        >>> from manifold_gen.benchmark.job import Place
        >>> with LocalEngine(run_cell, jobs=2, place=Place()) as engine:
        ...     engine.wait(0.0)
        []
    """

    def __init__(self, work: Work, jobs: int, place: Place) -> None:
        self.work, self.slots, self.threads = work, jobs, place.threads
        self.workers: list[_Worker] = []

    def __enter__(self) -> Self:
        self._logs = tempfile.TemporaryDirectory()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            self._bury(worker)
        self._logs.cleanup()

    def submit(self, job: Job) -> None:
        """Hand the job to an idle worker, starting one where there is none."""
        worker = next((worker for worker in self.workers if worker.key is None), None) or self._start()
        worker.key = job.cell.hash
        with contextlib.suppress(ConnectionError):  # it died while idle: wait() finds its end
            worker.pipe.send(job)

    def wait(self, seconds: float) -> list[Outcome]:
        """The jobs that ended; an idle worker that died is replaced when it is needed."""
        busy = {worker.pipe: worker for worker in self.workers if worker.key is not None}
        ends = {worker.process.sentinel: worker for worker in self.workers}
        ready = wait([*busy, *ends], seconds)
        outcomes = [self._received(busy[pipe]) for pipe in busy if pipe in ready]
        outcomes += [self._ended(ends[end]) for end in ends if end in ready]
        return [outcome for outcome in outcomes if outcome is not None]

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        log = Path(self._logs.name) / f"{len(self.workers)}-{os.urandom(4).hex()}.log"
        process = context.Process(target=_serve, args=(theirs, self.work, str(log)), daemon=True)
        with _threads_announced(self.threads):
            process.start()
        theirs.close()
        worker = _Worker(process, ours, log)
        self.workers.append(worker)
        return worker

    def _received(self, worker: _Worker) -> Outcome | None:
        try:
            payload = worker.pipe.recv()
        except (EOFError, ConnectionResetError):  # it died: its sentinel says how
            return None
        key, worker.key = worker.key, None
        return Outcome(str(key), payload)

    def _ended(self, worker: _Worker) -> Outcome | None:
        """What is left of a worker that died; a payload that it sent with its last breath is taken first."""
        if worker.key is not None and worker.pipe.poll():
            outcome = self._received(worker)
            if outcome is not None:
                return outcome
        self.workers.remove(worker)
        death = self._bury(worker)
        return None if worker.key is None else Outcome(worker.key, death=death)

    def _bury(self, worker: _Worker) -> str:
        worker.process.join()
        worker.pipe.close()
        code = worker.process.exitcode or 0
        cause = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        text = worker.log.read_text(errors="replace").split("\n") if worker.log.exists() else []
        last = next((line.strip() for line in reversed(text) if line.strip()), "")
        return f"its worker was {cause}" if code < 0 else f"its worker {cause}: {last}"


@contextlib.contextmanager
def _threads_announced(threads: int) -> Iterator[None]:
    """The environment that a child inherits, with the number of threads in it."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, work: Work, log: str) -> None:
    """A worker's life: jobs one after the other, until the parent closes the pipe or is no more."""
    with open(log, "wb", buffering=0) as stream:
        os.dup2(stream.fileno(), 2)  # the terminal is the parent's; what a dying worker says is read from here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C and ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        pipe.send(work(job))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
