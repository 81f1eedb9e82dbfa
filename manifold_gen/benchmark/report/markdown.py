"""A document as Markdown that GitHub and others read, with its pictures in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from manifold_gen.benchmark.report.document import (
    BEST,
    INVALID,
    NEAR,
    Block,
    Bullets,
    Details,
    Document,
    Entry,
    Gallery,
    Heading,
    Paragraph,
    Table,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~#$])")
_IN_A_ROW = 3


def to_markdown(document: Document, folder: str) -> str:
    """The whole text; pictures are looked for in ``folder``, relative to it.

    Example:
        >>> from manifold_gen.benchmark.report.document import Document, Paragraph
        >>> print(to_markdown(Document("a|b", [Paragraph("<script> & *")]), "figures"))
        # a\\|b
        <BLANKLINE>
        &lt;script&gt; &amp; \\*
        <BLANKLINE>
    """
    parts = [f"# {plain(document.title)}", *(_block(block, folder) for block in document.blocks)]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """``text`` so that Markdown and the HTML inside it show it as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False))


def _block(block: Block, folder: str) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {plain(text)}"
        case Paragraph(text):
            return plain(text)
        case Bullets(points):
            return "\n".join(f"- **{plain(head)}:** {plain(text)}" for head, text in points)
        case Table():
            return _table(block)
        case Gallery():
            return _gallery(block, folder)
        case Details(summary, listing):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", listing)), default=0))
            head = f"<details><summary>{escape(summary)}</summary>"
            return f"{head}\n\n{fence}json\n{listing}\n{fence}\n\n</details>"


def _table(table: Table) -> str:
    aligned = ["---" if place in (0, *table.words) else "---:" for place in range(len(table.columns))]
    lines = [_line([plain(column) for column in table.columns]), _line(aligned)]
    lines += [_line([_words(entry) for entry in row.entries]) for row in table.rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _words(entry: Entry) -> str:
    text = plain(entry.text)
    set_text = {BEST: f"**{text}**", NEAR: f"**{text}** \\*", INVALID: f"~~{text}~~"}.get(entry.look, text)
    return set_text + (f"<br>{plain(entry.remark)}" if entry.remark else "")


def _gallery(gallery: Gallery, folder: str) -> str:
    """Pictures as a table, so that they stand side by side with their captions."""
    shown = [
        f"![{plain(i.alt)}]({folder}/{i.name})" + (f"<br>{plain(i.caption)}" if i.caption else "")
        for i in gallery.images
    ]
    rows = [shown[start : start + _IN_A_ROW] for start in range(0, len(shown), _IN_A_ROW)]
    width = len(rows[0])
    lines = [
        _line([" "] * width),
        _line(["---"] * width),
        *(_line([*row, *[" "] * (width - len(row))]) for row in rows),
    ]
    return "\n".join(lines) + (f"\n\n{plain(gallery.caption)}" if gallery.caption else "")
