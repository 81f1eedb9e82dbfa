"""Numbers that others have published, as context: their splits are not ours, and were often drawn at random.

Marks: ``V`` read in the paper, its repository or its stored outputs; ``S`` read in a secondary source only; ``U``
recalled and not verified; ``C`` computed from the definition of the data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MARKS = {"V": "V", "S": "S", "U": "unverified", "C": "computed"}


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        data: name of our data set that is nearest.
        method: with authors and year.
        metric: ``"nll"`` in nats, or ``"mmd"`` of samples made in one network evaluation.
        value: lower is better; a published log-likelihood with its sign turned.
        shown: value and spread as printed in the source, the sign turned likewise.
        mark: key of ``MARKS``.
        sampler: what a sample costs: ``"1"`` network evaluation, an ``"ODE"``, an ``"SDE"``.
    """

    data: str
    method: str
    metric: str
    value: float
    shown: str
    mark: str
    sampler: str


_EARTH = ("volcano", "earthquake", "flood", "fire")
_TORUS = ("protein_general", "protein_glycine", "protein_proline", "protein_prepro", "rna")
_SO3 = ("so3_mixture_16", "so3_mixture_32", "so3_mixture_64")
_GIVEN = re.compile(r"(?P<shown>-?[\d.]+(±[\d.]+)?)(?P<mark>[A-Z]?)")


def _row(
    data: Sequence[str], method: str, sampler: str, mark: str, values: str, metric: str = "nll"
) -> Iterator[Published]:
    """One row of a source: a value a data set, ``-`` where there is none; a letter behind a value is its own mark."""
    for name, given in zip(data, values.split(), strict=True):
        if given == "-":
            continue
        found = _GIVEN.fullmatch(given)
        if found is None:
            raise ValueError(f"{given!r} is no published value; expected for example -0.28±0.08 or 1.03U")
        shown = re.sub(r"^(-?)\.", r"\g<1>0.", found["shown"])
        value = float(shown.partition("±")[0])
        yield Published(
            name, method, metric, value, shown.replace("±", " ± ").replace("-", "−"), found["mark"] or mark, sampler
        )


_ONE_STEP = (*_EARTH, *_TORUS)
PUBLISHED: tuple[Published, ...] = (
    *_row(_EARTH, "mixture of Kent", "1", "V", "-0.80±0.47 0.33±0.05 0.73±0.07 -1.18±0.06"),
    *_row(_EARTH, "continuous flow (Mathieu & Nickel 2020)", "ODE", "V", "-0.97±0.15 0.19±0.04 0.90±0.03 -0.66±0.05"),
    *_row(
        _EARTH, "continuous flow, re-run (De Bortoli et al. 2022)", "ODE", "V",
        "-6.05±0.61 0.14±0.23 1.11±0.19 -0.80±0.54",
    ),
    *_row(_EARTH, "Moser flow (Rozen et al. 2021)", "ODE", "V", "-1.68±0.23 0.03±0.02 0.71±0.02 -0.78±0.01"),
    *_row(
        _EARTH, "Moser flow, re-run (De Bortoli et al. 2022)", "ODE", "V", "-4.21±0.17 -0.16±0.06 0.57±0.10 -1.28±0.05"
    ),
    *_row(_EARTH, "RSGM (De Bortoli et al. 2022)", "SDE", "V", "-4.92±0.25 -0.19±0.07 0.45±0.17 -1.33±0.06"),
    *_row(_EARTH, "RDM (Huang et al. 2022)", "SDE", "S", "-6.61±0.97 -0.40±0.05 0.43±0.07 -1.38±0.05"),
    *_row(_EARTH, "flow matching (Chen & Lipman 2023)", "ODE", "S", "-7.93±1.67 -0.28±0.08 0.42 -1.86±0.11"),
    *_row(_EARTH, "M-FFF (Sorrenson et al. 2023)", "1", "S", "-2.25 -0.23 0.51 -1.19"),
    *_row(_TORUS, "mixture of power spherical", "1", "S", "1.15 2.08 0.27 1.34 4.08±0.37"),
    *_row(_TORUS, "RDM (Huang et al. 2022)", "SDE", "S", "1.04±0.012 1.97 0.12±0.011 1.24 -3.70±0.59"),
    *_row(_TORUS, "flow matching (Chen & Lipman 2023)", "ODE", "S", "1.01 1.90 0.15±0.03 1.18 -5.20±0.07"),
    *_row(
        _TORUS, "flow matching, independent re-run", "ODE", "V",
        "1.022±0.021 1.947±0.023 0.169±0.024 1.196±0.032 -4.78±0.20",
    ),
    *_row(_TORUS, "M-FFF (Sorrenson et al. 2023)", "1", "S", "1.03U 1.89 0.24U 1.23 -4.27"),
    *_row(_SO3, "Moser flow (Rozen et al. 2021)", "ODE", "V", "-0.82±0.03 -0.12±0.03 0.49±0.02"),
    *_row(_SO3, "RSGM (De Bortoli et al. 2022)", "SDE", "V", "-0.89±0.03 -0.20±0.03 0.49±0.02"),
    *_row(_SO3, "M-FFF (Sorrenson et al. 2023)", "1", "S", "-0.87 -0.21 0.45"),
    *_row(_SO3, "the generator's own density", "", "C", "-0.911 -0.217 0.476"),
    *_row(
        _ONE_STEP, "flow matching, 1 step", "1", "S", ".351 .309 .272 .377 .45 .27 .52 .47 .68", metric="mmd"
    ),
    *_row(
        _ONE_STEP, "generalised flow map, Lagrangian", "1", "S", ".115 .032 .065 .027 .02 .03 .04 .05 .08", metric="mmd"
    ),
    *_row(_EARTH, "Riemannian MeanFlow", "1", "S", ".092 .042 .068 .042", metric="mmd"),
    *_row(
        (*_EARTH, "rna"), "Riemannian MeanFlow, multi-task", "1", "S", ".102 .035 .048 .032 .07", metric="mmd"
    ),
    *_row(("rna",), "RW-Flow (Sinkhorn gradient flow)", "1", "S", ".062", metric="mmd"),
)  # fmt: skip


def published(data: str) -> list[Published]:
    """What is known of a data set, in the order of the sources.

    Example:
        >>> [number.shown for number in published("so3_mixture_64") if number.mark == "S"]
        ['0.45']
    """
    return [number for number in PUBLISHED if number.data == data]
