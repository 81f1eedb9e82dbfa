"""Makes ``rotations.json`` beside this file: ``python tests/gold/make_rotations_gold.py`` (needs mpmath).

As in ``make_gold.py``: inputs are rounded first and then taken as exact, everything has 50 digits. A rounded matrix is
no rotation; its logarithm is that of the nearest one. Columns: rotation vector ``w``, direction ``t``, ``exp`` =
exp(hat w), ``exp_slope`` its derivative along t, ``log`` = log of the rounded ``exp``, ``log_slope`` =
d/ds log(R exp(s hat t)) there.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from mpmath import cos, cot, diff, matrix, mp, mpf, pi, sin, sqrt

mp.dps = 50
ANGLES = ["1e-8", "1e-6", "1e-4", "1e-3", "1e-2", "0.5", "1.5", "3", "pi-1e-2", "pi-1e-4", "pi-1e-6"]


def hat(w):
    x, y, z = w
    return matrix([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def length(w):
    return sqrt(sum(c * c for c in w))


def exp(w):
    k, r = hat(w), length(w)
    return mp.eye(3) + sin(r) / r * k + (1 - cos(r)) / r**2 * k * k


def nearest(m):
    for _ in range(8):
        m = (m + (m**-1).T) / 2
    return m


def axial(m):
    return [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]


def log(m):
    skew = axial(m)
    twice = length(skew)
    angle = mp.atan2(twice, m[0, 0] + m[1, 1] + m[2, 2] - 1)
    return [angle / twice * c for c in skew]


def log_slope(w, t):
    """Inverse of the right Jacobian of exp at w, applied to t."""
    r, k, t = length(w), hat(w), matrix(t)
    column = t + k * t / 2 + (1 / r**2 - cot(r / 2) / (2 * r)) * (k * (k * t))
    return [column[i] for i in range(3)]


def slope_of_entry(w, t, i, j):
    return diff(lambda s: exp([a + s * b for a, b in zip(w, t, strict=True)])[i, j], 0)


def rounded(values, dtype):
    return [mpf(float(np.dtype(dtype).type(float(v)))) for v in values]


def plain(m):
    return [float(v) for v in m]


def row(text, dtype, rng):
    angle = pi - mpf(text[3:]) if text.startswith("pi-") else mpf(text)
    axis, t = ([mpf(rng.gauss(0, 1)) for _ in range(3)] for _ in range(2))
    w = rounded([angle * c / length(axis) for c in axis], dtype)
    t = rounded([c / length(t) for c in t], dtype)
    r = exp(w)
    slope = [slope_of_entry(w, t, i, j) for i in range(3) for j in range(3)]
    r_log = log(nearest(matrix(3, 3) + matrix(np.array(rounded(r, dtype)).reshape(3, 3).tolist())))
    columns = {"w": w, "t": t, "exp": r, "exp_slope": slope, "log": r_log, "log_slope": log_slope(r_log, t)}
    return {"at": text, **{name: plain(value) for name, value in columns.items()}}


if __name__ == "__main__":
    rng = random.Random(5)
    table = {d: [row(text, d, rng) for text in ANGLES for _ in range(4)] for d in ("float32", "float64")}
    target = Path(__file__).with_name("rotations.json")
    target.write_text(json.dumps(table, indent=None, separators=(",", ":")).replace('{"at"', '\n{"at"') + "\n")
