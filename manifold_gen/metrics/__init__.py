"""Numbers that say how good a model is, each with its error."""

from manifold_gen.metrics.diagnostics import Check, Diagnostics, diagnose
from manifold_gen.metrics.likelihood import Integral, LikelihoodReport, evaluate_likelihood

__all__ = ["Check", "Diagnostics", "Integral", "LikelihoodReport", "diagnose", "evaluate_likelihood"]
