"""How one factor of a manifold stands in the columns of a file.

A representation turns ``(N, k)`` float64 values into points and back. Angles reach it in radians: units are the affair
of ``PointFormat``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from manifold_gen.data.faults import Fault
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.manifolds.conversions import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    quaternion_from_matrix,
)

_LATITUDES = {"lat", "latitude"}
_LONGITUDES = {"lon", "long", "lng", "longitude"}


class Representation(ABC):
    """One way to write the points of a manifold in columns.

    Attributes:
        name: as in ``representation="latlon"``.
        angular: whether the columns are angles, so that units apply.
        default_units: of those angles where none were given.
        inferred: whether a fitting number of columns is enough to choose it.
    """

    name: str
    angular = False
    default_units = "radians"
    inferred = True

    @abstractmethod
    def columns(self, manifold: Manifold) -> list[str]:
        """Names of the columns where the file has none; their number is the number of columns taken."""

    @abstractmethod
    def decode(self, values: Tensor, manifold: Manifold) -> Tensor:
        """Points ``(N, *shape)`` of values ``(N, k)``."""

    @abstractmethod
    def encode(self, points: Tensor, manifold: Manifold) -> Tensor:
        """Values ``(N, k)`` of points ``(N, *shape)``."""

    def faults(self, values: Tensor, tolerance: float, *, project: bool) -> list[Fault]:
        """Rows that no point could be made of."""
        return []


class Ambient(Representation):
    """The coordinates of the ambient space: Euclidean columns, unit vectors, the nine entries of a matrix by rows."""

    name = "ambient"

    def columns(self, manifold: Manifold) -> list[str]:
        if manifold.shape == (3,):
            return ["x", "y", "z"]
        if len(manifold.shape) == 2:
            return [f"r{i + 1}{j + 1}" for i in range(manifold.shape[0]) for j in range(manifold.shape[1])]
        return [f"x{i + 1}" for i in range(math.prod(manifold.shape))]

    def decode(self, values: Tensor, manifold: Manifold) -> Tensor:
        return values.reshape(len(values), *manifold.shape)

    def encode(self, points: Tensor, manifold: Manifold) -> Tensor:
        return points.reshape(len(points), -1)


class Angles(Representation):
    """The angles of a torus, of any range."""

    name = "angles"
    angular = True

    def columns(self, manifold: Manifold) -> list[str]:
        return [f"angle{i + 1}" for i in range(manifold.dim)]

    def decode(self, values: Tensor, manifold: Manifold) -> Tensor:
        return manifold.projx(values)

    def encode(self, points: Tensor, manifold: Manifold) -> Tensor:
        return points


class LatitudeLongitude(Representation):
    """Latitude and longitude of points of S² (north pole: z; longitude 0: the x axis)."""

    name = "latlon"
    angular = True
    default_units = "degrees"

    def columns(self, manifold: Manifold) -> list[str]:
        return ["latitude", "longitude"]

    def decode(self, values: Tensor, manifold: Manifold) -> Tensor:
        latitude, longitude = values.unbind(-1)
        across = torch.cos(latitude)
        return torch.stack([across * torch.cos(longitude), across * torch.sin(longitude), torch.sin(latitude)], -1)

    def encode(self, points: Tensor, manifold: Manifold) -> Tensor:
        x, y, z = points.unbind(-1)
        return torch.stack([torch.atan2(z, torch.hypot(x, y)), torch.atan2(y, x)], -1)

    def faults(self, values: Tensor, tolerance: float, *, project: bool) -> list[Fault]:
        beyond = values[:, 0].abs()
        largest = math.degrees(float(beyond.max())) if len(beyond) else 0.0
        bad = beyond > math.pi / 2 * (1 + 1e-9)
        remedy = "latitude lies in [−90°, 90°]: check the units and that latitude and longitude are not exchanged"
        return [Fault(bad, f"a latitude beyond 90° (largest {largest:.6g}°)", remedy)]


class LongitudeLatitude(LatitudeLongitude):
    """The same with longitude first."""

    name = "lonlat"
    inferred = False

    def columns(self, manifold: Manifold) -> list[str]:
        return ["longitude", "latitude"]

    def decode(self, values: Tensor, manifold: Manifold) -> Tensor:
        return super().decode(values.flip(-1), manifold)

    def encode(self, points: Tensor, manifold: Manifold) -> Tensor:
        return super().encode(points, manifold).flip(-1)

    def faults(self, values: Tensor, tolerance: float, *, project: bool) -> list[Fault]:
        return super().faults(values.flip(-1), tolerance, project=project)


class Quaternion(Representation):
    """Unit quaternions (w, x, y, z) of rotations; q and −q are the same rotation."""

    name = "quaternion"

    def columns(self, manifold: Manifold) -> list[str]:
        return ["w", "x", "y", "z"]

    def decode(self, values: Tensor, manifold: Manifold) -> Tensor:
        return matrix_from_quaternion(values)

    def encode(self, points: Tensor, manifold: Manifold) -> Tensor:
        return quaternion_from_matrix(points)

    def faults(self, values: Tensor, tolerance: float, *, project: bool) -> list[Fault]:
        norm = torch.linalg.vector_norm(values, dim=-1)
        off = (norm - 1).abs()
        zero = Fault(norm <= 1e-12, "a quaternion of norm 0", "a quaternion (w, x, y, z) has norm 1: correct them")
        if project:
            return [zero]
        largest = float(off.max()) if len(off) else 0.0
        what = f"a quaternion whose norm is not 1 (largest deviation {largest:.3g}, allowed {tolerance:.0e})"
        return [zero, Fault((off > tolerance) & ~zero.bad, what, "normalise them with project=True (--project)")]


class RotationVector(Representation):
    """Rotation vectors: axis times angle. Three columns could be Euler angles too, so it must be named."""

    name = "axis-angle"
    angular = True
    inferred = False

    def columns(self, manifold: Manifold) -> list[str]:
        return ["rx", "ry", "rz"]

    def decode(self, values: Tensor, manifold: Manifold) -> Tensor:
        return matrix_from_axis_angle(values)

    def encode(self, points: Tensor, manifold: Manifold) -> Tensor:
        return axis_angle_from_matrix(points)


_AMBIENT = Ambient()
_ALL = {
    r.name: r for r in (_AMBIENT, Angles(), LatitudeLongitude(), LongitudeLatitude(), Quaternion(), RotationVector())
}
# What a family of manifolds can be written as, the default first. A family that is not listed has its ambient columns.
_OF_FAMILY = {
    "torus": ["angles"],
    "sphere": ["ambient", "latlon", "lonlat"],
    "so3": ["ambient", "quaternion", "axis-angle"],
}


def representations(manifold: Manifold) -> list[Representation]:
    """The representations a manifold (not a product) can have, the default one first."""
    family = manifold.spec.partition(":")[0]
    names = _OF_FAMILY.get(family, ["ambient"])
    return [_ALL[name] for name in names if manifold.dim == 2 or name not in ("latlon", "lonlat")]


def representation(manifold: Manifold, name: str) -> Representation:
    """The representation of that name; ``UsageError`` where the manifold has none of that name."""
    known = {r.name: r for r in representations(manifold)}
    if name not in known:
        raise UsageError(f"{manifold} has no representation {name!r}; it can be written as {', '.join(known)}")
    return known[name]


def order_by_name(names: list[str]) -> str | None:
    """``"latlon"`` or ``"lonlat"`` where two columns are called so, else ``None``."""
    first, second = (name.strip().lower() for name in names)
    if first in _LATITUDES and second in _LONGITUDES:
        return "latlon"
    if first in _LONGITUDES and second in _LATITUDES:
        return "lonlat"
    return None
