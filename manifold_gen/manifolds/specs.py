"""Manifolds from text: ``"sphere:2"``, ``"so3"``, ``"points:18,3,5"``, ``"sphere:2 x euclidean:1"``,
``"geoopt.Stiefel:4,2"``, ``"package.module:Class:1.0,2.0"``."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.product import Product

_PACKAGE = "manifold_gen.manifolds"
_SIZED = {
    "euclidean": "euclidean:Euclidean",
    "sphere": "sphere:Sphere",
    "torus": "torus:Torus",
    "poincare": "hyperbolic:PoincareBall",
    "lorentz": "hyperbolic:Lorentz",
}
_LIBRARIES = {"geoopt": "adapters:geoopt_from_spec", "geomstats": "adapters:geomstats_from_spec"}
_PLAIN = {"so3": "rotations:SO3"}
_SEVERAL = {"points": "point_cloud:PointCloud", "clouds": "point_clouds:PointClouds"}
_OUTSIDE = re.compile(r"(?P<module>[A-Za-z_][\w.]*)\s*:\s*(?P<kind>[A-Za-z_]\w*)(?:\s*:\s*(?P<numbers>[^:]+))?")


def from_spec(text: str) -> Manifold:
    """The manifold that a specification names; inverse of the attribute ``spec``.

    A factor is ``name:n`` with n the intrinsic dimension (``euclidean``, ``sphere``, ``torus``, ``poincare``,
    ``lorentz``), or ``so3``, or ``points:n,p,k`` (n points in p dimensions with k features each; p = 3 and k = 0 where
    they are left out), or a space of another library, ``geoopt.Class:shape`` or ``geomstats.Class:sizes``, or a class
    of your own, ``package.module:Class`` or ``package.module:Class:numbers`` with the numbers that its constructor
    takes, separated by commas. Factors are joined by `` x ``.

    Raises:
        UsageError: for an unknown name, a size that is not a positive whole number, or a class that cannot be imported
            or made.

    Example:
        >>> from_spec("so3 x torus:2").dim
        5
        >>> from_spec("manifold_gen.manifolds.sphere:Sphere:2")
        sphere:2
    """
    factors = [_factor(part) for part in re.split(r"\s+x\s+|\s*×\s*", text.strip())]
    return factors[0] if len(factors) == 1 else Product(*factors)


def _factor(text: str) -> Manifold:
    name, _, size = (part.strip() for part in text.partition(":"))
    library, _, space = name.partition(".")
    if library in _LIBRARIES and re.fullmatch(r"\d+(\s*,\s*\d+)*", size):
        return _load(_LIBRARIES[library])(space, tuple(int(part) for part in size.split(",")))
    if name in _PLAIN and not size:
        return _load(_PLAIN[name])()
    if name in _SIZED and size.isdecimal() and int(size) > 0:
        return _load(_SIZED[name])(int(size))
    if name in _SEVERAL and re.fullmatch(r"\d+(\s*,\s*\d+){0,2}", size):
        return _load(_SEVERAL[name])(*(int(part) for part in size.split(",")))
    outside = None if name in (*_PLAIN, *_SIZED, *_SEVERAL) else _OUTSIDE.fullmatch(text.strip())
    if outside:
        return _from_outside(text, **outside.groupdict())
    raise UsageError(_complaint(text, name))


def _from_outside(text: str, module: str, kind: str, numbers: str | None) -> Manifold:
    """The manifold of ``module:kind:numbers``."""
    try:
        found = getattr(importlib.import_module(module), kind, None)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"manifold {text!r}: {error}; install the package or set PYTHONPATH so that it is found"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Manifold)):
        raise UsageError(f"manifold {text!r}: {module} has no class {kind} derived from Manifold")
    try:
        return found(*map(_number, numbers.split(","))) if numbers else found()
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"manifold {text!r}: {kind} cannot be made from ({numbers or ''}): {error}; "
            "give the numbers that its constructor takes, separated by commas"
        ) from error


def _number(text: str) -> int | float:
    return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)


def _load(target: str) -> Callable[..., Manifold]:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(f"{_PACKAGE}.{module}"), attribute)


def _complaint(text: str, name: str) -> str:
    if name in _PLAIN:
        return f"manifold {text!r}: {name} takes no size; write {name!r}"
    if name in _SIZED:
        return f"manifold {text!r}: {name} needs its dimension, a positive whole number; write for example '{name}:2'"
    if name in _SEVERAL:
        return (
            f"manifold {text!r}: {name} needs its numbers of points, of dimensions and of features, whole; "
            f"write for example '{name}:18,3,5'"
        )
    known = [*_SIZED, *_PLAIN, *_SEVERAL]
    near = difflib.get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {near[0]!r}? known are " if near else "known are "
    return f"unknown manifold {text!r}; {hint}{', '.join(known)} and 'package.module:Class', joined by ' x '"
