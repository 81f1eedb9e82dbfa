"""What is compared between two sets of molecules: bond lengths, rings, counts of atoms, elements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manifold_gen.chemistry.elements import element_symbol
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.metrics.base import Estimate
from manifold_gen.metrics.molecules.distances import Grouped, alone, total_variation, transport_distance
from manifold_gen.metrics.molecules.graphs import Graphs, of_each_size

#: Kinds of bonds with fewer examples in the reference are left out: their distance would be sampling error alone.
LEAST_BONDS = 100
_MARKS = ("-", "=", "#")


@dataclass(frozen=True)
class Compared:
    """A distance of the samples from the reference.

    Attributes:
        distance: NaN where the samples have none of the kind.
        floor: that of as many training molecules from the same reference: what a perfect sampler of the training set
            would show. None without training molecules.
    """

    distance: Estimate
    floor: Estimate | None = None


@dataclass(frozen=True)
class Features:
    """Values of every molecule, each with the row of its molecule.

    Attributes:
        lengths: bond lengths in ångström by kind, as ``"C-H"``, ``"C=O"`` or ``"C#N"``.
        kinds: the kind of every bond, as a number.
        rings: sizes of the smallest rings; a molecule without has one entry, 0.
        sizes: atoms of each molecule.
        heavy: atoms of each molecule that are no hydrogen.
        elements: atomic numbers.
    """

    lengths: dict[str, Grouped]
    kinds: Grouped
    rings: Grouped
    sizes: Grouped
    heavy: Grouped
    elements: Grouped

    @classmethod
    def read(cls, molecules: Molecules, graphs: Graphs) -> Features:
        """Of molecules and what ``read_graphs`` found for them.

        Raises:
            DataError: an element other than H, C, N, O and F.
        """
        kinds, lengths = _bonds(molecules)
        by_kind = {kind_name(kind): lengths.where(kinds.values == kind) for kind in kinds.values.unique().tolist()}
        rings = [(size, row) for row, found in enumerate(graphs.rings) for size in found or (0,)]
        pairs = torch.tensor(rings, dtype=torch.int64).reshape(-1, 2)
        owner = torch.arange(len(molecules)).repeat_interleave(molecules.sizes)
        return cls(
            by_kind,
            kinds,
            Grouped(pairs[:, 0], pairs[:, 1]),
            alone(molecules.sizes),
            alone(torch.bincount(owner[molecules.numbers > 1], minlength=len(molecules))),
            Grouped(molecules.numbers, owner),
        )

    def of(self, rows: Tensor) -> Features:
        """Those of the molecules at ``rows``."""

        def kept(values: Grouped) -> Grouped:
            return values.where(torch.isin(values.groups, rows))

        lengths = {kind: kept(values) for kind, values in self.lengths.items()}
        others = (self.kinds, self.rings, self.sizes, self.heavy, self.elements)
        return Features(lengths, *map(kept, others))


@dataclass(frozen=True)
class Comparison:
    """Distances of samples from a reference, each beside its floor.

    A bond stretched past its threshold is one of another kind, or none: that shows in ``bond_kinds``, and the lengths
    of one kind cannot differ by more than the tables allow.

    Attributes:
        bond_lengths: Wasserstein-1 in ångström by kind of bond, the commonest first.
        bond_kinds, rings, elements: total variation of the shares of bond kinds, of ring sizes (with "no ring"), and of
            elements.
        atom_counts: total variation of the shares of atom counts.
        atom_count_shift: Wasserstein-1 of the atom counts, atoms.
        heavy_atom_shift: Wasserstein-1 of the counts of atoms that are no hydrogen. A generator is given the number of
            atoms; one that makes them hydrogen where molecules should have rings and double bonds, which are harder to
            make, shows here.
        reference_count: molecules of the reference.
        floor_count: training molecules whose distances are the floor; fewer than samples where there are no more, and
            then the floor is too high.
    """

    bond_lengths: dict[str, Compared]
    bond_kinds: Compared
    rings: Compared
    elements: Compared
    atom_counts: Compared
    atom_count_shift: Compared
    heavy_atom_shift: Compared
    reference_count: int = 0
    floor_count: int = 0


def compare(samples: Features, reference: Features, floor: Features | None = None) -> Comparison:
    """Distances of samples from a reference, and of the floor's molecules from the same.

    Args:
        samples: of generated molecules.
        reference: of molecules not trained on.
        floor: of training molecules, as many as there are samples: distances of samples fall with their number.
    """
    none = Grouped(torch.zeros(0), torch.zeros(0, dtype=torch.int64))

    def against(distance: Callable[[Grouped, Grouped], Estimate], values: Callable[[Features], Grouped]) -> Compared:
        least = None if floor is None else distance(values(floor), values(reference))
        return Compared(distance(values(samples), values(reference)), least)

    common = sorted(reference.lengths, key=lambda kind: -len(reference.lengths[kind]))
    lengths = {
        kind: against(transport_distance, lambda features, kind=kind: features.lengths.get(kind, none))
        for kind in common
        if len(reference.lengths[kind]) >= LEAST_BONDS
    }
    return Comparison(
        lengths,
        against(total_variation, lambda features: features.kinds),
        against(total_variation, lambda features: features.rings),
        against(total_variation, lambda features: features.elements),
        against(total_variation, lambda features: features.sizes),
        against(transport_distance, lambda features: features.sizes),
        against(transport_distance, lambda features: features.heavy),
        len(reference.sizes),
        0 if floor is None else len(floor.sizes),
    )


def kind_name(kind: int) -> str:
    """The name of a number of ``Features.kinds``.

    >>> kind_name(10 * (10 * 6 + 8) + 2)
    'C=O'
    """
    pair, order = divmod(kind, 10)
    first, second = divmod(pair, 10)
    if first == 1:
        first, second = second, first
    return f"{element_symbol(first)}{_MARKS[order - 1]}{element_symbol(second)}"


def _bonds(molecules: Molecules) -> tuple[Grouped, Grouped]:
    """Kind, 10 (10 z₁ + z₂) + order with z₁ ≤ z₂ < 10, and length of every bond."""
    kinds, lengths, owners = [], [], []
    for rows, x, z, orders in of_each_size(molecules):
        owner, first, second = orders.triu(1).nonzero(as_tuple=True)
        pair = torch.stack([z[owner, first], z[owner, second]]).to(torch.int64).sort(0).values
        kinds.append(10 * (10 * pair[0] + pair[1]) + orders[owner, first, second])
        lengths.append((x[owner, first].to(torch.float64) - x[owner, second].to(torch.float64)).norm(dim=-1))
        owners.append(rows[owner])
    groups = torch.cat(owners)
    return Grouped(torch.cat(kinds), groups), Grouped(torch.cat(lengths), groups)
