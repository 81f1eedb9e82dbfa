"""The work of one cell: a function of its specification and its teacher's files, run wherever an engine puts it."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import torch

import manifold_gen
from manifold_gen.benchmark.cell import SCHEMA_VERSION, Cell
from manifold_gen.benchmark.job import Job, Payload, Place, Record
from manifold_gen.benchmark.measure import curve, measure, part
from manifold_gen.benchmark.methods import find_method
from manifold_gen.benchmark.molecules import measure_molecules
from manifold_gen.benchmark.training import Trained
from manifold_gen.checkpoint import RunFolder, environment, load
from manifold_gen.checkpoint.folder import MODEL, WEIGHTS
from manifold_gen.checkpoint.model import description, weights
from manifold_gen.data import load_dataset
from manifold_gen.data.base import Dataset
from manifold_gen.distributions.base import Sampler
from manifold_gen.errors import ManifoldGenError
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training import Interrupted
from manifold_gen.training.inputs import precision_dtype

# validation rows that training looks at: through a solver, ten thousand points would cost most of it, and a cloud costs
# what many points do
MOST_WATCHED, CLOUDS_WATCHED = 2000, 128


def run_cell(job: Job) -> Payload:
    """Train and measure one cell. A failure of the method becomes a record without a number.

    Raises:
        Interrupted: SIGINT or SIGTERM during training.
    """
    torch.set_num_threads(job.place.threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unconverged points are counted in the result
            return _trained_and_measured(job)
    except Interrupted:  # the worker was told to end, which says nothing about the cell
        raise
    except (ManifoldGenError, ArithmeticError, torch.linalg.LinAlgError) as error:
        return Payload(failed_record(job.cell, f"{type(error).__name__}: {error}", job.place))


def failed_record(cell: Cell, reason: str, place: Place) -> Record:
    """The record of a cell that gave no number."""
    empty = {"seconds": None, "steps": None, "parameters": None, "curve": []}
    return {
        **_frame(cell, "failed", " ".join(reason.split()), place),
        "train": empty,
        "metrics": None,
        "samples": [],
        "density": None,
    }


def _trained_and_measured(job: Job) -> Payload:
    cell, method = job.cell, find_method(job.cell.method)
    dataset = dataset_of(cell)
    watched = replace(dataset, val=part(dataset.val, CLOUDS_WATCHED if dataset.manifold.varies else MOST_WATCHED))
    trained = method.train(watched, cell, job.place, _teacher(job))
    model = trained.sampler.to("cpu")
    measured = (measure_molecules if dataset.manifold.varies else measure)(trained, method, dataset, cell.seed)
    teacher_seconds = 0.0 if cell.teacher is None else cell.teacher.seconds
    learning = curve(trained, method, dataset)
    record = {
        **_frame(cell, "done", None, job.place),
        "manifold": dataset.manifold.spec,
        "train": {
            "seconds": trained.seconds + teacher_seconds,
            "teacher_seconds": teacher_seconds,
            "steps": trained.steps,
            "parameters": sum(tensor.numel() for tensor in model.parameters()),
            "curve": [{**point, "seconds": point["seconds"] + teacher_seconds} for point in learning],
        },
        "samples": measured.pop("samples"),
        "density": measured.pop("density"),
        "metrics": measured,
    }
    return Payload(record, model_files(trained, dataset))


def dataset_of(cell: Cell) -> Dataset:
    """The cell's data in the precision it trains in."""
    options = cell.settings.get("data", {})
    precision = str(cell.settings.get("training", {}).get("precision", "auto"))
    dataset = load_dataset(cell.data, dtype=torch.float32, **options)
    wanted = precision_dtype(precision, dataset.manifold)
    return dataset if wanted == torch.float32 else load_dataset(cell.data, dtype=wanted, **options)


def model_files(trained: Trained, dataset: Dataset) -> dict[str, bytes]:
    """What ``checkpoint.load`` reads, by file name; nothing for a sampler that is not saved."""
    model = trained.sampler
    if not isinstance(model, GenerativeModel):
        return {}
    data = {"name": dataset.name, **dataset.info}
    return {MODEL: description(model, data), WEIGHTS: weights(model.state_dict(), 1.0)}


def _teacher(job: Job) -> Sampler | None:
    if job.teacher is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        with RunFolder(Path(folder) / "teacher") as run:
            run.save(job.teacher)
        return load(run.path)


def _frame(cell: Cell, status: str, reason: str | None, place: Place) -> Record:
    around = environment.describe()
    machine = {
        "platform": around["platform"],
        "processor": _processor(),
        "cpus": around["cpus"],
        "python": around["python"],
        "packages": around["packages"],
        "device": place.device,
        "threads": place.threads,
        "gpu": next(iter(around["cuda"]), None) if place.device.startswith("cuda") else None,
    }
    return {
        "version": SCHEMA_VERSION,
        "package": manifold_gen.__version__,
        "spec": cell.spec,
        "hash": cell.hash,
        "status": status,
        "reason": reason,
        "machine": machine,
        "commit": around["commit"],
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or os.uname().machine
