"""Result files, sorted into data sets and methods: what the tables and figures of a report are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manifold_gen.benchmark.job import Record
from manifold_gen.benchmark.methods import METHODS
from manifold_gen.benchmark.records import read_all
from manifold_gen.benchmark.suite import GROUPS
from manifold_gen.errors import DataError

Pair = tuple[float, float]  # a value and its standard error

_FRAME = {"spec": dict, "hash": str, "status": str, "machine": dict, "commit": (str, type(None)), "package": str}
_SPEC = {"data": str, "method": str, "seed": int, "budget": str, "seconds": (int, float), "settings": dict}
_DONE = {"metrics": dict, "train": dict, "samples": list, "manifold": str}


@dataclass(frozen=True)
class Result:
    """One result file.

    Attributes:
        record: as read.
        allotted: training time the cell was given in seconds, its teacher's included.
    """

    record: Record
    allotted: float

    @property
    def spec(self) -> dict[str, object]:
        """What the cell was told."""
        return self.record["spec"]

    @property
    def seed(self) -> int:
        """Of weights and split."""
        return self.spec["seed"]

    @property
    def done(self) -> bool:
        """Whether there are numbers."""
        return self.record["status"] == "done"

    def pair(self, name: str, key: str | None = None) -> Pair | None:
        """A metric with its standard error; ``key`` is its number of evaluations where it has several."""
        if not self.done:
            return None
        found = self.record["metrics"].get(name)
        if key is not None and found is not None:
            found = found.get(key)
        if found is None or found["value"] is None:
            return None
        return float(found["value"]), float(found["se"] or 0.0)

    @property
    def mmd_evaluations(self) -> list[int]:
        """Evaluations per sample at which the MMD was measured, ascending."""
        return sorted(map(int, self.record["metrics"].get("mmd") or {})) if self.done else []

    @property
    def default_key(self) -> int | None:
        """Of those, the one nearest below what the sampler takes by default."""
        known = self.mmd_evaluations
        wanted = self.record["metrics"]["evaluations"] if self.done else 0
        return max((k for k in known if k <= wanted), default=known[0] if known else None)

    def seconds_per_sample(self, evaluations: int) -> float | None:
        """Wall time of one sample."""
        return (self.record["metrics"].get("sample_seconds") or {}).get(str(evaluations)) if self.done else None

    @property
    def molecules(self) -> dict[int, dict[str, dict[str, float | None]]]:
        """Shares and distances of molecules by evaluations a molecule; empty where the data are points."""
        found = (self.record["metrics"].get("molecules") or {}) if self.done else {}
        return {int(k): found[k] for k in sorted(found, key=int)}

    @property
    def faults(self) -> list[str] | None:
        """Why its likelihood is not valid, empty where it is; ``None`` where there is no likelihood."""
        nll = self.record["metrics"].get("nll") if self.done else None
        if nll is None:
            return None
        faults = list(nll.get("faults") or [])
        if nll["value"] is None:
            faults.append("the mean log-likelihood is not finite")
        return faults or ([] if nll["valid"] else ["marked as not valid"])


@dataclass(frozen=True)
class Group:
    """The same method with the same settings on one data set, over its seeds.

    Attributes:
        title: in tables; where a data set has several groups of a method it says how they differ.
        compared: false where the training time is below that of the others: a teacher measured by itself.
    """

    data: str
    method: str
    title: str
    results: Sequence[Result]
    compared: bool = True

    @property
    def done(self) -> list[Result]:
        """Those with numbers."""
        return [result for result in self.results if result.done]

    @property
    def valid(self) -> bool:
        """Whether there is a likelihood and it is valid at every seed."""
        return bool(self.done) and all(result.faults == [] for result in self.done)

    def pairs(self, name: str, key: str | None = None) -> dict[int, Pair]:
        """A metric by seed."""
        found = {result.seed: result.pair(name, key) for result in self.done}
        return {seed: pair for seed, pair in found.items() if pair is not None}

    def molecules(self, share: str, evaluations: int) -> dict[int, Pair]:
        """A share or distance of molecules by seed."""
        found = {result.seed: result.molecules.get(evaluations, {}).get(share) for result in self.done}
        return {seed: (at["value"], at["se"] or 0.0) for seed, at in found.items() if at and at["value"] is not None}

    @property
    def first(self) -> Result | None:
        """The finished result of the lowest seed, for pictures."""
        return min(self.done, key=lambda result: result.seed, default=None)


@dataclass(frozen=True)
class DataResults:
    """Everything measured on one data set, methods in the order of the registry."""

    name: str
    groups: Sequence[Group]

    @property
    def manifold(self) -> str | None:
        """Spec of the manifold, where a cell finished."""
        return next((result.record["manifold"] for group in self.groups for result in group.done), None)

    @property
    def molecules(self) -> bool:
        """Whether molecules were measured, which have other tables."""
        return any(result.molecules for group in self.groups for result in group.done)

    def of(self, method: str) -> Group | None:
        """The compared group of a method with the longest training."""
        found = [group for group in self.groups if group.method == method and group.compared and group.done]
        return max(found, key=lambda group: group.results[0].allotted, default=None)


def read_results(folder: Path) -> list[Result]:
    """Every result in a benchmark's folder.

    Raises:
        DataError: there is none, or a file is damaged, malformed or of another schema version.
    """
    records = read_all(folder)
    if not records:
        raise DataError(
            f"{folder / 'cells'} holds no result file; run a benchmark first: "
            f"manifold-gen benchmark earth --out {folder}"
        )
    for record in records:
        _check(record, folder)
    seconds = {record["hash"]: float(record["spec"]["seconds"]) for record in records}
    return [Result(record, _allotted(record["spec"], seconds)) for record in records]


def by_data(results: Sequence[Result]) -> list[DataResults]:
    """Data sets in the order of the suite, others behind them by name."""
    names = {str(result.spec["data"]) for result in results}
    order = {name: place for place, name in enumerate(name for group in GROUPS.values() for name in group)}
    ordered = sorted(names, key=lambda name: (order.get(name, len(order)), name))
    return [DataResults(name, _groups([r for r in results if r.spec["data"] == name])) for name in ordered]


def method_title(method: str) -> str:
    """How tables call a method; one that is not registered is called by its key."""
    return METHODS[method].title if method in METHODS else method


# ---- checks -----------------------------------------------------------------------------------------------------


def _check(record: Record, folder: Path) -> None:
    """A file of the right version may still have been cut or written by hand."""
    wrong = _missing(record, _FRAME) or _missing(record["spec"], _SPEC)
    if not wrong and record["status"] == "done":
        wrong = _missing(record, _DONE) or _missing(record["metrics"], {"mmd": dict, "evaluations": int})
    if wrong:
        name = record.get("hash", "a result file")
        raise DataError(
            f"{folder / 'cells'}: {name} is no result of a cell: {wrong}; delete it and run the benchmark again"
        )


def _missing(table: Mapping[str, object], kinds: Mapping[str, type | tuple[type, ...]]) -> str | None:
    for name, kind in kinds.items():
        if name not in table:
            return f"{name!r} is missing"
        if not isinstance(table[name], kind):
            return f"{name!r} is {type(table[name]).__name__}"
    return None


# ---- groups -----------------------------------------------------------------------------------------------------


def _allotted(spec: Mapping[str, object], seconds: Mapping[str, float]) -> float:
    return float(spec["seconds"]) + seconds.get(str(spec.get("teacher")), 0.0)


def _groups(results: Sequence[Result]) -> list[Group]:
    longest = max(result.allotted for result in results)
    found: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda r: r.seed):
        found.setdefault(json.dumps(_told(result.spec), sort_keys=True), []).append(result)
    groups = []
    for members in found.values():
        spec = members[0].spec
        title = method_title(spec["method"])
        groups.append(Group(spec["data"], spec["method"], title, members, members[0].allotted >= 0.999 * longest))
    order = {method: place for place, method in enumerate(METHODS)}
    groups.sort(key=lambda g: (order.get(g.method, len(order)), g.method, -g.results[0].allotted))
    return _distinguished(groups)


def _told(spec: Mapping[str, object]) -> dict[str, object]:
    """A specification without what differs between seeds, flat."""
    flat = {"budget": spec["budget"], "seconds": spec["seconds"]}
    for section, table in spec["settings"].items():
        flat |= {f"{section}.{name}": value for name, value in table.items()}
    flat.pop("data.split_seed", None)
    return {"method": spec["method"], **flat}


def _distinguished(groups: Sequence[Group]) -> list[Group]:
    """The same groups; where several are of one method, their titles say what is peculiar to each."""
    found = []
    for group in groups:
        others = [_told(g.results[0].spec) for g in groups if g.method == group.method and g is not group]
        own = _told(group.results[0].spec)
        names = sorted(
            {name for other in others for name in own.keys() | other.keys() if own.get(name) != other.get(name)}
        )
        words = [f"{own['seconds']:g} s" if name == "seconds" else f"{name} {own.get(name)}" for name in names]
        found.append(replace(group, title=f"{group.title} ({', '.join(words)})") if words else group)
    return found
