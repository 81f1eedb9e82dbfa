"""Numbers that say how good a model is, each with its error."""

from manifold_gen.metrics.base import Estimate
from manifold_gen.metrics.diagnostics import Check, Diagnostics, diagnose
from manifold_gen.metrics.discrepancy import mmd, mmd_floor
from manifold_gen.metrics.likelihood import Integral, LikelihoodReport, evaluate_likelihood

__all__ = [
    "Check",
    "Diagnostics",
    "Estimate",
    "Integral",
    "LikelihoodReport",
    "diagnose",
    "evaluate_likelihood",
    "mmd",
    "mmd_floor",
]
