"""Code blocks of a Markdown page, run in order as one program."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = "<!-- not run -->"
_FENCE = re.compile(r"^```\s*\{?([\w-]*)\}?.*$")


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """(line, code) of every fenced block in ``language`` that is not marked with ``<!-- not run -->`` just above it."""
    found, inside, start, marked = [], None, 0, False
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside, start = fence.group(1), number + 1
        elif inside is not None and line.startswith("```"):
            if inside == language and not marked:
                found.append((start, "\n".join(lines[start - 1 : number - 1]) + "\n"))
            inside, marked = None, False
        elif inside is None and line.strip():
            marked = line.strip() == NOT_RUN
    return found


def run_python(path: Path, name: str) -> dict[str, object]:
    """Run the Python blocks of a page as the module ``name``; a traceback shows the page's own line numbers."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    code = blocks(path, "python")
    assert code, f"{path} has no Python block to run"
    try:
        for line, text in code:
            exec(compile("\n" * (line - 1) + text, str(path), "exec"), module.__dict__)
    finally:
        del sys.modules[name]
    return module.__dict__
