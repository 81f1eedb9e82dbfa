"""What has been published on DW4, LJ13 and LJ55, with how well each number is known.

Grades: ``P`` read in the paper, ``S`` in somebody else's summary, ``UNVERIFIED`` recalled and never read: kept so that
a later reader can look it up, and never printed. Published likelihoods stand in the convention without the prior's
normaliser, and their data are not those made here: they are context, not a comparison.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

UNVERIFIED = "UNVERIFIED"


@dataclass(frozen=True)
class PublishedValue:
    """One number.

    Attributes:
        system: ``"DW4"``, ``"LJ13"`` or ``"LJ55"``.
        method: as its authors call it.
        metric: ``"nll"`` (published convention, nats), ``"ess"`` (share), ``"energy_w2"`` or ``"position_w2"``.
        value, error: as published; ``None`` where no error is given.
        grade: ``"P"``, ``"S"`` or ``"UNVERIFIED"``.
        remark: what a reader must know.
    """

    system: str
    method: str
    metric: str
    value: float
    error: float | None
    grade: str
    remark: str = ""

    @property
    def printable(self) -> bool:
        """Whether it may be shown as a fact about the paper."""
        return self.grade != UNVERIFIED

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


_BELOW = "below the entropy of the law: other data, another convention, or no likelihood"
_NOT_ALIGNED = "positions neither permuted nor rotated into each other"

_ROWS = (
    ("DW4", "E-NF", "nll", 1.72, None, UNVERIFIED, ""),
    ("LJ13", "E-NF", "nll", -15.83, None, UNVERIFIED, ""),
    ("DW4", "E-NF", "ess", 0.869, None, UNVERIFIED, ""),
    ("LJ13", "E-NF", "ess", 0.398, None, UNVERIFIED, ""),
    ("DW4", "OT-FM", "nll", 1.70, None, UNVERIFIED, ""),
    ("LJ13", "OT-FM", "nll", -16.09, None, UNVERIFIED, ""),
    ("LJ55", "OT-FM", "nll", -88.45, None, UNVERIFIED, ""),
    ("DW4", "OT-FM", "ess", 0.924, None, UNVERIFIED, ""),
    ("LJ13", "OT-FM", "ess", 0.544, None, UNVERIFIED, ""),
    ("LJ55", "OT-FM", "ess", 0.037, None, UNVERIFIED, ""),
    ("DW4", "equivariant OT-FM", "nll", 1.68, None, UNVERIFIED, ""),
    ("LJ13", "equivariant OT-FM", "nll", -16.07, None, UNVERIFIED, ""),
    ("LJ55", "equivariant OT-FM", "nll", -89.27, None, UNVERIFIED, ""),
    ("DW4", "equivariant OT-FM", "ess", 0.887, None, UNVERIFIED, ""),
    ("LJ13", "equivariant OT-FM", "ess", 0.576, None, UNVERIFIED, ""),
    ("LJ55", "equivariant OT-FM", "ess", 0.044, None, UNVERIFIED, ""),
    ("DW4", "E(n)-FFF", "nll", 1.68, 0.01, "S", ""),
    ("LJ13", "E(n)-FFF", "nll", -17.09, 0.16, UNVERIFIED, _BELOW),
    ("LJ55", "E(n)-FFF", "nll", -88.72, 0.16, "S", ""),
    ("DW4", "NAE", "nll", 1.39, 0.01, "S", _BELOW),
    ("LJ13", "NAE", "nll", -17.95, 0.16, "S", _BELOW),
    ("LJ55", "NAE", "nll", -92.32, 0.09, "S", _BELOW),
    ("DW4", "long MCMC", "energy_w2", 0.144, None, "P", ""),
    ("DW4", "iDEM", "energy_w2", 0.590, None, "P", ""),
    ("LJ13", "long MCMC", "energy_w2", 0.544, None, "P", ""),
    ("LJ13", "iDEM", "energy_w2", 4.73, None, "P", ""),
    ("LJ55", "long MCMC", "energy_w2", 0.68, None, "P", ""),
    ("LJ55", "iDEM", "energy_w2", 21.5, None, "P", ""),
    ("DW4", "long MCMC", "position_w2", 1.883, None, "P", _NOT_ALIGNED),
    ("DW4", "iDEM", "position_w2", 1.912, None, "P", _NOT_ALIGNED),
    ("LJ13", "long MCMC", "position_w2", 4.298, None, "P", _NOT_ALIGNED),
    ("LJ13", "iDEM", "position_w2", 4.253, None, "P", _NOT_ALIGNED),
    ("LJ55", "long MCMC", "position_w2", 15.78, None, "P", _NOT_ALIGNED),
    ("LJ55", "iDEM", "position_w2", 16.05, None, "P", _NOT_ALIGNED),
)

PUBLISHED_VALUES = tuple(PublishedValue(*row) for row in _ROWS)


def published_values(system: str, metric: str | None = None) -> list[PublishedValue]:
    """The printable values of a system, of one metric or of all.

    >>> [(row.method, row.value) for row in published_values("LJ55", "nll")]
    [('E(n)-FFF', -88.72), ('NAE', -92.32)]
    """
    return [
        row
        for row in PUBLISHED_VALUES
        if row.system == system and row.printable and (metric is None or row.metric == metric)
    ]
