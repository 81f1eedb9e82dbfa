"""How the documentation is built: ``make docs``, or ``sphinx-build -W docs docs/_build/html``. Needs no network."""

from __future__ import annotations

import re

import manifold_gen

project = "manifold_gen"
author = "the manifold_gen authors"
project_copyright = author
release = version = manifold_gen.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "myst_parser"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "manifold_gen"
html_static_path: list[str] = []
pygments_style = "friendly"

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_use_ivar = True  # attributes listed in a docstring are not documented a second time as members
napoleon_use_rtype = False

# Docstrings are read in terminals too, where |x| is a norm and (*batch, n) a shape; to Sphinx both are markup.
_KEPT = r"``.*?``|`[^`]*`|\*\*\w.*?\w\*\*|(?<!\S)\*\w[^*`]*\w\*(?=[\s,.;:)])"
_MARKUP = re.compile(rf"({_KEPT})|([|*])")


def _escape(line: str) -> str:
    return _MARKUP.sub(lambda found: _literal(found[1]) if found[1] else "\\" + found[2], line)


def _literal(text: str) -> str:
    """A literal that begins or ends with a blank is none to Sphinx: quote it."""
    return f"``'{text[2:-2]}'``" if text.startswith("`` ") else text


def _plain_docstrings(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Escape what is no markup, outside of literals, code and mathematics; Sphinx lets the lines be changed."""
    inside = None  # indentation of the directive or code that the line belongs to
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        if line.lstrip().startswith((".. math", ".. code")) or line.rstrip().endswith("::"):
            inside = indent
        elif inside is None and not line.lstrip().startswith((">>>", "...", ":")):
            lines[number] = _escape(line)


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _plain_docstrings, priority=900)
