"""The one table of tolerances, and the one rate of false alarms."""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Probability with which one statistical check may fail although nothing is wrong. Seeds are fixed, so a check that
#: passes once passes always; the rate bounds how often a harmless change of a random stream trips one.
FAILURE_RATE = 1e-6


@dataclass(frozen=True)
class Tolerance:
    """Largest deviations that a law allows, relative to one plus the size of what is compared.

    Attributes:
        value: for values.
        gradient: for first derivatives.
        rounding: for a single rounded operation, a small multiple of the machine epsilon.
    """

    value: float
    gradient: float
    rounding: float


TOLERANCES = {
    torch.float32: Tolerance(value=1e-5, gradient=5e-5, rounding=1e-6),
    torch.float64: Tolerance(value=1e-12, gradient=1e-11, rounding=2e-15),
    torch.bfloat16: Tolerance(value=5e-2, gradient=1e-1, rounding=1e-2),
    torch.float16: Tolerance(value=5e-3, gradient=1e-2, rounding=1e-3),
}
