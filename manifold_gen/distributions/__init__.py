"""Densities on manifolds, with respect to the Riemannian volume, in nats."""

from manifold_gen.distributions.base import Distribution, Family, Sampler
from manifold_gen.distributions.em import EMSettings, fit_von_mises_mixture
from manifold_gen.distributions.histogram import TorusHistogram
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.uniform import Uniform
from manifold_gen.distributions.von_mises import VonMisesProduct

__all__ = [
    "Distribution",
    "EMSettings",
    "Family",
    "Mixture",
    "Sampler",
    "TorusHistogram",
    "Uniform",
    "VonMisesProduct",
    "fit_von_mises_mixture",
]
