"""How good generated molecules are, by measures that are hard to fool and by the published ones beside them."""

from manifold_gen.metrics.molecules.bound import LikelihoodBound, likelihood_bound, molecule_bounds
from manifold_gen.metrics.molecules.composition import composition_match
from manifold_gen.metrics.molecules.exact import exact_likelihood
from manifold_gen.metrics.molecules.features import Compared, Comparison, Features, compare
from manifold_gen.metrics.molecules.graphs import Graphs, read_graphs
from manifold_gen.metrics.molecules.judge import strict_judge
from manifold_gen.metrics.molecules.posebusters import PoseBustersShare, posebusters_pass
from manifold_gen.metrics.molecules.properties import (
    PropertyPredictor,
    fit_predictor,
    mean_absolute_errors,
    medians_by_size,
)
from manifold_gen.metrics.molecules.references import References
from manifold_gen.metrics.molecules.relaxed import Relaxations, relaxation
from manifold_gen.metrics.molecules.report import MoleculeReport, evaluate_molecules, score_molecules
from manifold_gen.metrics.molecules.stable import Stability, stability
from manifold_gen.metrics.molecules.validity import (
    novelty,
    single_fragment,
    strict_success,
    uniqueness,
    valid_and_unique,
    validity,
)

__all__ = [
    "Compared",
    "Comparison",
    "Features",
    "Graphs",
    "LikelihoodBound",
    "MoleculeReport",
    "PoseBustersShare",
    "PropertyPredictor",
    "References",
    "Relaxations",
    "Stability",
    "compare",
    "composition_match",
    "evaluate_molecules",
    "exact_likelihood",
    "fit_predictor",
    "likelihood_bound",
    "mean_absolute_errors",
    "medians_by_size",
    "molecule_bounds",
    "novelty",
    "posebusters_pass",
    "read_graphs",
    "relaxation",
    "score_molecules",
    "single_fragment",
    "stability",
    "strict_judge",
    "strict_success",
    "uniqueness",
    "valid_and_unique",
    "validity",
]
