r"""A lower bound of the log-density of clouds whose points carry kinds, which have no density along an ODE.

What is bounded is the model that starts from the base, follows the reverse process that ``endpoint`` defines from
noise :math:`\sigma_1` down to :math:`\sigma_0`, and there draws positions from :math:`N(y, \sigma_0^2)` and kinds by
how near y lies to each. With :math:`y = x + \sigma z` and its guess :math:`\hat x(y)`,

.. math:: \log p(x) \ge E \log p(x \mid y_{\sigma_0})
          - \int_{\sigma_0}^{\sigma_1} \frac{E |x - \hat x(y_\sigma)|^2}{\sigma^2}\, d\log\sigma
          - KL\big(q(x_{t_1} \mid x) \,\|\, \text{base}\big),

Kingma and others, *Variational diffusion models* (2021), section 4, in continuous time; kinds as in Hoogeboom and
others, *Equivariant diffusion for molecule generation in 3D* (2022).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    from manifold_gen.models.endpoint_flow import EndpointFlow

# Noise in units of the positions' spread: the guess is as good as exact below, and the base as good as reached above.
LEAST, MOST = 1e-2, 1e2


@torch.no_grad()
def evidence_bound(
    model: EndpointFlow,
    x: Tensor,
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
    samples: int = 32,
) -> Tensor:
    """Estimates without bias ``(b,)`` of the bound of log p(x), nats, each from ``samples`` noises of the integral.

    Args:
        model: a flow by endpoints; its self-conditioning, where it has any, is left out. The noise is independent: for
            a model that was trained with ``pairing`` it is a bound too, but a loose one.
        x: clouds ``(b, n, p + k)`` of its manifold.
        context: ``(b, c)``, what each is conditioned on.
        generator: of the noises.
        samples: evaluations of the network for each cloud, at noises that are spread evenly.

    Raises:
        UsageError: no samples.
    """
    if samples < 1:
        raise UsageError(f"samples is {samples}, expected at least 1")
    least, most = (math.log(bound * float(model.scale)) for bound in (LEAST, MOST))
    embedded = model.context(context)
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for k in range(samples):
        u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        sigma = torch.exp(least + (most - least) * (k + u) / samples)
        total += _missed(model, x, sigma, embedded, generator)
    integral = (most - least) * total / samples
    return _ending(model, x, math.exp(least), generator) - integral - _beginning(model, x, math.exp(most))


def _noisy(model: EndpointFlow, x: Tensor, sigma: Tensor, generator: torch.Generator | None) -> Tensor:
    z = model.base.sample(len(x), generator=generator).to(x)
    return x + sigma.reshape(-1, 1, 1) * z


def _missed(
    model: EndpointFlow, x: Tensor, sigma: Tensor, context: Tensor | None, generator: torch.Generator | None
) -> Tensor:
    """|x − x̂|² / σ² of each cloud at one noise of its own."""
    t = 1 / (1 + sigma)
    guess = model.endpoint(t.reshape(-1, 1, 1) * _noisy(model, x, sigma, generator), t, context)
    return (x - guess).square().sum((-2, -1)) / sigma.square()


def _ending(model: EndpointFlow, x: Tensor, sigma: float, generator: torch.Generator | None) -> Tensor:
    """log p(x | y) at the least noise: of a normal law, its squares at their mean, and of the kinds."""
    n, p = x.shape[-2], model.manifold.position_dim
    count = (n - 1) * p if model.one_hot else model.manifold.dim
    normal = -0.5 * count * (math.log(2 * math.pi * sigma**2) + 1)
    if not model.one_hot:
        return x.new_full((len(x),), normal)
    y = _noisy(model, x, x.new_full((len(x),), sigma), generator)[..., p:]
    logits = float(model.feature_scale) * y / sigma**2
    told = logits.log_softmax(-1).gather(-1, x[..., p:].argmax(-1, keepdim=True))
    return normal + told.sum((-2, -1))


def _beginning(model: EndpointFlow, x: Tensor, sigma: float) -> Tensor:
    """KL(N(t x, (1 − t)²) ‖ N(0, 1)) at the largest noise, σ = (1 − t)/t."""
    t = 1 / (1 + sigma)
    spread = model.manifold.dim * ((1 - t) ** 2 - 1 - 2 * math.log1p(-t))
    return 0.5 * (spread + t**2 * x.square().sum((-2, -1)))
