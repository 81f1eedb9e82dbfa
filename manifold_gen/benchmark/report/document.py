"""The parts of a report, apart from how they are written: every text in them is plain and escaped by the writers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# how a cell is set: the best of its column, as good as the best, a number that is not valid
BEST, NEAR, INVALID = "best", "near", "invalid"


@dataclass(frozen=True)
class Entry:
    """One cell of a table: its text, how it is set, and a smaller remark below."""

    text: str
    look: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table; its first entry is its head. ``kind`` sets rows apart: ``"reference"`` or ``"published"``."""

    entries: Sequence[Entry]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table; where a column's title has two lines, the second is set smaller. ``words`` are columns of words."""

    columns: Sequence[str]
    rows: Sequence[Row]
    words: Sequence[int] = ()


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 to 3."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of points, each a bold head and what follows it."""

    points: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Image:
    """A picture as the bytes of a file.

    Attributes:
        name: of the file beside the Markdown; letters, digits, hyphens and a suffix only.
        width: in CSS pixels, at which it is drawn where there is room.
    """

    name: str
    data: bytes
    alt: str
    caption: str = ""
    width: int = 480


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, as many in a row as fit."""

    images: Sequence[Image]
    caption: str = ""


@dataclass(frozen=True)
class Details:
    """A block that is opened by its summary: a listing such as JSON."""

    summary: str
    listing: str


Block = Heading | Paragraph | Bullets | Table | Gallery | Details


@dataclass(frozen=True)
class Document:
    """A title and what follows it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)

    @property
    def images(self) -> list[Image]:
        """Every picture, in order."""
        return [image for block in self.blocks if isinstance(block, Gallery) for image in block.images]
