"""Functions with removable singularities, right in value and in every derivative at the singular point.

Geometry is full of quotients such as sin r / r whose limit is harmless and whose naive code is not: it returns NaN at
0, or a right value with a wrong gradient. Each function here is analytic in the argument that it takes (usually a
*squared* length, so that no square root of zero is differentiated) and switches to its power series close to the
singular point, with a double ``where`` so that the branch not taken cannot poison the gradient. All of them work under
``torch.func`` and under double backward; none branches on data in Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_TWO_PI_HIGH = 6.28125  # exact in eight bits, so k * _TWO_PI_HIGH is exact for all sensible k
_TWO_PI_LOW = 2 * math.pi - _TWO_PI_HIGH + 2.4492935982947064e-16  # the double 2π is below 2π by this much


def polynomial(coefficients: Sequence[float], t: Tensor) -> Tensor:
    """Σ cₖ tᵏ by Horner's rule."""
    total = torch.full_like(t, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * t + c
    return total


_COS = [(-1) ** k / math.factorial(2 * k) for k in range(11)]
_SINC = [(-1) ** k / math.factorial(2 * k + 1) for k in range(11)]
_COSH = [1 / math.factorial(2 * k) for k in range(11)]
_SINHC = [1 / math.factorial(2 * k + 1) for k in range(11)]
_ATANC = [(-1) ** k / (2 * k + 1) for k in range(11)]
_ASINHC = [(-1) ** k * math.comb(2 * k, k) / 4**k / (2 * k + 1) for k in range(11)]


def safe_sqrt(x: Tensor) -> Tensor:
    """√x with gradient 0 instead of infinity at x = 0.

    >>> x = torch.zeros(1, requires_grad=True)
    >>> safe_sqrt(x).backward()
    >>> x.grad
    tensor([0.])
    """
    positive = x > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, x, 1.0)), 0.0 * x)  # 0·x: NaN stays NaN


def wrap_angle(x: Tensor) -> Tensor:
    """The angle in [−π, π) that equals ``x`` modulo 2π; angles already there come back bit for bit.

    >>> wrap_angle(torch.tensor([1e-8, math.pi, 7.0]))
    tensor([ 1.0000e-08, -3.1416e+00,  7.1681e-01])
    """
    turns = torch.round(x.detach() / (2 * math.pi))
    wrapped = (x - turns * _TWO_PI_HIGH) - turns * _TWO_PI_LOW
    wrapped = torch.where(wrapped < -math.pi, wrapped + 2 * math.pi, wrapped)
    return torch.where(wrapped >= math.pi, wrapped - 2 * math.pi, wrapped)


def cos_sqrt(s: Tensor) -> Tensor:
    """cos √s for s ≥ 0, analytic in s."""
    near = s < 1.0
    root = torch.sqrt(torch.where(near, 1.0, s))
    return torch.where(near, polynomial(_COS, torch.where(near, s, 0.0)), torch.cos(root))


def sinc_sqrt(s: Tensor) -> Tensor:
    """sin √s / √s for s ≥ 0, analytic in s, 1 at s = 0.

    >>> float(torch.func.grad(sinc_sqrt)(torch.tensor(0.0, dtype=torch.float64)))
    -0.16666666666666666
    """
    near = s < 1.0
    root = torch.sqrt(torch.where(near, 1.0, s))
    return torch.where(near, polynomial(_SINC, torch.where(near, s, 0.0)), torch.sin(root) / root)


def cosh_sqrt(s: Tensor) -> Tensor:
    """cosh √s for s ≥ 0, analytic in s."""
    return 1 + 0.5 * s * sinhc_sqrt(0.25 * s) ** 2


def log_cosh_sqrt(s: Tensor) -> Tensor:
    """log cosh √s for s ≥ 0, analytic in s, without overflow at large s."""
    near = s < 1.0
    root = torch.sqrt(torch.where(near, 1.0, s))
    far = root + torch.log1p(torch.exp(-2 * root)) - math.log(2)
    return torch.where(near, torch.log(polynomial(_COSH, torch.where(near, s, 0.0))), far)


def sinhc_sqrt(s: Tensor) -> Tensor:
    """sinh √s / √s for s ≥ 0, analytic in s, 1 at s = 0."""
    near = s < 1.0
    root = torch.sqrt(torch.where(near, 1.0, s))
    return torch.where(near, polynomial(_SINHC, torch.where(near, s, 0.0)), torch.sinh(root) / root)


def log_sinhc_sqrt(s: Tensor) -> Tensor:
    """log(sinh √s / √s) for s ≥ 0, without overflow at large s."""
    near = s < 1.0
    root = torch.sqrt(torch.where(near, 1.0, s))
    far = root + torch.log1p(-torch.exp(-2 * root)) - math.log(2) - torch.log(root)
    return torch.where(near, torch.log(polynomial(_SINHC, torch.where(near, s, 0.0))), far)


def tanhc_sqrt(s: Tensor) -> Tensor:
    """tanh √s / √s for s ≥ 0, analytic in s, 1 at s = 0."""
    near = s < 1.0
    root = torch.sqrt(torch.where(near, 1.0, s))
    t = torch.where(near, s, 0.0)
    return torch.where(near, polynomial(_SINHC, t) / polynomial(_COSH, t), torch.tanh(root) / root)


def sech2_sqrt(s: Tensor) -> Tensor:
    """1 / cosh² √s for s ≥ 0, analytic in s, without overflow at large s."""
    near = s < 1.0
    decay = torch.exp(-2 * torch.sqrt(torch.where(near, 1.0, s)))
    return torch.where(near, polynomial(_COSH, torch.where(near, s, 0.0)) ** -2, 4 * decay / (1 + decay) ** 2)


def asinhc_sqrt(s: Tensor) -> Tensor:
    """asinh √s / √s for s ≥ 0, analytic in s, 1 at s = 0."""
    near = s < 0.01
    root = torch.sqrt(torch.where(near, 1.0, s))
    return torch.where(near, polynomial(_ASINHC, torch.where(near, s, 0.0)), torch.asinh(root) / root)


def angle_over_sine(squared_sine: Tensor, cosine: Tensor) -> Tensor:
    """θ / √q with θ = atan2(√q, c) in [0, π]: analytic in (q, c) but for q = 0, c ≤ 0, where it returns π.

    With q = sin²θ and c = cos θ it is the factor that turns the tangential part of y into log_x(y). Relative precision
    is kept at every angle, since q is small at both ends without a cancellation.
    """
    near = (squared_sine < 0.01 * cosine**2) & (cosine > 0)
    ratio = torch.where(near, squared_sine, 0.0) / torch.where(near, cosine, 1.0) ** 2
    small = polynomial(_ATANC, ratio) / torch.where(near, cosine, 1.0)
    regular = ~near & (squared_sine > 0)
    root = torch.sqrt(torch.where(regular, squared_sine, 1.0))
    large = torch.where(regular, torch.atan2(root, torch.where(regular, cosine, 0.0)) / root, math.pi)
    return torch.where(near, small, large)
