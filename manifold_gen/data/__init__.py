"""Data sets by name, the user's own files, and the checks that both go through."""

from manifold_gen.data import earth, energies, generated, molecule_sets, protein, ramachandran, torsions
from manifold_gen.data.base import Dataset, Split
from manifold_gen.data.files import load_file, read_points, read_split, write_points
from manifold_gen.data.formats import PointFormat, make_format
from manifold_gen.data.registry import Source, list_datasets, load_dataset, register
from manifold_gen.data.validation import check_points

for _module in (earth, energies, generated, molecule_sets, protein, ramachandran, torsions):
    register(*_module.SOURCES)

__all__ = [
    "Dataset",
    "PointFormat",
    "Source",
    "Split",
    "check_points",
    "list_datasets",
    "load_dataset",
    "load_file",
    "make_format",
    "read_points",
    "read_split",
    "register",
    "write_points",
]
