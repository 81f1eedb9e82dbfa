"""The kinds of data there are: the format of each, and how a file of the user's is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from manifold_gen.data.base import Dataset
from manifold_gen.data.files import load_file
from manifold_gen.data.formats import PointFormat, make_format
from manifold_gen.data.molecule_sets import MOLECULE_FILES, load_molecule_file
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import from_spec

Format = PointFormat | MoleculeFormat


@dataclass(frozen=True)
class FileKind:
    """Files of one kind.

    Attributes:
        format: the class of their format.
        endings: of the files that can be read.
        load: ``load(path, dtype=…, **options) -> Dataset``.
    """

    format: type[Format]
    endings: tuple[str, ...]
    load: Callable[..., Dataset]


POINTS = FileKind(PointFormat, PointFormat.endings, load_file)
KINDS = {kind.format.kind: kind for kind in (POINTS, FileKind(MoleculeFormat, MOLECULE_FILES, load_molecule_file))}


def file_kind(path: str | Path) -> FileKind:
    """The kind of a file by its ending; points where the ending is unknown, for their reader lists those it knows.

    >>> file_kind("mine.sdf").format.kind, file_kind("angles.csv").format.kind
    ('molecules', 'points')
    """
    ending = Path(path).suffix.lower()
    return next((kind for kind in KINDS.values() if ending in kind.endings), POINTS)


def read_format(content: Mapping[str, object] | None, manifold: str) -> Format:
    """The format that ``to_dict`` gave ``content``; without any, the usual one of points on ``manifold``.

    Raises:
        UsageError: an unknown kind, or clouds of many sizes, which have no usual format.

    >>> read_format(None, "torus:2").columns
    ['angle1', 'angle2']
    """
    if content is None and from_spec(manifold).varies:
        raise UsageError(
            f"nothing says how points of {manifold} stand in files; give the data set info['format'], for molecules "
            "MoleculeFormat(…).to_dict()"
        )
    if content is None:
        return make_format(manifold)
    plain = dict(content)
    kind = str(plain.pop("kind", PointFormat.kind))
    if kind not in KINDS:
        raise UsageError(f"unknown kind of format {kind!r}; known are {', '.join(KINDS)}, in this version")
    return KINDS[kind].format.from_dict(plain)
