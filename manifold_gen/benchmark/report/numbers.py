"""Numbers as tables print them."""

from __future__ import annotations

import math

from manifold_gen.benchmark.report.statistics import Summary

NONE = "–"


def number(value: float | None, decimals: int = 3) -> str:
    """With a true minus sign; a dash where there is none.

    >>> number(-0.12345), number(None), number(-0.0001)
    ('−0.123', '–', '0.000')
    """
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float, decimals: int = 3) -> str:
    """With its sign, as differences are.

    >>> signed(0.5), signed(-0.5)
    ('+0.500', '−0.500')
    """
    return ("+" if value > 0 else "") + number(value, decimals)


def spread(found: Summary | None, decimals: int = 3) -> str:
    """Mean ± standard deviation over seeds; for one seed the value with its standard error in brackets.

    >>> spread(Summary(1.0, 0.25, 0.1, 3)), spread(Summary(1.0, None, 0.1, 1), 2)
    ('1.000 ± 0.250', '1.00 (0.10)')
    """
    if found is None:
        return NONE
    if found.sd is None:
        return f"{number(found.mean, decimals)} ({number(found.se, decimals)})"
    return f"{number(found.mean, decimals)} ± {number(found.sd, decimals)}"


def significant(value: float | None, digits: int = 3) -> str:
    """To so many digits, never with an exponent; thousands apart.

    >>> significant(0.0123456), significant(1234.5), significant(4.2856)
    ('0.0123', '1,230', '4.29')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(0, places)}f}".replace("-", "−")


def times(ratio: float | None) -> str:
    """A ratio as a factor.

    >>> times(123.4), times(None)
    ('123×', '–')
    """
    return NONE if ratio is None else f"{significant(ratio)}×"
