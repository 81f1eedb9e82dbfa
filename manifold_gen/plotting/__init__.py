"""Figures for papers; the only part of the package that imports matplotlib, and only when a figure is made.

``plot(model, dataset)`` asks the manifold which picture is its own: ``register`` adds one for a manifold's ``name``.
"""

from manifold_gen.plotting.choose import plot, register
from manifold_gen.plotting.curves import plot_training
from manifold_gen.plotting.pairs import plot_angle_pairs
from manifold_gen.plotting.rotations import plot_rotations
from manifold_gen.plotting.sphere import plot_sphere
from manifold_gen.plotting.style import save_figure
from manifold_gen.plotting.torus import plot_torus, ramachandran_axes

__all__ = [
    "plot",
    "plot_angle_pairs",
    "plot_rotations",
    "plot_sphere",
    "plot_torus",
    "plot_training",
    "ramachandran_axes",
    "register",
    "save_figure",
]
