"""How much of a normal vector lies outside a ball."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special


def admissible_scale(radius: float, dim: int, mass: float) -> float:
    """The largest s with P(s |z| > radius) ≤ ``mass`` for a standard normal z of ``dim`` dimensions.

    Example:
        >>> round(admissible_scale(math.pi, 3, 1e-6), 4)
        0.5673
    """
    return radius / math.sqrt(2 * special.gammainccinv(dim / 2, mass))


def mass_beyond(radius: float, scales: Sequence[float]) -> float:
    r"""P(Σ sᵢ² zᵢ² > radius²) for independent standard normal zᵢ.

    The chi-square tail where all scales agree; else the inversion of the moment generating function
    M(t) = Π (1 − 2 vᵢ t)^{−½} of the variances in units of radius²,

    .. math:: P = \frac{1}{2πi} ∫ M(t) e^{−t} \frac{dt}{t},

    along a parabola through the saddle point, where the integrand decays like a Gaussian: the trapezium rule is good to
    an absolute 1e-12.

    Example:
        >>> round(mass_beyond(1.0, [1.0, 1.0]), 6)  # exp(−½)
        0.606531
    """
    variances = np.square(np.asarray(scales, dtype=np.float64)) / radius**2
    widest = variances.max()
    if np.ptp(variances) <= 1e-12 * widest:
        return float(special.gammaincc(len(variances) / 2, 0.5 / widest))

    def exponent(t: np.ndarray | float) -> np.ndarray | float:
        return -0.5 * np.log(1 - 2 * np.multiply.outer(t, variances)).sum(-1) - t - np.log(t)

    end = 0.5 / widest
    saddle = optimize.minimize_scalar(exponent, bounds=(0, end), method="bounded").x
    grid, step = np.linspace(-1, 1, 801, retstep=True)
    reach = max(end, 1.0)
    stretch = math.asinh(20 * reach / saddle)
    y = saddle * np.sinh(stretch * grid)
    t = saddle + y**2 / (4 * reach) + 1j * y
    integrand = np.exp(exponent(t)) * (y / (2 * reach) + 1j) * np.hypot(saddle, y)
    return float(integrand.sum().imag * step * stretch / (2 * math.pi))
