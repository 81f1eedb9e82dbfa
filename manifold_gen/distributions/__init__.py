"""Densities on manifolds, with respect to the Riemannian volume, in nats."""

from manifold_gen.distributions.base import Distribution, Family, Sampler
from manifold_gen.distributions.em import EMSettings, fit_von_mises_fisher_mixture, fit_von_mises_mixture
from manifold_gen.distributions.histogram import TorusHistogram
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.product import ProductDistribution, default_base
from manifold_gen.distributions.uniform import Uniform
from manifold_gen.distributions.von_mises import VonMisesProduct
from manifold_gen.distributions.von_mises_fisher import VonMisesFisher
from manifold_gen.distributions.wrapped_normal import WrappedNormal

__all__ = [
    "Distribution",
    "EMSettings",
    "Family",
    "Mixture",
    "ProductDistribution",
    "Sampler",
    "TorusHistogram",
    "Uniform",
    "VonMisesFisher",
    "VonMisesProduct",
    "WrappedNormal",
    "default_base",
    "fit_von_mises_fisher_mixture",
    "fit_von_mises_mixture",
]
