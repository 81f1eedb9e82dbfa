"""Densities on manifolds, with respect to the Riemannian volume, in nats."""

from manifold_gen.distributions.base import Distribution, Family, Sampler
from manifold_gen.distributions.cells import CellDensity
from manifold_gen.distributions.chain_em import fit_von_mises_chain_mixture
from manifold_gen.distributions.checkerboard import (
    HyperbolicCells,
    RotationCells,
    SphereCells,
    hyperbolic_checkerboard,
    so3_checkerboard,
    sphere_checkerboard,
    torus_checkerboard,
)
from manifold_gen.distributions.choose import fit_mixture
from manifold_gen.distributions.em import (
    EMSettings,
    fit_kent_mixture,
    fit_rotation_mixture,
    fit_von_mises_fisher_mixture,
    fit_von_mises_mixture,
)
from manifold_gen.distributions.heavy_tails import with_tails
from manifold_gen.distributions.histogram import TorusHistogram
from manifold_gen.distributions.hyperbolic import hyperbolic_mixture
from manifold_gen.distributions.kent import Kent
from manifold_gen.distributions.kernel_density import KernelDensity, fit_kernel_density
from manifold_gen.distributions.matrix_fisher import MatrixFisher
from manifold_gen.distributions.mixture import Mixture
from manifold_gen.distributions.product import ProductDistribution, default_base
from manifold_gen.distributions.rotations import so3_cone, so3_cube, so3_line, so3_mixture, so3_peak
from manifold_gen.distributions.swiss_roll import SwissRoll
from manifold_gen.distributions.uniform import Uniform
from manifold_gen.distributions.von_mises import VonMisesProduct
from manifold_gen.distributions.von_mises_chain import VonMisesChain
from manifold_gen.distributions.von_mises_fisher import VonMisesFisher
from manifold_gen.distributions.wrapped_em import fit_wrapped_normal_mixture
from manifold_gen.distributions.wrapped_normal import WrappedNormal

__all__ = [
    "CellDensity",
    "Distribution",
    "EMSettings",
    "Family",
    "HyperbolicCells",
    "Kent",
    "KernelDensity",
    "MatrixFisher",
    "Mixture",
    "ProductDistribution",
    "RotationCells",
    "Sampler",
    "SphereCells",
    "SwissRoll",
    "TorusHistogram",
    "Uniform",
    "VonMisesChain",
    "VonMisesFisher",
    "VonMisesProduct",
    "WrappedNormal",
    "default_base",
    "fit_kent_mixture",
    "fit_kernel_density",
    "fit_mixture",
    "fit_rotation_mixture",
    "fit_von_mises_chain_mixture",
    "fit_von_mises_fisher_mixture",
    "fit_von_mises_mixture",
    "fit_wrapped_normal_mixture",
    "hyperbolic_checkerboard",
    "hyperbolic_mixture",
    "so3_checkerboard",
    "so3_cone",
    "so3_cube",
    "so3_line",
    "so3_mixture",
    "so3_peak",
    "sphere_checkerboard",
    "torus_checkerboard",
    "with_tails",
]
