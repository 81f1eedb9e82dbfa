"""Generative models by name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from manifold_gen.distributions.base import Sampler
from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    from manifold_gen.manifolds.base import Manifold
    from manifold_gen.manifolds.point_clouds import PointClouds

REGISTRY = {
    "free-form-flow": "manifold_gen.models.free_form_flow:FreeFormFlow",
    "free-form-flow-distilled": "manifold_gen.models.distillation:DistilledFlow",
    "free-form-flow-mixture": "manifold_gen.models.mixture_flows:MixtureBaseFlow",
    "flow-matching": "manifold_gen.models.flow_matching:FlowMatching",
    "flow-matching-mixture": "manifold_gen.models.mixture_flows:MixtureBaseMatching",
    "flow-map": "manifold_gen.models.flow_map:FlowMap",
    "mean-flow": "manifold_gen.models.mean_flow:MeanFlow",
    "diffusion": "manifold_gen.models.diffusion:Diffusion",
    "continuous-flow": "manifold_gen.models.continuous_flow:ContinuousFlow",
    "moser-flow": "manifold_gen.models.moser_flow:MoserFlow",
    "spline-coupling": "manifold_gen.models.spline_flow:SplineFlow",
    "spline-autoregressive": "manifold_gen.models.spline_flow:AutoregressiveSplineFlow",
    "autoregressive": "manifold_gen.models.autoregressive:Autoregressive",
    "endpoint-flow": "manifold_gen.models.endpoint_flow:EndpointFlow",
    "endpoint-flow-rectified": "manifold_gen.models.rectified:RectifiedFlow",
    "endpoint-flow-settled": "manifold_gen.models.settled:SettledFlow",
}


_HOMES = {
    "Autoregressive": "manifold_gen.models.autoregressive",
    "AutoregressiveSplineFlow": "manifold_gen.models.spline_flow",
    "SplineFlow": "manifold_gen.models.spline_flow",
    "ContinuousFlow": "manifold_gen.models.continuous_flow",
    "Diffusion": "manifold_gen.models.diffusion",
    "DistilledFlow": "manifold_gen.models.distillation",
    "EndpointFlow": "manifold_gen.models.endpoint_flow",
    "FlowMap": "manifold_gen.models.flow_map",
    "FlowMatching": "manifold_gen.models.flow_matching",
    "FreeFormFlow": "manifold_gen.models.free_form_flow",
    "GenerativeModel": "manifold_gen.models.base",
    "MeanFlow": "manifold_gen.models.mean_flow",
    "MixtureBaseFlow": "manifold_gen.models.mixture_flows",
    "MixtureBaseMatching": "manifold_gen.models.mixture_flows",
    "MoserFlow": "manifold_gen.models.moser_flow",
    "RectifiedFlow": "manifold_gen.models.rectified",
    "SettledFlow": "manifold_gen.models.settled",
    "SizedModel": "manifold_gen.models.sized",
}
__all__ = [
    "REGISTRY",
    "Autoregressive",
    "AutoregressiveSplineFlow",
    "ContinuousFlow",
    "Diffusion",
    "DistilledFlow",
    "EndpointFlow",
    "FlowMap",
    "FlowMatching",
    "FreeFormFlow",
    "GenerativeModel",
    "MeanFlow",
    "MixtureBaseFlow",
    "MixtureBaseMatching",
    "MoserFlow",
    "RectifiedFlow",
    "SettledFlow",
    "SizedModel",
    "SplineFlow",
    "build",
    "name_of",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def resolve(name: str) -> type[Sampler]:
    """The class called ``name``: an entry of ``REGISTRY`` or ``"package.module:Class"``.

    Raises:
        UsageError: no such entry, module or class, or the class is no ``Sampler``.

    Example:
        >>> resolve("manifold_gen.models.base:GenerativeModel").__name__
        'GenerativeModel'
    """
    path = REGISTRY.get(name, name)
    module_name, _, class_name = path.partition(":")
    if not class_name:
        raise UsageError(f"no model is called {name!r}; known: {', '.join(REGISTRY)}, or give 'package.module:Class'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"model {name!r}: {error}; install the package or set PYTHONPATH so that it is found"
        ) from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Sampler)):
        raise UsageError(f"model {name!r}: {module_name} has no class {class_name} derived from GenerativeModel")
    return found


def build(kind: type[Sampler], manifold: Manifold | PointClouds, **hyperparameters: object) -> Sampler:
    """A model of class ``kind``; for a family of manifolds, one for each of them with shared networks.

    Example:
        >>> from manifold_gen.manifolds import from_spec
        >>> build(resolve("endpoint-flow"), from_spec("clouds:3,5"), width=8, depth=1).at(18).manifold
        points:18,3,5
    """
    if not manifold.varies:
        return kind(manifold, **hyperparameters)
    from manifold_gen.models.sized import SizedModel

    return SizedModel(manifold, kind(manifold.at(2), **hyperparameters))


def name_of(model_class: type[Sampler]) -> str:
    """The name that ``resolve`` turns into ``model_class``."""
    path = f"{model_class.__module__}:{model_class.__qualname__}"
    return next((name for name, entry in REGISTRY.items() if entry == path), path)
