"""The double-exponential rule for integrals over an interval, and normalising constants that are one such integral."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_REACH = 3.3  # beyond it the weights are below rounding
_STEP = 0.05


@dataclass(frozen=True)
class Rule:
    """Nodes in (0, 1), their distances ``rest`` from 1 to full relative precision, and logarithms of their weights."""

    node: Tensor
    rest: Tensor
    log_weight: Tensor


def double_exponential() -> Rule:
    r"""The rule x = 1 / (1 + exp(−π sinh t)) on a regular grid of t, for integrands of any behaviour at either end.

    Source: Takahasi and Mori, Publications of the RIMS 9, 1974.

    Example:
        >>> rule = double_exponential()
        >>> bool((torch.sum(rule.log_weight.exp() / rule.node.sqrt()) - 2).abs() < 1e-7)
        True
    """
    t = torch.arange(-round(_REACH / _STEP), round(_REACH / _STEP) + 1, dtype=torch.float64) * _STEP
    power = math.pi * torch.sinh(t)
    log_node, log_rest = -torch.nn.functional.softplus(-power), -torch.nn.functional.softplus(power)
    log_weight = math.log(_STEP * math.pi) + torch.log(torch.cosh(t)) + log_node + log_rest
    return Rule(log_node.exp(), log_rest.exp(), log_weight)


RULE = double_exponential()


@dataclass(frozen=True)
class LogIntegral:
    """log ∫ exp φ with its gradient ``(K, m)`` and Hessian ``(K, m, m)`` in the m parameters of φ."""

    value: Tensor
    gradient: Tensor
    hessian: Tensor


def log_integral(log_terms: Tensor, slopes: Tensor, bends: Tensor) -> LogIntegral:
    """From φ + log-weight ``(K, Q)``, ∇φ ``(K, Q, m)`` and ∇²φ ``(K, Q, m, m)`` at the Q nodes.

    The gradient is E[∇φ] and the Hessian E[∇²φ] + Cov[∇φ] under the normalised integrand.
    """
    value = torch.logsumexp(log_terms, -1)
    share = torch.exp(log_terms - value.unsqueeze(-1))
    gradient = torch.einsum("kq,kqm->km", share, slopes)
    centred = slopes - gradient.unsqueeze(-2)
    hessian = torch.einsum("kq,kqij->kij", share, bends)
    return LogIntegral(value, gradient, hessian + torch.einsum("kq,kqi,kqj->kij", share, centred, centred))


def log_bessel(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log(e^−z I₀(z)) at z ≥ 0, and the derivatives of log I₀: ρ = I₁/I₀ and 1 − ρ/z − ρ²."""
    scaled = torch.special.i0e(z)
    slope = torch.special.i1e(z) / scaled
    quotient = torch.where(z < 1e-6, 0.5, slope / z.clamp(min=1e-6))
    return torch.log(scaled), slope, (1 - quotient - slope.square()).clamp(min=0.0)
