"""Spaces of geoopt and geomstats as manifolds of this package."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Sequence
from typing import Any

import geoopt
import torch
from torch import Tensor

from manifold_gen.errors import MissingExtraError, UsageError
from manifold_gen.manifolds.adapted import Adapted, Maps, PositiveDefinite, SpecialOrthogonal, Stiefel
from manifold_gen.manifolds.base import Manifold


def from_geoopt(space: geoopt.Manifold, shape: Sequence[int]) -> Manifold:
    """A geoopt space as a ``Manifold``.

    geoopt's canonical Stiefel manifold and its positive definite matrices get exact geodesics, since geoopt's own are
    retractions or not differentiable where eigenvalues coincide. Any other space brings its maps as they are.

    Args:
        space: an instance, made with its default options, e.g. ``geoopt.CanonicalStiefel()``.
        shape: shape of one point, which geoopt's spaces do not know.

    Raises:
        UsageError: for a positive definite space with another metric than the affine-invariant one, or where the
            space's tangent projection is no projection.

    Example:
        >>> from_geoopt(geoopt.CanonicalStiefel(), (4, 2))
        geoopt.CanonicalStiefel:4,2
    """
    shape = tuple(int(size) for size in shape)
    name = type(space).__name__
    spec = f"geoopt.{name}:{','.join(map(str, shape))}"
    if name == "CanonicalStiefel":
        return Stiefel(*shape, spec)
    if name == "SymmetricPositiveDefinite":
        if space.default_metric.value != "AIM":
            raise UsageError(f"{spec}: got the metric {space.default_metric.value}, only AIM is supported")
        return PositiveDefinite(shape[0], spec)
    axes = tuple(range(-len(shape), 0))

    def inner(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        value = space.inner(x, u, v, keepdim=True)
        return value.sum(axes) if value.dim() >= len(shape) else value

    return _checked(Adapted(shape, spec, Maps(space.projx, space.proju, inner, space.expmap)))


def from_geomstats(space: Any) -> Manifold:
    """A geomstats space, with its own metric, as a ``Manifold``.

    Importing geomstats changes torch's default dtype; this function's import puts it back. Create the space with
    ``GEOMSTATS_BACKEND=pytorch``, or leave that to ``from_spec("geomstats.SPDMatrices:3")``.

    Raises:
        MissingExtraError: geomstats is not installed.
        UsageError: it runs on another backend than pytorch.
    """
    _geomstats("geomstats")
    name = _public_name(type(space))
    sizes = [getattr(space, key) for key in inspect.signature(type(space).__init__).parameters if key in _SIZES]
    spec = f"geomstats.{name}:{','.join(map(str, sizes))}"
    metric = type(space.metric).__name__
    eye = torch.eye(space.shape[-1], dtype=torch.float64)
    if (name, metric) == ("SpecialOrthogonal", "BiInvariantMetric") and len(space.shape) == 2:
        turn = torch.zeros_like(eye)
        turn[0, 1], turn[1, 0] = -1.0, 1.0
        return SpecialOrthogonal(space.n, float(space.metric.inner_product(turn, turn, eye)) / 2, spec)
    if (name, metric) == ("SPDMatrices", "SPDAffineMetric"):
        return PositiveDefinite(space.n, spec)
    maps = Maps(
        space.projection,
        lambda x, u: space.to_tangent(u, x),
        lambda x, u, v: space.metric.inner_product(u, v, x),
        lambda x, u: space.metric.exp(u, x),
    )
    return _checked(Adapted(tuple(space.shape), spec, maps))


def geoopt_from_spec(name: str, sizes: tuple[int, ...]) -> Manifold:
    """The manifold of ``geoopt.<name>:<shape>``."""
    made = vars(geoopt).get(name)
    if made is None or not sizes:
        raise UsageError(f"'geoopt.{name}' with shape {sizes}: expected a geoopt manifold such as 'geoopt.Stiefel:4,2'")
    return from_geoopt(made(), sizes)


def geomstats_from_spec(name: str, sizes: tuple[int, ...]) -> Manifold:
    """The manifold of ``geomstats.<name>:<constructor's integers>``."""
    try:
        module = _geomstats(f"geomstats.geometry.{_snake(name)}")
    except ModuleNotFoundError as error:
        raise UsageError(f"no geomstats space {name!r}; write for example 'geomstats.SPDMatrices:3'") from error
    return from_geomstats(getattr(module, name)(*sizes))


_SIZES = ("dim", "n", "p", "k")


def _geomstats(module: str) -> Any:
    """Import a module of geomstats on torch, leaving torch's default dtype and the environment as they were."""
    dtype, before = torch.get_default_dtype(), os.environ.get("GEOMSTATS_BACKEND")
    os.environ["GEOMSTATS_BACKEND"] = "pytorch"
    try:
        backend = importlib.import_module("geomstats.backend")
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "geomstats":
            raise
        raise MissingExtraError("geomstats is not installed; run: pip install manifold-gen[geomstats]") from error
    finally:
        torch.set_default_dtype(dtype)
        os.environ.pop("GEOMSTATS_BACKEND")
        if before is not None:
            os.environ["GEOMSTATS_BACKEND"] = before
    if backend.__name__ != "geomstats.pytorch" and "torch" not in str(backend.array):
        raise UsageError("geomstats was imported with another backend; set GEOMSTATS_BACKEND=pytorch before that")
    return loaded


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _public_name(kind: type) -> str:
    """The name in the class's module that spells the module's: SpecialOrthogonal for _SpecialOrthogonalMatrices."""
    module = importlib.import_module(kind.__module__)
    stem = kind.__module__.rpartition(".")[2]
    names = [name for name in vars(module) if _snake(name) == stem]
    return names[0] if names else kind.__name__


def _checked(manifold: Adapted) -> Adapted:
    x = manifold.origin(1, dtype=torch.float64)
    u = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).reshape(x.shape)
    once = manifold.proju(x, u)
    deviation = float((manifold.proju(x, once) - once).abs().amax())
    if deviation > 1e-8:
        raise UsageError(f"{manifold}: its tangent projection applied twice differs by {deviation:.2g} from once")
    return manifold
