"""What samples are compared with, read once for any number of evaluations."""

from __future__ import annotations

from dataclasses import dataclass

from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.metrics.molecules.features import Features
from manifold_gen.metrics.molecules.graphs import read_graphs


@dataclass(frozen=True)
class References:
    """Training and test molecules, by the same bonds as the samples.

    Attributes:
        known: SMILES of the training molecules; None without any.
        train, test: their features; None without any.
        train_count: number of training molecules.
    """

    known: frozenset[str] | None = None
    train: Features | None = None
    test: Features | None = None
    train_count: int = 0

    @classmethod
    def read(cls, train: Molecules | None = None, test: Molecules | None = None) -> References:
        """Bonds and SMILES of all of them: half a minute to one minute for 100,000 molecules.

        Raises:
            DataError: an element other than H, C, N, O and F.
            MissingExtraError: RDKit is not installed.

        >>> References.read().known is None
        True
        """
        known, features = None, None
        if train is not None:
            graphs = read_graphs(train)
            known = frozenset(smiles for smiles in graphs.smiles if smiles is not None)
            features = Features.read(train, graphs)
        tested = None if test is None else Features.read(test, read_graphs(test))
        return cls(known, features, tested, 0 if train is None else len(train))
