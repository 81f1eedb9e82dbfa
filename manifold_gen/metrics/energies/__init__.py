"""Models of particles with a known energy: likelihood with its floor, energies, distances, effective sample size."""

from manifold_gen.metrics.energies.comparison import (
    Comparison,
    compare_distances,
    compare_energies,
    line_wasserstein,
)
from manifold_gen.metrics.energies.floors import FlooredLikelihood, likelihood_with_floor
from manifold_gen.metrics.energies.published import PUBLISHED_VALUES, PublishedValue, published_values
from manifold_gen.metrics.energies.report import BoltzmannReport, evaluate_boltzmann
from manifold_gen.metrics.energies.weights import EffectiveSampleSize, effective_sample_size, effective_share

__all__ = [
    "PUBLISHED_VALUES",
    "BoltzmannReport",
    "Comparison",
    "EffectiveSampleSize",
    "FlooredLikelihood",
    "PublishedValue",
    "compare_distances",
    "compare_energies",
    "effective_sample_size",
    "effective_share",
    "evaluate_boltzmann",
    "likelihood_with_floor",
    "line_wasserstein",
    "published_values",
]
