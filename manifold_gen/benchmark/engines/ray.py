"""The nodes of a Ray cluster; the package must be installed on them."""

from __future__ import annotations

import os
import socket
import time
from types import ModuleType, TracebackType
from typing import Any, Self

from manifold_gen.benchmark.engines.base import Outcome
from manifold_gen.benchmark.job import Job, Place, Work
from manifold_gen.errors import MissingExtraError, UsageError

_PATIENCE = 5.0  # seconds
_START = "start one with 'ray start --head', set RAY_ADDRESS to yours, or use --engine local"


class RayEngine:
    """Tasks of a running cluster, which ``RAY_ADDRESS`` names where it is not on this machine.

    Args:
        work: a function of a module that the nodes can import.
        jobs: tasks at a time.
        place: threads are reserved as CPUs; a CUDA device as one GPU.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, work: Work, jobs: int, place: Place) -> None:
        self.work, self.slots, self.place = work, jobs, place
        self.ray = _imported()
        self.keys: dict[Any, str] = {}

    def __enter__(self) -> Self:
        """Join the cluster.

        Raises:
            UsageError: there is none.
        """
        self.joined = not self.ray.is_initialized()
        if self.joined:
            self._join()
        gpus = 1 if self.place.device.startswith("cuda") else 0
        # a worker that dies is this package's to count, not Ray's to start again
        self.task = self.ray.remote(num_cpus=self.place.threads, num_gpus=gpus, max_retries=0)(self.work)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self.keys:
            self.ray.cancel(reference, force=True)
        self.keys.clear()
        if self.joined:
            self.ray.shutdown()

    def submit(self, job: Job) -> None:
        """Start a task."""
        self.keys[self.task.remote(job)] = job.cell.hash

    def wait(self, seconds: float) -> list[Outcome]:
        """The tasks that ended."""
        if not self.keys:
            time.sleep(seconds)
            return []
        ready, _ = self.ray.wait(list(self.keys), timeout=seconds)
        return [self._outcome(reference) for reference in ready]

    def _join(self) -> None:
        try:
            _knock(os.environ.get("RAY_ADDRESS", ""))
            self.ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            where = os.environ.get("RAY_ADDRESS")
            place = f"at RAY_ADDRESS={where}" if where else "on this machine"
            raise UsageError(f"no Ray cluster was found {place} ({_first_line(error)}); {_START}") from error

    def _outcome(self, reference: Any) -> Outcome:
        key = self.keys.pop(reference)
        try:
            return Outcome(key, self.ray.get(reference))
        except self.ray.exceptions.RayTaskError as error:
            return Outcome(key, death=f"its worker ended: {type(error.cause).__name__}: {_first_line(error.cause)}")
        except self.ray.exceptions.RayError as error:
            return Outcome(key, death=f"its worker died: {type(error).__name__}: {_first_line(error)}")


def _knock(address: str) -> None:
    """Open a connection to ``host:port`` and close it: Ray itself tries for minutes where nobody answers.

    Raises:
        OSError: nobody answers.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _imported() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "--engine ray needs Ray, which is not installed; pip install 'manifold-gen[ray]', or use --engine local"
        ) from error
    return ray


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
