"""Figures for papers; the only part of the package that imports matplotlib, and only when a figure is made."""

from manifold_gen.plotting.style import save_figure
from manifold_gen.plotting.torus import plot_torus, ramachandran_axes

__all__ = ["plot_torus", "ramachandran_axes", "save_figure"]
