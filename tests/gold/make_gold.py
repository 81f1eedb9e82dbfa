"""Makes the reference tables beside this file: ``python tests/gold/make_gold.py`` (needs mpmath).

Inputs are rounded to float32 or float64 first and then taken as exact, so that a reference value is the right answer
for the numbers that the code is given. Sphere points are normalised exactly, points of the hyperboloid get their exact
time component. Everything is computed with 50 digits and stored as float64.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from mpmath import acosh, asinh, atan2, cos, cosh, diff, mp, mpf, pi, sin, sinh, sqrt, tanh

mp.dps = 50
HERE = Path(__file__).parent
ANGLES = ["1e-8", "1e-6", "1e-4", "1e-3", "1e-2", "0.5", "1.5", "3", "pi-1e-2", "pi-1e-4", "pi-1e-6"]
RADII = {
    "float32": ["1e-6", "1e-3", "1", "3", "5", "6", "7"],
    "float64": ["1e-6", "1e-3", "1", "3", "5", "8", "10", "14"],
}


def rounded(values, dtype):
    return [mpf(float(np.dtype(dtype).type(float(v)))) for v in values]


def plain(values):
    return [float(v) for v in values]


def dot(a, b):
    return sum((p * q for p, q in zip(a, b, strict=True)), mpf(0))


def norm(a):
    return sqrt(dot(a, a))


def combine(a, u, b, v):
    return [a * p + b * q for p, q in zip(u, v, strict=True)]


def normal(count, rng):
    return [mpf(rng.gauss(0, 1)) for _ in range(count)]


def unit(a):
    length = norm(a)
    return [p / length for p in a]


def tangent_unit(x, rng):
    v = normal(len(x), rng)
    return unit(combine(1, v, -dot(x, v), x))


def angle(text):
    return pi - mpf(text[3:]) if text.startswith("pi") else mpf(text)


def sphere_exp(x, u):
    r = norm(u)
    return unit(combine(cos(r), x, sin(r) / r, u))


def sphere_log(x, y):
    p = combine(1, y, -dot(x, y), x)
    return [atan2(norm(p), dot(x, y)) / norm(p) * a for a in p]


def derivative(function, size):
    return [diff(lambda t, i=i: function(t)[i], 0) for i in range(size)]


def sphere_row(text, dtype, rng):
    x = rounded(unit(normal(3, rng)), dtype)
    if text == "1e-8":  # elsewhere float32 cannot tell such points apart
        x = [mpf(1), mpf(0), mpf(0)]
    direction = tangent_unit(unit(x), rng)
    u = rounded([angle(text) * a for a in direction], dtype)
    y = rounded(sphere_exp(unit(x), [angle(text) * a for a in direction]), dtype)
    w = tangent_unit(unit(x), rng)
    exact_x, exact_y = unit(x), unit(y)
    # the tangential part of the rounded u is what a point of the sphere can follow
    flat = combine(1, u, -dot(exact_x, u), exact_x)
    t = tangent_unit(exact_y, rng)
    log = sphere_log(exact_x, exact_y)
    return {
        "at": text,
        "x": plain(x),
        "y": plain(y),
        "u": plain(u),
        "w": plain(w),
        "t": plain(t),
        "exp": plain(sphere_exp(exact_x, flat)),
        "exp_slope": plain(derivative(lambda h: sphere_exp(exact_x, combine(1, flat, h, w)), 3)),
        "dist": float(norm(log)),
        "dist_gradient": plain(unit([-a for a in sphere_log(exact_y, exact_x)])),
        "log": plain(log),
        "log_slope": plain(
            derivative(lambda h: sphere_log(exact_x, sphere_exp(exact_y, [h * a for a in t])) if h else log, 3)
        ),
    }


def gap(x):
    return 1 - dot(x, x)


def moebius(x, y):
    top = combine(1 + 2 * dot(x, y) + dot(y, y), x, gap(x), y)
    return [a / (1 + 2 * dot(x, y) + dot(x, x) * dot(y, y)) for a in top]


def ball_exp(x, u):
    r = 2 * norm(u) / gap(x)
    return moebius(x, [tanh(r / 2) * a / norm(u) for a in u])


def ball_dist(x, y):
    return 2 * asinh(norm(combine(1, x, -1, y)) / sqrt(gap(x) * gap(y)))


def ball_log(x, y):
    m = moebius([-a for a in x], y)
    return [ball_dist(x, y) * gap(x) / 2 * a / norm(m) for a in m]


def ball_row(text, dtype, rng):
    radius = mpf(text)
    x = rounded([tanh(radius / 2) * a for a in unit(normal(2, rng))], dtype)
    y = rounded([tanh(radius / 2) * a for a in unit(normal(2, rng))], dtype)
    u = rounded([gap(x) / 2 * a for a in normal(2, rng)], dtype)
    c = rounded([radius * a for a in unit(normal(2, rng))], dtype)
    outward = [tanh(norm(c) / 2) * a / norm(c) for a in c]
    return {
        "at": text,
        "x": plain(x),
        "y": plain(y),
        "u": plain(u),
        "c": plain(c),
        "dist": float(ball_dist(x, y)),
        "dist_origin": float(ball_dist(x, [mpf(0)] * 2)),
        "log": plain(ball_log(x, y)),
        "exp": plain(ball_exp(x, u)),
        "unembed": plain(outward),
        "log_lambda": float(mp.log(2 / gap(x))),
    }


def lift(p):
    return [sqrt(1 + dot(p, p)), *p]


def minkowski(a, b):
    return dot(a[1:], b[1:]) - a[0] * b[0]


def lorentz_row(text, dtype, rng):
    radius = mpf(text)
    p = rounded([sinh(radius) * a for a in unit(normal(2, rng))], dtype)
    q = rounded([sinh(radius) * a for a in unit(normal(2, rng))], dtype)
    x, y = lift(p), lift(q)
    gap2 = -2 - 2 * minkowski(x, y)
    r = 2 * asinh(sqrt(gap2) / 2)
    log = [r / sinh(r) * a for a in combine(1, y, -cosh(r), x)]
    return {
        "at": text,
        "p": plain(p),
        "q": plain(q),
        "dist": float(r),
        "dist_origin": float(acosh(x[0])),
        "log": plain(log),
    }


def wrap_row(text, dtype):
    value = rounded([mpf(text)], dtype)[0]
    return {"x": float(value), "wrapped": float(value - 2 * pi * mp.floor((value + pi) / (2 * pi)))}


def main():
    rng = random.Random(7)
    tables = {"sphere": {}, "poincare": {}, "lorentz": {}, "torus": {}}
    for dtype in ("float32", "float64"):
        tables["sphere"][dtype] = [sphere_row(text, dtype, rng) for text in ANGLES for _ in range(4)]
        tables["poincare"][dtype] = [ball_row(text, dtype, rng) for text in RADII[dtype] for _ in range(4)]
        tables["lorentz"][dtype] = [lorentz_row(text, dtype, rng) for text in RADII[dtype] for _ in range(4)]
        values = ["1e-8", "-3e-5", "3.1", "3.5", "-4", "6.2831", "6.2832", "7", "-100", "1000.5", "12345.678"]
        tables["torus"][dtype] = [wrap_row(text, dtype) for text in values]
    for name, table in tables.items():
        rows = {
            dtype: "[\n" + ",\n".join(json.dumps(row) for row in entries) + "\n]" for dtype, entries in table.items()
        }
        text = "{" + ",\n".join(f"{json.dumps(dtype)}: {body}" for dtype, body in rows.items()) + "}\n"
        (HERE / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
