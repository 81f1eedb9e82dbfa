"""Numbers that say how good a model is, each with its error."""

from manifold_gen.metrics.base import Estimate
from manifold_gen.metrics.classifier import c2st
from manifold_gen.metrics.cost import likelihood_seconds, network_evaluations, parameters, sampling_seconds
from manifold_gen.metrics.diagnostics import Check, Diagnostics, diagnose
from manifold_gen.metrics.discrepancy import mmd, mmd_floor
from manifold_gen.metrics.likelihood import Integral, LikelihoodReport, evaluate_likelihood
from manifold_gen.metrics.neighbours import coverage, density, expected_coverage, nearest_neighbour_accuracy
from manifold_gen.metrics.ramachandran import RESIDUE_CLASSES, ramachandran_shares
from manifold_gen.metrics.transport import wasserstein

__all__ = [
    "RESIDUE_CLASSES",
    "Check",
    "Diagnostics",
    "Estimate",
    "Integral",
    "LikelihoodReport",
    "c2st",
    "coverage",
    "density",
    "diagnose",
    "evaluate_likelihood",
    "expected_coverage",
    "likelihood_seconds",
    "mmd",
    "mmd_floor",
    "nearest_neighbour_accuracy",
    "network_evaluations",
    "parameters",
    "ramachandran_shares",
    "sampling_seconds",
    "wasserstein",
]
