"""Data sets by name, the user's own files, and the checks that both go through."""

from manifold_gen.data import ramachandran
from manifold_gen.data.base import Dataset, Split
from manifold_gen.data.registry import Source, list_datasets, load_dataset, register

for _module in (ramachandran,):
    register(*_module.SOURCES)

__all__ = ["Dataset", "Source", "Split", "list_datasets", "load_dataset", "register"]
