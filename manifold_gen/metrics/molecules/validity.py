"""Shares of molecules that RDKit accepts, that differ from one another, and that are not of the training set.

Errors of shares of distinct molecules are by the jackknife over molecules: to leave out one of several copies changes
no distinct one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Set

import torch

from manifold_gen.metrics.base import Estimate, jackknife_se, share_estimate
from manifold_gen.metrics.molecules.graphs import Graphs


def validity(graphs: Graphs) -> Estimate:
    """Share of molecules that RDKit sanitises. It adds hydrogens in thought, so lacking bonds do not count.

    >>> validity(Graphs(torch.zeros(2), ("[H]O[H]", None), torch.ones(2), torch.zeros(2), ((), ()))).value
    0.5
    """
    return share_estimate(graphs.valid)


def single_fragment(graphs: Graphs) -> Estimate:
    """Share of molecules that are valid and in one piece."""
    return share_estimate(graphs.valid & (graphs.fragments == 1))


def strict_success(graphs: Graphs) -> Estimate:
    """Share of molecules that are stable, valid, in one piece, and need no hydrogen added: the headline."""
    return share_estimate(graphs.strict)


def uniqueness(graphs: Graphs) -> Estimate:
    """Distinct SMILES of valid molecules (of their largest fragments) among the valid ones; NaN without any.

    >>> graphs = Graphs(torch.zeros(3), ("C", "C", "O"), torch.ones(3), torch.zeros(3), ((), (), ()))
    >>> round(uniqueness(graphs).value, 4)
    0.6667
    """
    counts = Counter(smiles for smiles in graphs.smiles if smiles is not None)
    return _distinct(len(counts), sum(counts.values()), once=sum(count == 1 for count in counts.values()))


def valid_and_unique(graphs: Graphs) -> Estimate:
    """Distinct SMILES among all molecules: validity × uniqueness. It falls as more molecules are drawn."""
    counts = Counter(smiles for smiles in graphs.smiles if smiles is not None)
    return _distinct(len(counts), len(graphs), once=sum(count == 1 for count in counts.values()))


def novelty(graphs: Graphs, known: Set[str]) -> Estimate:
    """Share of the distinct SMILES that are not in ``known``; NaN without any.

    High is not good by itself: it says how rarely a sample is a training molecule, and a perfect sampler of a
    population of which three quarters were trained on would have a quarter.

    Args:
        graphs: of the generated molecules.
        known: SMILES that ``read_graphs`` finds for the training molecules, by the same bonds.
    """
    counts = Counter(smiles for smiles in graphs.smiles if smiles is not None)
    new = {smiles for smiles in counts if smiles not in known}
    distinct = len(counts)
    if distinct == 0:
        return Estimate(math.nan, math.nan)
    share = len(new) / distinct
    once = torch.tensor([float(s in new) for s, count in counts.items() if count == 1], dtype=torch.float64)
    repeated = torch.full((sum(counts.values()) - len(once),), share, dtype=torch.float64)
    left_out = (len(new) - once) / max(distinct - 1, 1)
    return Estimate(share, _never_zero(jackknife_se(torch.cat([left_out, repeated])), share, distinct))


def _distinct(distinct: int, total: int, *, once: int) -> Estimate:
    """``distinct`` / ``total``, where ``once`` of the distinct values occur a single time."""
    if total == 0:
        return Estimate(math.nan, math.nan)
    share = distinct / total
    left_out = torch.full((total,), float(distinct), dtype=torch.float64)
    left_out[:once] -= 1
    return Estimate(share, _never_zero(jackknife_se(left_out / max(total - 1, 1)), share, total))


def _never_zero(se: float, share: float, count: int) -> float:
    """The error, or where it vanishes that of Agresti and Coull for so many independent draws."""
    if se > 0:
        return se
    centre = (share * count + 2) / (count + 4)
    return math.sqrt(centre * (1 - centre) / (count + 4))
