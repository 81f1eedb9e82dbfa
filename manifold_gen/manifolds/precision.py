"""Half precision: computed in float32 and cast back.

float16 and bfloat16 carry three and two decimal digits; squared lengths and quotients formed in them are noise or
overflow. Every map of every manifold therefore computes in float32 when it is given half precision, and returns the
type that it was given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)
# Every method of a manifold that takes or makes points.
_MAPS = (
    "projx proju expmap logmap inner norm dist dist2 egrad2rgrad retr transp dexp_inverse origin tangent_basis "
    "from_coordinates to_coordinates random_tangent random_uniform embed unembed advance displace tangent "
    "wave_coordinates log_sqrt_det_metric log_det_exp at_cut_locus checked_logmap dist2_matrix heat_kernel "
    "heat_kernel_score sample_heat_kernel"
)


class WidensHalf:
    """Base class whose subclasses compute every map that they define in float32 when given half precision."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name in _MAPS.split():
            if name in cls.__dict__:
                setattr(cls, name, widen_half(cls.__dict__[name]))


def widen_half(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of tensors (or of a ``dtype`` keyword) so that half precision is computed in float32."""

    @functools.wraps(method)
    def wrapper(self: object, *args: Any, **kwargs: Any) -> Any:
        half = next((a.dtype for a in args if isinstance(a, Tensor) and a.dtype in _HALF), None)
        if half is None and kwargs:
            half = next((a.dtype for a in kwargs.values() if isinstance(a, Tensor) and a.dtype in _HALF), None)
            half = kwargs["dtype"] if half is None and kwargs.get("dtype") in _HALF else half
        if half is None:
            return method(self, *args, **kwargs)
        wide = method(self, *map(_widen, args), **{key: _widen(value) for key, value in kwargs.items()})
        return wide.to(half) if wide.is_floating_point() else wide

    return wrapper


def _widen(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype in _HALF else value
    return torch.float32 if value in _HALF else value
