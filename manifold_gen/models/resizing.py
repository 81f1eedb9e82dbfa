"""The same networks on clouds of another size."""

from __future__ import annotations

from typing import TypeVar

from manifold_gen.distributions import default_base
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.models.base import GenerativeModel

Model = TypeVar("Model", bound=GenerativeModel)


def resized(model: Model, manifold: PointCloud) -> Model:
    """A model like ``model`` on ``manifold``, with a base of its own; all weights are shared, none is copied.

    Its networks must not depend on how many points a cloud has. What else a class knows of its manifold it replaces in
    its ``on_size``.

    Example:
        >>> from manifold_gen.models import FlowMatching
        >>> flow = FlowMatching(PointCloud(4, 2), width=8, depth=1)
        >>> other = resized(flow, PointCloud(6, 2))
        >>> other.sample(3).shape, other.field is flow.field, flow.manifold
        (torch.Size([3, 6, 2]), True, points:4,2,0)
    """
    other = model.__new__(type(model))
    other.__dict__ = {**model.__dict__, "_modules": dict(model._modules), "manifold": manifold}
    other.base = default_base(manifold).to(next(model.parameters()))
    return other
