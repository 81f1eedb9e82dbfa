"""The report of a benchmark: one HTML page that stands alone, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from manifold_gen.benchmark.report.charts import charts
from manifold_gen.benchmark.report.claims import claims
from manifold_gen.benchmark.report.document import Block, Document, Heading
from manifold_gen.benchmark.report.markdown import to_markdown
from manifold_gen.benchmark.report.molecules import molecule_blocks
from manifold_gen.benchmark.report.overview import overview, specifications
from manifold_gen.benchmark.report.page import to_html
from manifold_gen.benchmark.report.panels import panels
from manifold_gen.benchmark.report.results import DataResults, Result, by_data, read_results
from manifold_gen.benchmark.report.tables import cost_table, published_table, quality_table
from manifold_gen.checkpoint.files import write_atomically, writing

__all__ = ["write_report"]

_FIGURES = "report-figures"


def write_report(folder: Path, out: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md``, the latter with its pictures in ``report-figures`` beside it.

    Args:
        folder: of a benchmark; only its result files are read, and the test points of data sets that are on this
            machine.
        out: made where it does not exist.

    Returns:
        The two files.

    Raises:
        DataError: there is no result file, or one is damaged, malformed or of another schema version.
        MissingExtraError: matplotlib is not installed.
        RunFolderError: ``out`` cannot be written.
    """
    document = compose(read_results(folder), folder)
    page, text, figures = out / "report.html", out / "report.md", out / _FIGURES
    with writing(figures):
        figures.mkdir(parents=True, exist_ok=True)
    for image in document.images:
        write_atomically(figures / image.name, image.data)
    write_atomically(page, to_html(document).encode())
    write_atomically(text, to_markdown(document, _FIGURES).encode())
    return page, text


def compose(results: Sequence[Result], folder: Path) -> Document:
    """The report's document."""
    data = by_data(results)
    blocks: list[Block] = [*overview(results, data, folder), *claims(data)]
    for place, one in enumerate(data):
        blocks += _section(one, f"data-{place + 1:02d}")
    return Document("Generative models on manifolds: benchmark", [*blocks, *specifications(results)])


def _section(data: DataResults, name: str) -> list[Block]:
    title = data.name if data.manifold is None else f"{data.name} ({data.manifold})"
    if data.manifold is None:
        return [Heading(2, title)]
    if data.molecules:
        return [Heading(2, title), *molecule_blocks(data, name)]
    context = published_table(data)
    blocks: list[Block] = [Heading(2, title), Heading(3, "Quality"), quality_table(data)]
    blocks += [] if context is None else [context]
    blocks += [Heading(3, "Cost"), cost_table(data)]
    for heading, gallery in (("Curves", charts(data, name)), ("Pictures", panels(data, name))):
        blocks += [] if gallery is None else [Heading(3, heading), gallery]
    return blocks
