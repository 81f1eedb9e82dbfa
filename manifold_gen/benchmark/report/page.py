"""A document as one HTML page that needs nothing beside it: no script, no network, pictures inside."""

from __future__ import annotations

import base64
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
    Image,
    Paragraph,
    Row,
    Table,
)

_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
_STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --faint: #5c5c5c; --line: #d9d9d9; --rule: #1a1a1a; --bad: #a3270d; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 75rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .75rem; padding-top: .75rem; border-top: 2px solid var(--rule); }
h3 { font-size: 1.02rem; margin: 1.75rem 0 .5rem; }
h1, h2, h3, p, li, dd, figcaption { overflow-wrap: anywhere; }
p, dl { max-width: 46rem; margin: .5rem 0; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) minmax(0, 1fr); gap: .2rem 1rem; }
dt { color: var(--faint); }
dd { margin: 0; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .79rem; line-height: 1.35; font-variant-numeric: tabular-nums;
  border-top: 2px solid var(--rule); border-bottom: 2px solid var(--rule); }
th, td { padding: .3rem .42rem; text-align: right; vertical-align: top; white-space: nowrap; }
thead th { vertical-align: bottom; font-weight: 600; border-bottom: 1px solid var(--rule); }
thead small { display: block; font-weight: 400; color: var(--faint); }
tbody th { text-align: left; font-weight: 400; position: sticky; left: 0; background: #fff;
  white-space: normal; min-width: 9.5rem; max-width: 24rem; }
th:first-child { padding-left: 0; text-align: left; }
tbody tr + tr > * { border-top: 1px solid #ececec; }
tr.published > *, tr.reference > * { color: var(--faint); }
tr.first > * { border-top: 1px solid var(--rule) !important; }
td small, th small { display: block; font-size: .92em; color: var(--faint); white-space: normal; }
td small { min-width: 9rem; max-width: 16rem; margin-left: auto; }
td.words, th.words { text-align: left; }
td.words { white-space: normal; min-width: 5rem; max-width: 44rem; }
td.words small { min-width: 0; margin-left: 0; }
td.invalid small { color: var(--bad); }
td.invalid s { color: var(--faint); }
figure { margin: 0; }
.gallery { display: flex; flex-wrap: wrap; gap: 1rem; margin: .75rem 0; align-items: flex-start; }
.gallery figure { flex: 0 1 auto; max-width: 100%; }
.gallery img { display: block; width: 100%; height: auto; }
figcaption { font-size: .84rem; color: var(--ink); margin-top: .15rem; }
.caption { font-size: .84rem; color: var(--faint); }
details { border-top: 1px solid var(--line); font-size: .84rem; }
summary { cursor: pointer; padding: .35rem 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; background: #f6f6f6; padding: .75rem; margin: 0 0 .75rem;
  font: .8rem/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
@media (max-width: 480px) { body { padding: 1rem .75rem 3rem; } dl { grid-template-columns: minmax(0, 1fr); }
  dt { margin-top: .4rem; } tbody th { min-width: 7rem; max-width: 8.5rem; } th, td { padding: .3rem .4rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .scroll { overflow: visible; }
  table { font-size: 6.5pt; } th, td { padding: 1pt 3pt; } tbody th { position: static; }
  h2, h3 { break-after: avoid; } tr, figure { break-inside: avoid; } details:not([open]) { display: none; } }
"""


def to_html(document: Document) -> str:
    """The whole page.

    Example:
        >>> from manifold_gen.benchmark.report.document import Document, Paragraph
        >>> page = to_html(Document("a & b", [Paragraph("<script>")]))
        >>> "<title>a &amp; b</title>" in page, "<p>&lt;script&gt;</p>" in page
        (True, True)
    """
    title = escape(document.title)
    body = "\n".join([f"<h1>{title}</h1>", *map(_block, document.blocks)])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # a page opened from disk asks for no icon either
        f'<link rel="icon" href="data:,">\n<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Bullets(points):
            return f"<dl>{''.join(f'<dt>{escape(head)}</dt><dd>{escape(text)}</dd>' for head, text in points)}</dl>"
        case Table():
            return _table(block)
        case Gallery(images, caption):
            below = f'<p class="caption">{escape(caption)}</p>' if caption else ""
            return f'<div class="gallery">{"".join(map(_image, images))}</div>{below}'
        case Details(summary, listing):
            return f"<details><summary>{escape(summary)}</summary><pre>{escape(listing)}</pre></details>"


def _table(table: Table) -> str:
    looks = ["words" if place in table.words else "" for place in range(len(table.columns))]
    head = "".join(_cell("th", _title(c), look, ' scope="col"') for c, look in zip(table.columns, looks, strict=True))
    rows, before = [], None
    for row in table.rows:
        rows.append(_row(row, looks, first=before is not None and row.kind != before))
        before = row.kind
    # a box that scrolls is reached by the keyboard
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(kind: str, inside: str, look: str, more: str = "") -> str:
    return f"<{kind}{_class(look)}{more}>{inside}</{kind}>"


def _class(words: str) -> str:
    return f' class="{words.strip()}"' if words.strip() else ""


def _title(text: str) -> str:
    first, _, second = text.partition("\n")
    return escape(first) + (f"<small>{escape(second)}</small>" if second else "")


def _row(row: Row, looks: Sequence[str], first: bool) -> str:
    name, *values = row.entries
    head = _cell("th", _words(name), "", ' scope="row"')
    cells = "".join(_cell("td", _words(v), f"{v.look} {look}") for v, look in zip(values, looks[1:], strict=True))
    return f"<tr{_class(f'{row.kind} first' if first else row.kind)}>{head}{cells}</tr>"


def _words(entry: Entry) -> str:
    text = escape(entry.text)
    set_text = {
        BEST: f"<strong>{text}</strong>",
        NEAR: f"<strong>{text}</strong>&#8202;*",
        INVALID: f"<s>{text}</s>",
    }.get(entry.look, text)
    return set_text + (f"<small>{escape(entry.remark)}</small>" if entry.remark else "")


def _image(image: Image) -> str:
    suffix = image.name[image.name.rindex(".") :]
    source = f"data:{_TYPES[suffix]};base64,{base64.b64encode(image.data).decode()}"
    caption = f"<figcaption>{escape(image.caption)}</figcaption>" if image.caption else ""
    return f'<figure style="width:{image.width}px"><img src="{source}" alt="{escape(image.alt)}">{caption}</figure>'
