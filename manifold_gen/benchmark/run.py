"""Run the cells that are not finished, and write each result as it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.engines.base import Engine, Outcome
from manifold_gen.benchmark.job import Job, Payload, Place, Record
from manifold_gen.benchmark.records import ResultFolder
from manifold_gen.benchmark.work import failed_record

ATTEMPTS = 2  # of a cell whose worker dies: the first may have been bad luck
_POLL = 1.0  # seconds between two looks for what another run in the folder has finished

Progress = Callable[[Cell, Record], None]


def run(
    cells: Sequence[Cell], folder: ResultFolder, engine: Engine, place: Place, progress: Progress
) -> dict[str, Record]:
    """The records of all cells, by hash.

    Cells that have a result are not done again. Cells that another run in the same folder is at work on are waited for,
    and taken over if that run dies. An exception leaves every finished cell in the folder.

    Args:
        cells: teachers are before their students.
        progress: called with each cell as it is finished here.

    Raises:
        RunFolderError: a result cannot be written.
    """
    schedule = _Schedule(cells, folder, place, progress)
    try:
        with engine:
            while schedule.open:
                while len(schedule.running) < engine.slots and (job := schedule.next()) is not None:
                    engine.submit(job)
                for outcome in engine.wait(_POLL):
                    schedule.take(outcome)
    finally:
        folder.release_all()
    return schedule.records


class _Schedule:
    """Which cells wait, run and are finished."""

    def __init__(self, cells: Sequence[Cell], folder: ResultFolder, place: Place, progress: Progress) -> None:
        self.folder, self.place, self.progress = folder, place, progress
        self.waiting = list(cells)
        self.running: dict[str, Cell] = {}
        self.records: dict[str, Record] = {}
        self.deaths: Counter[str] = Counter()

    @property
    def open(self) -> bool:
        """Whether a cell is unfinished."""
        return bool(self.waiting or self.running)

    def next(self) -> Job | None:
        """A job that may start now; cells that turn out to be finished, or without a teacher, are dealt with."""
        for cell in list(self.waiting):
            record = self.folder.read(cell)
            if record is not None:
                self.waiting.remove(cell)
                self.records[cell.hash] = record
                continue
            teacher = None if cell.teacher is None else self.records.get(cell.teacher.hash)
            if (cell.teacher is not None and teacher is None) or not self._claimed(cell):
                continue
            self.waiting.remove(cell)
            self.running[cell.hash] = cell
            if teacher is not None and teacher["status"] != "done":
                self._finish(cell, failed_record(cell, f"its teacher failed: {teacher['reason']}", self.place))
                continue
            return Job(cell, self.place, None if cell.teacher is None else self.folder.files(cell.teacher))
        return None

    def take(self, outcome: Outcome) -> None:
        """Write a result; start a cell again whose worker died, unless it died before."""
        cell = self.running[outcome.key]
        if outcome.payload is not None:
            self._finish(cell, outcome.payload)
            return
        self.deaths[cell.hash] += 1
        if self.deaths[cell.hash] < ATTEMPTS:
            del self.running[cell.hash]
            self.folder.release(cell)
            self.waiting.insert(0, cell)
            return
        self._finish(cell, failed_record(cell, f"{outcome.death}, {ATTEMPTS} times", self.place))

    def _claimed(self, cell: Cell) -> bool:
        if not self.folder.claim(cell):
            return False
        if self.folder.read(cell) is None:
            return True
        self.folder.release(cell)  # another run finished it between the two looks
        return False

    def _finish(self, cell: Cell, result: Payload | Record) -> None:
        payload = result if isinstance(result, Payload) else Payload(result)
        self.folder.write(cell, payload.record, payload.files)
        del self.running[cell.hash]
        self.folder.release(cell)
        self.records[cell.hash] = dict(payload.record)
        self.progress(cell, payload.record)
