"""Symbols and atomic numbers of the elements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from manifold_gen.errors import DataError

_TEXT = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr
Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir
Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
Mc Lv Ts Og
"""
#: Symbols in the order of their atomic numbers, from hydrogen (1) to oganesson (118).
SYMBOLS = tuple(_TEXT.split())
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}


def element_symbol(number: int) -> str:
    """The symbol of an atomic number.

    Raises:
        DataError: there is no such element.

    >>> element_symbol(6)
    'C'
    """
    if not 1 <= number <= len(SYMBOLS):
        raise DataError(f"no element has the atomic number {number}; expected 1 to {len(SYMBOLS)}")
    return SYMBOLS[number - 1]


def element_number(symbol: str) -> int:
    """The atomic number of a symbol in any case, or of a number written out.

    Raises:
        DataError: there is no such element.

    >>> element_number("Cl"), element_number("CL"), element_number("17")
    (17, 17, 17)
    """
    number = (
        int(symbol)
        if symbol.isascii() and symbol.isdigit() and len(symbol) < 4
        else _NUMBERS.get(symbol.capitalize(), 0)
    )
    if not 1 <= number <= len(SYMBOLS):
        raise DataError(f"unknown element {symbol!r}")
    return number


def sum_formula(numbers: Sequence[int]) -> str:
    """The formula of atomic numbers in Hill's order: carbon, hydrogen, the others by name.

    >>> sum_formula([8, 6, 1, 1, 1, 1])
    'CH4O'
    """
    counts = Counter(element_symbol(number) for number in numbers)
    first = [symbol for symbol in ("C", "H") if symbol in counts and "C" in counts]
    order = first + sorted(symbol for symbol in counts if symbol not in first)
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order)
