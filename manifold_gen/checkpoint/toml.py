"""Writing TOML; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from manifold_gen.errors import UsageError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(table: Mapping[str, object]) -> str:
    """TOML text of nested tables of numbers, strings, booleans and lists; entries that are ``None`` are left out.

    Raises:
        UsageError: a value that TOML cannot hold.

    Example:
        >>> print(dumps({"seed": 1, "training": {"lr": 1e-3, "betas": (0.9, 0.99)}}), end="")
        seed = 1
        <BLANKLINE>
        [training]
        lr = 0.001
        betas = [0.9, 0.99]
    """
    return "\n".join(_table(table, ())).lstrip("\n") + "\n"


def _table(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if value is not None and not isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(value, (*path, key))}" for key, value in plain.items()]
    if path and (lines or not table):
        lines = ["", f"[{'.'.join(_key(part) for part in path)}]", *lines]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _table(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item, (*path, key))}" for key, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item, path) for item in value) + "]"
    raise UsageError(f"{'.'.join(path)} is {value!r}, expected a number, string, boolean, list or table")
