"""What every format of molecule files shares: one record, what makes it unusable, and what is said about it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import DataError

_SHOWN = 5


@dataclass(frozen=True)
class Record:
    """One molecule of a file.

    Attributes:
        positions: ``(n, 3)``, ångström.
        numbers: ``n`` atomic numbers.
        charge: net charge in elementary charges.
        properties: the named numbers that the file gives for it.
    """

    positions: np.ndarray
    numbers: list[int]
    charge: int = 0
    properties: dict[str, float] = field(default_factory=dict)


def check_record(record: Record) -> None:
    """Refuse what no model of neutral molecules can learn from.

    Raises:
        DataError: the reason.
    """
    n = len(record.numbers)
    if n == 0:
        raise DataError("it has no atoms")
    if n == 1:
        raise DataError("a single atom has no shape to learn; molecules need two atoms or more")
    bad = ~np.isfinite(record.positions).all(1)
    if bad.any():
        raise DataError(f"the coordinates of atom {int(bad.argmax()) + 1} are NaN or infinite")
    if (record.positions == record.positions[0]).all():
        raise DataError(f"all {n} atoms have the same coordinates; it needs a conformation in three dimensions")
    if record.charge != 0:
        raise DataError(f"its net charge is {record.charge:+d}; the models know neutral molecules only")


def load_records(path: Path, blocks: Iterable[str], parse: Callable[[str], Record], dtype: torch.dtype) -> Molecules:
    """The molecules of all records that can be used; one warning names the others.

    Args:
        path: the file, for messages.
        blocks: the text of each record.
        parse: makes a record of its text, or raises ``DataError`` with the reason.
        dtype: floating type of positions and properties.

    Raises:
        DataError: no record can be used.
    """
    records, broken, total = [], [], 0
    for total, block in enumerate(blocks, start=1):
        try:
            record = parse(block)
            check_record(record)
        except DataError as error:
            broken.append((total, str(error)))
        else:
            records.append(record)
    if total == 0:
        raise DataError(f"{path} holds no molecules; expected at least one record")
    if not records:
        raise DataError(f"{path}: none of the {total} records can be used ({listed('record', broken)})")
    if broken:
        warnings.warn(f"{path}: {len(broken)} of {total} records left out ({listed('record', broken)})", stacklevel=3)
    return _assembled(records, dtype)


def listed(name: str, faults: Sequence[tuple[int, str]]) -> str:
    """``record 2: reason; record 7: reason; …``, the first few of them.

    >>> listed("record", [(2, "it has no atoms")])
    'record 2: it has no atoms'
    """
    shown = "; ".join(f"{name} {number}: {reason}" for number, reason in faults[:_SHOWN])
    return shown if len(faults) <= _SHOWN else f"{shown}; and {len(faults) - _SHOWN} more"


def _assembled(records: Sequence[Record], dtype: torch.dtype) -> Molecules:
    """All records in one set of arrays, with the properties that every one of them has."""
    common = [name for name in records[0].properties if all(name in record.properties for record in records)]
    return Molecules(
        torch.from_numpy(np.concatenate([record.positions for record in records])).to(dtype),
        torch.tensor([number for record in records for number in record.numbers]),
        torch.tensor([len(record.numbers) for record in records]),
        {name: torch.tensor([record.properties[name] for record in records], dtype=dtype) for name in common},
    )
