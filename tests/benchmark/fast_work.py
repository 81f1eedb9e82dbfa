"""Work as quick as it can be, for engines: it leaves a file each time it starts, and dies as often as it is told.

Workers import this file: at its top nothing is imported that loads torch.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from manifold_gen.benchmark.cell import SCHEMA_VERSION, Cell
from manifold_gen.benchmark.job import Payload, Place


def make_cells(marks, count=4, deaths=0, seconds=0.0, **settings):
    """``count`` cells of which the first kills its worker ``deaths`` times, and a student of the last."""
    made = []
    for seed in range(count):
        told = {"marks": str(marks), "deaths": deaths if seed == 0 else 0, "seconds": seconds, **settings}
        made.append(Cell("none", "fast", seed, "quick", 1.0, {"model": told}))
    student = Cell("none", "student", 0, "quick", 1.0, {"model": {"marks": str(marks)}}, teacher=made[-1])
    return [*made, student]


def starts(marks, cell):
    """How often the work of a cell was begun."""
    return len(list(Path(marks).glob(f"{cell.hash}.*")))


def fast(job):
    """Begin, perhaps die, perhaps wait, and answer."""
    told = job.cell.settings["model"]
    attempt = 0
    while True:
        try:
            os.close(os.open(Path(told["marks"]) / f"{job.cell.hash}.{attempt}", os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            attempt += 1
    if attempt < told.get("deaths", 0):
        if told.get("raises"):
            raise RuntimeError("this work was told to fail")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(told.get("seconds", 0.0))
    record = {"version": SCHEMA_VERSION, "hash": job.cell.hash, "status": "done", "spec": job.cell.spec}
    record["teacher"] = None if job.teacher is None else job.teacher["model.json"].decode()
    if told.get("fails"):
        return Payload({**record, "status": "failed", "reason": "told to"})
    return Payload(record, {"model.json": f"weights of {job.cell.seed}".encode()})


def announced(job):
    """The number of threads that libraries are told to use."""
    return os.environ["OMP_NUM_THREADS"]


def main(engine, folder, marks, seconds):
    """A run that a test kills."""
    from manifold_gen.benchmark.engines import make_engine
    from manifold_gen.benchmark.records import ResultFolder
    from manifold_gen.benchmark.run import run

    cells = make_cells(marks, seconds=float(seconds))
    run(cells, ResultFolder(folder), make_engine(engine, fast, 2, Place()), Place(), lambda cell, record: None)


if __name__ == "__main__":
    import fast_work

    fast_work.main(*sys.argv[1:])
