"""Points in the user's columns and units, read and written by the same object."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from manifold_gen.data.faults import Rows, all_rows, nonfinite
from manifold_gen.data.representations import Representation, order_by_name, representation, representations
from manifold_gen.data.validation import TOLERANCE, clean, warn_if_degrees
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.specs import from_spec

_UNITS = {"degrees": math.pi / 180, "radians": 1.0}
_BARE = {"torus": 0, "sphere": -1, "euclidean": 0, "poincare": 0, "lorentz": -1}


@dataclass(frozen=True)
class ContextFormat:
    """The columns of the context: numbers, or labels numbered in the order of ``labels``, one list a column."""

    columns: list[str]
    labels: list[list[str]] | None = None


@dataclass(frozen=True)
class PointFormat:
    """How the points of a manifold stand in columns.

    Attributes:
        default_model, endings, kind: of every such format: the model where none is named, its files, its name.
        manifold: its spec.
        representations: name of the representation of each factor, see ``manifold_gen.data.representations``.
        columns: names of the columns, in the order of the values.
        units: of angles, ``"degrees"`` or ``"radians"``.
        context: columns of the context, where there is one.

    Example:
        >>> fmt = make_format("torus:2", columns=["phi", "psi"], units="degrees")
        >>> fmt.decode(np.array([[-60.0, 270.0]]))
        tensor([[-1.0472, -1.5708]])
        >>> fmt.encode(fmt.decode(np.array([[-60.0, -90.0]]), dtype=torch.float64)).round(9).tolist()
        [[-60.0, -90.0]]
        >>> PointFormat.from_dict(fmt.to_dict()) == fmt
        True
    """

    kind: ClassVar[str] = "points"
    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".npy", ".npz")
    default_model: ClassVar[str] = "free-form-flow"

    manifold: str
    representations: list[str]
    columns: list[str]
    units: str = "radians"
    context: ContextFormat | None = None

    def describe(self, count: int) -> str:
        """``count`` points in words."""
        return f"{count:,} points on {self.manifold}"

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Points that were drawn in several parts, on the CPU."""
        return torch.cat([part.cpu() for part in parts])

    def write(self, path: str | Path, points: Tensor, context: Tensor | None = None) -> None:
        """``manifold_gen.data.write_points`` in this format."""
        from manifold_gen.data.files import write_points

        write_points(path, points, self, context)

    def model_context(self, values: Tensor) -> Tensor:
        """Context in the numbers that a model takes, from the user's: the same."""
        return values

    def sizes_of(self, context: Tensor) -> None:
        """Points have no sizes."""

    def loader_options(self) -> dict[str, object]:
        """The options by which a file is read in this format."""
        columns = {"columns": list(self.columns), "representation": ",".join(self.representations)}
        context = self.context
        beside = {"context": list(context.columns), "categorical": context.labels is not None} if context else {}
        return {"manifold": self.manifold, "units": self.units, **columns, **beside}

    def encode(self, points: Tensor) -> np.ndarray:
        """``(N, k)`` float64 values of points ``(N, *shape)``."""
        flat, start, values = points.detach().to("cpu", torch.float64).flatten(1), 0, []
        for factor, rep in self._parts():
            size = math.prod(factor.shape)
            part = flat[:, start : start + size].reshape(len(flat), *factor.shape)
            start += size
            values.append(rep.encode(part, factor) / (_UNITS[self.units] if rep.angular else 1.0))
        return torch.cat(values, -1).numpy()

    def decode(
        self, values: np.ndarray | Tensor, *, dtype: torch.dtype = torch.float32, project: bool = False
    ) -> Tensor:
        """Points ``(N, *shape)`` of type ``dtype`` from ``(N, k)`` values.

        Raises:
            DataError: values of which no points can be made; see ``manifold_gen.data.validation``.
        """
        numbers = torch.as_tensor(values)
        return self.decode_rows(numbers, all_rows(len(numbers)), dtype=dtype, project=project)[0]

    def decode_rows(
        self, values: Tensor, rows: Rows, *, dtype: torch.dtype, project: bool = False
    ) -> tuple[Tensor, Rows]:
        """The same, with the rows that are left where bad ones are dropped."""
        if values.dim() != 2 or values.shape[1] != len(self.columns):
            raise DataError(
                f"values have shape {tuple(values.shape)}, expected (N, {len(self.columns)}): {', '.join(self.columns)}"
            )
        values = values.to(torch.float64)
        keep = rows.settle(nonfinite(values))
        values, rows, tolerance = values[keep], rows.keep(keep), TOLERANCE[dtype]
        start, slices = 0, []
        for factor, rep in self._parts():
            slices.append(slice(start, start + len(rep.columns(factor))))
            start = slices[-1].stop
            values, rows = self._sound(values, rows, slices[-1], rep, tolerance, project)
        points = [
            rep.decode(self._radians(values[:, part], rep), factor).flatten(1)
            for part, (factor, rep) in zip(slices, self._parts(), strict=True)
        ]
        whole = from_spec(self.manifold)
        joined = torch.cat(points, -1).reshape(len(values), *whole.shape)
        cleaned, rows = clean(joined, whole, rows, tolerance, project=project)
        return cleaned.to(dtype), rows

    def _sound(
        self, values: Tensor, rows: Rows, part: slice, rep: Representation, tolerance: float, project: bool
    ) -> tuple[Tensor, Rows]:
        """The rows that one representation accepts."""
        own = self._radians(values[:, part], rep)
        if rep.name == "angles" and self.units == "radians":
            warn_if_degrees(own)
        bad = torch.zeros(len(values), dtype=torch.bool)
        for fault in rep.faults(own, tolerance, project=project):
            bad = bad | ~rows.settle(fault)
        return values[~bad], rows.keep(~bad)

    def _radians(self, values: Tensor, rep: Representation) -> Tensor:
        return values * _UNITS[self.units] if rep.angular else values

    def _parts(self) -> list[tuple[Manifold, Representation]]:
        factors = from_spec(self.manifold).factors
        return [(f, representation(f, name)) for f, name in zip(factors, self.representations, strict=True)]

    def to_dict(self) -> dict[str, object]:
        """Plain values for a configuration or checkpoint."""
        plain: dict[str, object] = {
            "manifold": self.manifold,
            "representations": list(self.representations),
            "columns": list(self.columns),
            "units": self.units,
        }
        if self.context is not None:
            plain["context_columns"] = list(self.context.columns)
            if self.context.labels is not None:
                plain["context_labels"] = [list(labels) for labels in self.context.labels]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, object]) -> PointFormat:
        """Inverse of ``to_dict``."""
        fields = dict(plain)
        columns, labels = fields.pop("context_columns", None), fields.pop("context_labels", None)
        context = None if columns is None else ContextFormat(columns, labels)
        return cls(**fields, context=context)


