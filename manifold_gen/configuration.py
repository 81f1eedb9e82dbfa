"""One schema for configuration files and command-line flags.

The settings of a section are the keyword arguments of what the section builds: ``[data]`` those of the loader of the
data set (or of ``load_file``), ``[model]`` those of the model's constructor, ``[training]`` the fields of
``TrainingConfig``. A setting is added by adding an argument; nothing is declared twice, and what a file may say a flag
may say too.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifold_gen.errors import DataError, UsageError

Value = bool | int | float | str | list | None
Table = dict[str, Value]

_TEXTS = (str, Path)
_LISTS = (list, tuple, Sequence)


@dataclass(frozen=True)
class Setting:
    """One key: its dotted name, its type and its default, ``inspect.Parameter.empty`` where it has none."""

    key: str
    annotation: object
    default: object


def settings_of(function: Callable[..., object], section: str, *, without: Iterable[str] = ()) -> dict[str, Setting]:
    """The arguments of ``function`` that a configuration file can express, by name.

    >>> def load(path: str, *, units: str = "radians", device: object = None): ...
    >>> list(settings_of(load, "data", without=["path"]))
    ['units']
    """
    found = {}
    for name, parameter in _parameters(function).items():
        if name not in without and _expressible(parameter.annotation):
            found[name] = Setting(f"{section}.{name}", parameter.annotation, parameter.default)
    return found


def _parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The annotated arguments by name, annotations resolved.

    Where a class hands ``**options`` on to the constructor it inherits, or to that of the class ``options_of`` that it
    names, those of that constructor stand behind its own.
    """
    bare = function.func if isinstance(function, functools.partial) else function
    bodies = [function]
    if inspect.isclass(bare):
        others = getattr(bare, "options_of", None)
        classes = bare.__mro__ if others is None else (bare, *others.__mro__)
        bodies = [vars(base)["__init__"] for base in classes if "__init__" in vars(base)]
    found: dict[str, inspect.Parameter] = {}
    for body in bodies:
        hints = typing.get_type_hints(bare if body is function else body)
        own = inspect.signature(body).parameters
        for name, parameter in own.items():
            if name in hints and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                found.setdefault(name, parameter.replace(annotation=hints[name]))
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in own.values()):
            break
    return found


def checked(table: Mapping[str, Value], settings: Mapping[str, Setting], section: str) -> Table:
    """``table`` with every value in the type of its setting; defaults are not filled in.

    Raises:
        UsageError: an unknown key (with the nearest known one) or a value of another type.

    >>> steps = {"steps": Setting("training.steps", int, 100)}
    >>> checked({"steps": 1e3}, steps, "training")
    {'steps': 1000}
    >>> checked({"stpes": 5}, steps, "training")
    Traceback (most recent call last):
    manifold_gen.errors.UsageError: unknown setting training.stpes; did you mean training.steps?
    """
    for name in table:
        if name not in settings:
            raise UsageError(f"unknown setting {section}.{name}; {suggestion(name, settings, prefix=section + '.')}")
    return {name: coerced(value, settings[name]) for name, value in table.items()}


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """``did you mean …?`` for the nearest known name, or the list of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {prefix}{near[0]}?"
    return f"known are {', '.join(prefix + item for item in known)}" if known else "it has no settings"


def coerced(value: Value, setting: Setting) -> Value:
    """``value`` in the type of ``setting``; an integral float passes for an integer (``1e3``)."""
    for kind in _in_order(setting.annotation):
        matched, result = _match(value, kind)
        if matched:
            return result
    raise UsageError(f"{setting.key} is {value!r}; expected {describe(setting.annotation)}")


def describe(annotation: object) -> str:
    """The type in words a user knows, e.g. ``an integer or none``."""
    return " or ".join(dict.fromkeys(_describe_one(kind) for kind in _alternatives(annotation)))


def parse_value(text: str) -> Value:
    """What ``text`` says as a TOML value, or the text itself where it is none (so quotes may be left out).

    >>> parse_value("1e-3"), parse_value("true"), parse_value("cosine"), parse_value("phi,psi"), parse_value("none")
    (0.001, True, 'cosine', 'phi,psi', None)
    """
    if text.strip().lower() in ("none", "null", ""):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_assignment(text: str) -> tuple[str, str, Value]:
    """``training.lr=1e-3`` as (section, name, value).

    >>> parse_assignment("training.lr=1e-3")
    ('training', 'lr', 0.001)
    """
    key, equals, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot and section and name):
        raise UsageError(f"cannot read {text!r} as a setting; write section.name=value, e.g. training.lr=1e-3")
    return section, name, parse_value(value)


def read_toml(path: str | Path) -> dict[str, object]:
    """The tables of a TOML file; ``DataError`` where it is missing, ``UsageError`` (with the line) where malformed."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise DataError(f"no configuration file {str(path)!r}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is not valid TOML: {error}; mend that line") from error


def _alternatives(annotation: object) -> tuple[object, ...]:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return tuple(kind for part in typing.get_args(annotation) for kind in _alternatives(part))
    return (annotation,)


def _in_order(annotation: object) -> list[object]:
    """The alternatives with text last: any value can be read as a text, so the others come first."""
    return sorted(_alternatives(annotation), key=lambda kind: kind in _TEXTS)


def _expressible(annotation: object) -> bool:
    for kind in _alternatives(annotation):
        origin = typing.get_origin(kind)
        if origin is typing.Literal or kind in (bool, int, float, *_TEXTS, types.NoneType):
            continue
        if origin in _LISTS and all(part is Ellipsis or _expressible(part) for part in typing.get_args(kind)):
            continue
        return False
    return True


def _match(value: Value, kind: object) -> tuple[bool, Value]:
    """Whether ``value`` is of the type, and the value in it."""
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return value in typing.get_args(kind), value
    if origin in _LISTS:
        return _match_sequence(value, kind, origin)
    if kind is types.NoneType:
        return value is None, None
    if kind is bool:
        return isinstance(value, bool), value
    if isinstance(value, bool):
        return False, value
    if kind is int:
        integral = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return integral, int(value) if integral else value
    if kind is float:
        number = isinstance(value, int | float)
        return number, float(value) if number else value
    return isinstance(value, str | int | float), str(value)


def _match_sequence(value: Value, kind: object, origin: type) -> tuple[bool, Value]:
    parts = [part for part in typing.get_args(kind) if part is not Ellipsis]
    if isinstance(value, str):  # only where a list is expected do commas separate
        value = [parse_value(part.strip()) for part in value.split(",") if part.strip()]
    items = value if isinstance(value, list | tuple) else [value]
    if value is None or not parts:
        return False, value
    if origin is tuple and Ellipsis not in typing.get_args(kind) and len(items) != len(parts):
        return False, value
    results = []
    for i, item in enumerate(items):
        matches = [_match(item, alternative) for alternative in _in_order(parts[min(i, len(parts) - 1)])]
        hits = [result for matched, result in matches if matched]
        if not hits:
            return False, value
        results.append(hits[0])
    return True, tuple(results) if origin is tuple else results


def _describe_one(kind: object) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", types.NoneType: "none"}
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(item) for item in typing.get_args(kind))
    if origin is not None:
        parts = [part for part in typing.get_args(kind) if part is not Ellipsis]
        return "a list, each " + " or ".join(describe(part) for part in dict.fromkeys(parts))
    return names.get(kind, "a text")
