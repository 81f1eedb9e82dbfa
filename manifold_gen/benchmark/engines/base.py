"""What the suite asks of an engine: to take jobs and to say how each one ended."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from manifold_gen.benchmark.job import Job, Payload, Place, Work
from manifold_gen.configuration import suggestion
from manifold_gen.errors import UsageError

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with a payload, or with the reason why its worker died.

    Attributes:
        key: the hash of the job's cell.
        payload: what the work returned.
        death: why there is none.
    """

    key: str
    payload: Payload | None = None
    death: str | None = None


class Engine(Protocol):
    """Takes jobs up to its number of slots; a worker that dies takes no other job with it."""

    slots: int

    def __enter__(self) -> Self:
        """Make the workers ready."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every worker, whatever it is doing."""

    def submit(self, job: Job) -> None:
        """Start a job; the caller keeps at most ``slots`` of them under way."""

    def wait(self, seconds: float) -> list[Outcome]:
        """The jobs that ended, as soon as there is one or after so many seconds."""


def make_engine(name: str, work: Work, jobs: int, place: Place) -> Engine:
    """The engine called ``name``.

    Args:
        work: a function of a module, so that another process can import it.
        jobs: cells at a time.
        place: device and CPU threads of each.

    Raises:
        UsageError: unknown name.
        MissingExtraError: its library is not installed.
    """
    if name == "local":
        from manifold_gen.benchmark.engines.local import LocalEngine

        return LocalEngine(work, jobs, place)
    if name == "ray":
        from manifold_gen.benchmark.engines.ray import RayEngine

        return RayEngine(work, jobs, place)
    raise UsageError(f"no engine is called {name!r}; {suggestion(name, ENGINES)}")