def make_format(
    manifold: str,
    *,
    columns: Sequence[str] | None = None,
    units: str | None = None,
    representation: str | None = None,
    context: ContextFormat | None = None,
) -> PointFormat:
    """The format of a manifold's points.

    Args:
        manifold: a spec; a lone ``torus``, ``sphere`` … takes its dimension from the number of columns.
        columns: their names; default: made up from the representation, or from the ambient coordinates.
        units: of angles; default: degrees for latitude and longitude, else radians.
        representation: ``"latlon"``, ``"quaternion"`` …, one for each factor separated by commas; default: the one that
            fits the number of columns (two columns on a sphere are latitude and longitude).

    Raises:
        UsageError: nothing fits, or more than one thing does.
    """
    if units is not None and units not in _UNITS:
        raise UsageError(f"units are {units!r}; expected 'degrees' or 'radians'")
    spec = manifold if columns is None else _with_dimension(manifold, len(columns), representation)
    factors = from_spec(spec).factors
    chosen = _explicit(factors, representation) if representation else _fitting(factors, columns)
    if columns is None:
        columns = _default_columns(factors, chosen)
    elif representation is None:
        chosen = _ordered_by_name(factors, chosen, columns)
    width = sum(len(rep.columns(factor)) for factor, rep in zip(factors, chosen, strict=True))
    if width != len(columns):
        named = ",".join(rep.name for rep in chosen)
        raise UsageError(f"{spec} as {named} takes {width} columns; given {len(columns)}: {', '.join(columns)}")
    default = "degrees" if any(rep.default_units == "degrees" for rep in chosen) else "radians"
    full = from_spec(spec).spec
    return PointFormat(full, [rep.name for rep in chosen], list(columns), units or default, context)


def _with_dimension(manifold: str, count: int, representation: str | None) -> str:
    """The spec, with the dimension of a lone factor taken from the number of columns where it was left out."""
    bare = manifold.strip()
    if bare not in _BARE:
        return manifold
    on_earth = bare == "sphere" and (representation in ("latlon", "lonlat") or (representation is None and count == 2))
    return "sphere:2" if on_earth else f"{bare}:{count + _BARE[bare]}"


def _explicit(factors: Sequence[Manifold], names: str) -> list[Representation]:
    given = [name.strip() for name in names.split(",")]
    if len(given) != len(factors):
        raise UsageError(
            f"representation {names!r} names {len(given)} of {len(factors)} factors; separate them by commas"
        )
    return [representation(factor, name) for factor, name in zip(factors, given, strict=True)]


def _fitting(factors: Sequence[Manifold], columns: Sequence[str] | None) -> list[Representation]:
    """The representations whose columns add up to those given; the default ones where none are given."""
    if columns is None:
        return [representations(factor)[0] for factor in factors]
    choices = list(product(*[[rep for rep in representations(factor) if rep.inferred] for factor in factors]))
    widths = [sum(len(r.columns(f)) for f, r in zip(factors, reps, strict=True)) for reps in choices]
    fitting = [reps for reps, width in zip(choices, widths, strict=True) if width == len(columns)]
    if len(fitting) == 1:
        return list(fitting[0])
    listed = "; ".join(
        f"{width}: {','.join(r.name for r in reps)}" for reps, width in zip(choices, widths, strict=True)
    )
    name = " x ".join(factor.spec for factor in factors)
    problem = "fit no" if not fitting else "fit more than one"
    raise UsageError(
        f"{len(columns)} columns ({', '.join(columns)}) {problem} representation of {name}; it can have {listed}. "
        "Choose columns (--columns) or name the representation (--representation)"
    )


def _ordered_by_name(
    factors: Sequence[Manifold], chosen: list[Representation], columns: Sequence[str]
) -> list[Representation]:
    """Latitude and longitude in the order that the names of their columns say."""
    start, ordered = 0, []
    for factor, rep in zip(factors, chosen, strict=True):
        own = list(columns[start : start + len(rep.columns(factor))])
        start += len(own)
        order = order_by_name(own) if rep.name == "latlon" else None
        ordered.append(representation(factor, order) if order else rep)
    return ordered


def _default_columns(factors: Sequence[Manifold], chosen: Sequence[Representation]) -> list[str]:
    own = [rep.columns(factor) for factor, rep in zip(factors, chosen, strict=True)]
    count = Counter(name for names in own for name in names)
    return [name if count[name] == 1 else f"{name}_{i + 1}" for i, names in enumerate(own) for name in names]
