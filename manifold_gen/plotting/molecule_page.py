"""Molecules as one HTML page to turn in three dimensions, which needs nothing beside it."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import torch
from torch import Tensor

from manifold_gen.chemistry.bonds import bond_orders, stable_atoms
from manifold_gen.chemistry.elements import element_symbol, sum_formula
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import DataError, RunFolderError, UsageError
from manifold_gen.plotting.molecule_viewer import SCRIPT, STYLE
from manifold_gen.plotting.molecules import strict_faults

PAGES = (".html", ".htm")


def molecule_page(molecules: Molecules, path: str | Path, title: str = "Generated molecules", most: int = 200) -> Path:
    """A page that shows the first ``most`` molecules as balls and sticks: drag to turn, wheel to zoom.

    Bonds are those of the distances (``manifold_gen.chemistry.bonds``); what fails of the strict check is said beside
    each molecule. The page asks for nothing from any network.

    Args:
        molecules: of H, C, N, O and F, for which bonds are known.
        path: ``.html``.
        title: heading of the page, plain text.
        most: how many molecules it holds.

    Raises:
        UsageError: another ending, or fewer than one molecule asked for.
        DataError: there are no molecules at finite places, or an element without known bonds.
        MissingExtraError: RDKit is not installed.
        RunFolderError: the page cannot be written.

    Example:
        >>> import tempfile
        >>> water = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
        >>> one = Molecules.join([(water, torch.tensor([8, 1, 1]))])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = molecule_page(one, folder + "/water.html", "water & ice").read_text()
        >>> "<h1>water &amp; ice</h1>" in page
        True
    """
    path = Path(path)
    if path.suffix.lower() not in PAGES:
        raise UsageError(f"{path} ends in {path.suffix!r}; a page of molecules is written to {', '.join(PAGES)}")
    if most < 1:
        raise UsageError(f"most is {most}; expected at least 1")
    shown = molecules[:most].centred()
    records = [
        _record(number, positions, numbers, fault)
        for number, ((positions, numbers), fault) in enumerate(zip(shown, strict_faults(shown), strict=True), start=1)
        if bool(torch.isfinite(positions).all())
    ]
    if not records:
        raise DataError(f"none of {len(shown)} molecules is at finite places; give at least one to show")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_page(title, records, len(molecules)), encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write the page {path}: {error}; choose another place") from error
    return path


def _record(number: int, positions: Tensor, numbers: Tensor, fault: str) -> dict[str, object]:
    """One molecule as the script reads it: symbols, coordinates in a row, bonds ``[i, j, order]``, atoms to mark."""
    orders = bond_orders(positions.unsqueeze(0), numbers.unsqueeze(0))[0]
    bonds = [[i, j, int(orders[i, j])] for i, j in orders.triu(1).nonzero().tolist()]
    return {
        "number": number,
        "formula": sum_formula(numbers.tolist()),
        "fault": fault,
        "atoms": [element_symbol(z) for z in numbers.tolist()],
        "places": [round(value, 3) for value in _broadside(positions.double()).flatten().tolist()],
        "bonds": bonds,
        "wrong": (~stable_atoms(numbers, orders)).nonzero().squeeze(-1).tolist(),
    }


def _broadside(positions: Tensor) -> Tensor:
    """Turned so that the longest axis lies across the screen and the shortest towards the eye; never mirrored."""
    _, axes = torch.linalg.eigh(positions.mT @ positions)
    axes = axes.flip(-1)
    axes[:, 2] *= torch.linalg.det(axes).sign()
    return positions @ axes


def _page(title: str, records: list[dict[str, object]], total: int) -> str:
    # "<" cannot stand inside a script without being able to end it
    data = json.dumps(records, separators=(",", ":")).replace("<", "\\u003c")
    heading = escape(title)
    shown = f"{len(records)} of {total:,}" if len(records) < total else f"all {total:,}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{heading}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
<canvas id="view" tabindex="0" role="img" aria-label="molecule in three dimensions"></canvas>
<nav>
<button type="button" id="previous">Previous</button>
<output id="place"></output>
<button type="button" id="next">Next</button>
</nav>
<p id="formula"></p>
<p id="verdict" aria-live="polite"></p>
<ul id="elements"></ul>
<p class="help">Drag to turn, wheel or pinch to zoom, double click for the first view; keys: arrows, + and −.
Holds {shown} molecules; bonds by distance, nothing repaired; atoms whose bonds do not add up have a red ring.</p>
</main>
<script type="application/json" id="molecules">{data}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""
