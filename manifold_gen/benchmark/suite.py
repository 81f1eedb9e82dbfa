"""Which cells a benchmark has: data × method × seed, teachers before their students."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from manifold_gen.benchmark.budget import Budget
from manifold_gen.benchmark.cell import Cell
from manifold_gen.benchmark.methods import METHODS, find_method
from manifold_gen.configuration import suggestion
from manifold_gen.data.registry import find_source, list_datasets
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import from_spec

_PROTEINS = ("protein_general", "protein_glycine", "protein_proline", "protein_prepro")
_SIDECHAINS = ("sidechain_cys", "sidechain_met", "sidechain_gln", "sidechain_lys")
GROUPS = {
    "earth": ("volcano", "earthquake", "flood", "fire"),
    "torus": ("ramachandran", "rna", *_PROTEINS, *_SIDECHAINS),
    "so3": ("so3_mixture_16", "so3_mixture_32", "so3_mixture_64"),
    "hyperbolic": ("hyperbolic_mixture_a", "hyperbolic_mixture_b", "hyperbolic_checkerboard"),
    "checkerboards": ("checkerboard_s2", "checkerboard_t2", "checkerboard_so3"),
    "molecules": ("qm9",),
}
# run by its own name alone: it needs packages that the others do not
_APART = ("molecules",)
# left out, with a word, where this machine has no file of theirs and there is no certain place to load it from
OPTIONAL = (*_PROTEINS, *_SIDECHAINS)
ALL = "all"
TEACHER_SHARE = 0.5  # of a student's training time


def choose_data(group: str, names: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The data sets of a group that are here, and those that are left out.

    Args:
        group: a name in ``GROUPS``, or ``"all"``.
        names: only these; a name need not be of the group.

    Raises:
        UsageError: unknown group or data set; the message names the nearest.

    Example:
        >>> choose_data("erth")
        Traceback (most recent call last):
        manifold_gen.errors.UsageError: no benchmark is called 'erth'; did you mean earth?
    """
    if group != ALL and group not in GROUPS:
        raise UsageError(f"no benchmark is called {group!r}; {suggestion(group, [*GROUPS, ALL])}")
    if names:
        for name in names:
            if ":" not in name:
                find_source(name)
        return list(names), []
    groups = [key for key in GROUPS if key not in _APART] if group == ALL else [group]
    known = [name for key in groups for name in GROUPS[key]]
    available = {source.name: source.available for source in list_datasets()}
    missing = [name for name in known if name not in available or (name in OPTIONAL and not available[name])]
    return [name for name in known if name not in missing], missing


def choose_methods(names: Sequence[str]) -> list[str]:
    """The methods asked for, or all of them.

    Raises:
        UsageError: an unknown method; the message names the nearest.
    """
    for name in names:
        find_method(name)
    return list(names) or list(METHODS)


def cells(data: Iterable[str], methods: Iterable[str], seeds: int, budget: Budget) -> list[Cell]:
    """All cells with their teachers, those first; a method is left out where the manifold does not suit it.

    The seed of a cell is also that of its split: methods at one seed meet the same rows, and the spread over seeds
    holds that of the split.

    Example:
        >>> from manifold_gen.benchmark.budget import BUDGETS
        >>> [cell.seed for cell in cells(["ramachandran"], ["free-form-flow"], 2, BUDGETS["quick"])]
        [0, 1]
    """
    wanted = []
    methods = list(methods)
    for seed in range(seeds):
        for name in data:
            manifold = from_spec(manifold_of(name))
            wanted += [make_cell(name, key, seed, budget) for key in methods if METHODS[key].suits(manifold)]
    teachers = [cell.teacher for cell in wanted if cell.teacher is not None]
    return list({cell.hash: cell for cell in [*teachers, *wanted]}.values())


def make_cell(data: str, method: str, seed: int, budget: Budget) -> Cell:
    """One cell with its settings resolved; a student and its teacher share the training time."""
    teacher = find_method(method).teacher
    if teacher is None:
        return _cell(data, method, seed, budget, 1.0)
    return replace(
        _cell(data, method, seed, budget, 1.0 - TEACHER_SHARE),
        teacher=_cell(data, teacher, seed, budget, TEACHER_SHARE),
    )


def _cell(data: str, method: str, seed: int, budget: Budget, share: float) -> Cell:
    manifold = from_spec(manifold_of(data))
    settings = {"data": {"split_seed": seed}, **find_method(method).settings(budget.on(manifold), manifold)}
    return Cell(data, method, seed, budget.name, share * budget.seconds, settings)


@cache
def manifold_of(data: str) -> str:
    """Spec of a data set's manifold, loading it only where nothing else tells."""
    if ":" not in data:
        return find_source(data).manifold
    from manifold_gen.data import load_dataset

    return load_dataset(data).manifold.spec
