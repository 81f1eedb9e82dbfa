"""One report of generated molecules: what can be fooled beside what cannot, all with errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

from manifold_gen import seeds
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import UsageError
from manifold_gen.metrics.base import Estimate
from manifold_gen.metrics.molecules.features import Comparison, Features, compare
from manifold_gen.metrics.molecules.graphs import Graphs, read_graphs
from manifold_gen.metrics.molecules.posebusters import PoseBustersShare, posebusters_pass
from manifold_gen.metrics.molecules.references import References
from manifold_gen.metrics.molecules.relaxed import Relaxations, relaxation
from manifold_gen.metrics.molecules.stable import stability
from manifold_gen.metrics.molecules.tables import report_lines
from manifold_gen.metrics.molecules.validity import (
    novelty,
    single_fragment,
    strict_success,
    uniqueness,
    valid_and_unique,
    validity,
)


@dataclass(frozen=True)
class MoleculeReport:
    """Everything that is said of a set of generated molecules.

    Attributes:
        count: molecules evaluated, and by which all shares are divided.
        not_finite: those with a coordinate that is no number; they count as failures everywhere.
        temperature: of the sampling; below 1 stability rises and variety falls.
        strict: stable, valid, in one fragment, no hydrogen added: the headline.
        atom_stable, molecule_stable, valid_and_unique, valid: the published four. Stability is not quality.
        unique, novel: distinct among valid; not of the training set among distinct (None without one).
        single_fragment: valid and in one piece.
        comparison: distances from the test molecules, or the training molecules without any; None without either.
        relaxation: of some stable molecules; None if not asked for, or no molecule is stable.
        posebusters: of some of all molecules; None if not asked for.
    """

    count: int
    not_finite: int
    temperature: float
    strict: Estimate
    atom_stable: Estimate
    molecule_stable: Estimate
    valid: Estimate
    valid_and_unique: Estimate
    unique: Estimate
    single_fragment: Estimate
    novel: Estimate | None = None
    comparison: Comparison | None = None
    relaxation: Relaxations | None = None
    posebusters: PoseBustersShare | None = None

    def to_dict(self) -> dict[str, object]:
        """Everything as plain numbers."""
        return asdict(self)

    def table(self) -> str:
        """The report as lines of text."""
        return "\n".join(report_lines(self))


def evaluate_molecules(
    samples: Molecules,
    train: Molecules | None = None,
    test: Molecules | None = None,
    *,
    temperature: float = 1.0,
    relax: int = 0,
    posebusters: int = 0,
    seed: int = 0,
) -> MoleculeReport:
    """Evaluate generated molecules by bonds from distances; ``score_molecules`` with references read for this call.

    Args:
        samples: the generated molecules, all of them: to leave out failures would hide them.
        train: training molecules, for novelty and the floors of the distances.
        test: molecules not trained on, for the distances.
        temperature: at which the samples were drawn; it is printed beside them.
        relax: how many stable molecules are relaxed by GFN2-xTB, a few tenths of a second each.
        posebusters: how many molecules PoseBusters tests, a second each, and 20 at most.
        seed: of every draw of molecules.

    Raises:
        UsageError: no samples.
        DataError: an element other than H, C, N, O and F, for which stability and validity are not defined.
        MissingExtraError: RDKit, or what was asked for of tblite and PoseBusters, is not installed.

    Example:
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> report = evaluate_molecules(Molecules.join([(water, torch.tensor([8, 1, 1]))] * 4))
        >>> report.strict.value, report.valid_and_unique.value
        (1.0, 0.25)
    """
    return score_molecules(
        samples,
        References.read(train, test),
        temperature=temperature,
        relax=relax,
        posebusters=posebusters,
        seed=seed,
    )


def score_molecules(
    samples: Molecules,
    references: References,
    *,
    temperature: float = 1.0,
    relax: int = 0,
    posebusters: int = 0,
    seed: int = 0,
) -> MoleculeReport:
    """Evaluate generated molecules against references that are read already; arguments as ``evaluate_molecules``."""
    if len(samples) == 0:
        raise UsageError("no molecules to evaluate; draw some")
    graphs, found = read_graphs(samples), stability(samples)
    owner = torch.arange(len(samples)).repeat_interleave(samples.sizes)
    stable = samples[graphs.stable.nonzero().squeeze(-1)]
    return MoleculeReport(
        count=len(samples),
        not_finite=len(owner[~torch.isfinite(samples.positions).all(1)].unique()),
        temperature=temperature,
        strict=strict_success(graphs),
        atom_stable=found.atom,
        molecule_stable=found.molecule,
        valid=validity(graphs),
        valid_and_unique=valid_and_unique(graphs),
        unique=uniqueness(graphs),
        single_fragment=single_fragment(graphs),
        novel=None if references.known is None else novelty(graphs, references.known),
        comparison=_comparison(samples, graphs, references, seed),
        relaxation=relaxation(stable, relax, seed=seed) if relax and len(stable) else None,
        posebusters=posebusters_pass(samples, posebusters, seed=seed) if posebusters else None,
    )


def _comparison(samples: Molecules, graphs: Graphs, references: References, seed: int) -> Comparison | None:
    reference = references.test or references.train
    if reference is None:
        return None
    floor = None
    if references.train is not None and references.test is not None:
        generator = seeds.generator(seed, 1)
        floor = references.train.of(torch.randperm(references.train_count, generator=generator)[: len(samples)])
    return compare(Features.read(samples, graphs), reference, floor)
