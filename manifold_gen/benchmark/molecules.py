"""What is measured of one trained generator of molecules, as plain values."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from manifold_gen import metrics, seeds
from manifold_gen.benchmark.measure import Value, estimated, sampling_settings
from manifold_gen.benchmark.methods import ONE, Method
from manifold_gen.benchmark.training import Trained
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.base import Dataset
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.distributions.base import Sampler
from manifold_gen.metrics.cost import one_thread
from manifold_gen.metrics.molecules import MoleculeReport, References, score_molecules

EVALUATIONS = (1, 2, 4, 8, 20, 100)  # of the network, a molecule
DRAWN = 300  # molecules judged at each
SHARES = ("strict", "atom_stable", "molecule_stable", "valid", "valid_and_unique", "single_fragment")
DISTANCES = ("rings", "bond_kinds")
_KNOWN = 2000  # molecules of the training and of the test part that distances are measured by
_SHOWN = 10
_DRAWS = 2  # stream of random numbers


def measure_molecules(trained: Trained, method: Method, dataset: Dataset, seed: int) -> dict[str, object]:
    """The metrics of a result file: shares and distances by evaluations a molecule, and what a molecule takes.

    ``samples`` are some molecules at the most evaluations, as atomic numbers and positions in ångström.

    Args:
        trained: draws in its own precision, on one thread.
        method: says how its sampler is told a number of evaluations.
        dataset: of molecules of H, C, N, O and F.
        seed: of the draws.
    """
    model, fmt = trained.sampler.requires_grad_(False).eval(), MoleculeFormat.from_dict(dataset.info["format"])
    references = References.read(*(fmt.decode(_first(getattr(dataset, part))) for part in ("train", "test")))
    usual = metrics.network_evaluations(model, sizes=torch.full((16,), int(dataset.train.sizes[0])))
    choices = {usual: {}} if method.kind == ONE else sampling_settings(model, method, EVALUATIONS)
    found, seconds = {}, {}
    for k, setting in choices.items():
        molecules, seconds[str(k)] = _drawn(model, fmt, seed, setting)
        report = score_molecules(molecules, references, relax=0, posebusters=0, seed=seed)
        found[str(k)] = _values(report)
    return {
        "nll": None,
        "gap": None,
        "mmd": {},
        "molecules": found,
        "molecules_floor": {name: estimated(getattr(report.comparison, name).floor) for name in DISTANCES},
        "sample_seconds": seconds,
        "likelihood_seconds": None,
        "evaluations": usual,
        "samples": [_plain(*molecule) for molecule in molecules[:_SHOWN]],
        "density": None,
    }


def _first(split: RaggedSplit) -> RaggedSplit:
    return split.take(torch.arange(min(_KNOWN, len(split))))


@torch.no_grad()
def _drawn(model: Sampler, fmt: MoleculeFormat, seed: int, setting: Mapping[str, object]) -> tuple[Molecules, float]:
    """Molecules and the seconds of processor time that each took."""
    with one_thread():
        start = time.process_time()
        clouds = model.sample(DRAWN, generator=seeds.generator(seed, _DRAWS), **setting)
        taken = time.process_time() - start
    return fmt.decode(clouds), taken / DRAWN


def _values(report: MoleculeReport) -> dict[str, Value]:
    shares = {name: estimated(getattr(report, name)) for name in SHARES}
    return shares | {name: estimated(getattr(report.comparison, name).distance) for name in DISTANCES}


def _plain(positions: torch.Tensor, numbers: torch.Tensor) -> dict[str, object]:
    finite = positions.double().nan_to_num(0.0, 0.0, 0.0)
    return {"numbers": numbers.tolist(), "positions": finite.mul(1e4).round().div(1e4).tolist()}
