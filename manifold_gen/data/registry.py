"""The data sets that are known by name."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch

from manifold_gen.data.base import Dataset
from manifold_gen.data.locations import find
from manifold_gen.errors import UsageError


@dataclass(frozen=True)
class Source:
    """A named data set before it is loaded.

    Attributes:
        name: as in ``load_dataset(name)``.
        manifold: spec of its manifold, e.g. ``"torus:2"``.
        rows: number of points.
        origin: where the data come from, in a sentence.
        licence: of the data.
        load: ``load(split_seed=…, dtype=…, **options) -> Dataset``.
        places: the files it reads from the data folder or the cache; none where it is bundled or generated.
        package: the optional package that carries the data, where one does.
        model: what is fitted to it where no model is named.
    """

    name: str
    manifold: str
    rows: int
    origin: str
    licence: str
    load: Callable[..., Dataset]
    places: tuple[str, ...] = ()
    package: str = ""
    model: str = "free-form-flow"

    @property
    def available(self) -> bool:
        """Whether ``load`` needs no download on this machine, and no package that is missing."""
        carried = not self.package or importlib.util.find_spec(self.package) is not None
        return carried and all(find(place) is not None for place in self.places)

    @property
    def advice(self) -> str:
        """How data that are not available come here."""
        if self.package:
            return f"the package {self.package} carries them: pip install 'manifold-gen[molecules]'"
        return "they are downloaded when they are used, or put into the folder MANIFOLD_GEN_DATA names"

    def to_dict(self) -> dict[str, object]:
        """What a listing shows, as plain values."""
        shown = {name: getattr(self, name) for name in ("name", "manifold", "rows", "origin", "licence")}
        return {**shown, "available": self.available}


_SOURCES: dict[str, Source] = {}


def register(*sources: Source) -> None:
    """Make data sets known by name.

    Raises:
        UsageError: a name is taken by another data set.
    """
    for source in sources:
        if _SOURCES.setdefault(source.name, source) != source:
            raise UsageError(f"a data set named {source.name!r} is registered already; choose another name")


def list_datasets() -> list[Source]:
    """All registered data sets, by name.

    >>> "ramachandran" in [source.name for source in list_datasets()]
    True
    """
    return [_SOURCES[name] for name in sorted(_SOURCES)]


def find_source(name: str) -> Source:
    """The registered data set of that name; ``UsageError`` suggests the nearest name where there is none."""
    if name in _SOURCES:
        return _SOURCES[name]
    near = difflib.get_close_matches(name, _SOURCES, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(_SOURCES))};"
    raise UsageError(f"no data set is called {name!r}; {hint} a data set of your own is 'package.module:function'")


def load_dataset(name: str, split_seed: int = 0, dtype: torch.dtype = torch.float32, **options: object) -> Dataset:
    """Load a data set by name, or by ``"package.module:function"`` for one of your own.

    Args:
        name: a registered name, or a function called as ``function(split_seed=…, dtype=…, **options)``.
        split_seed: seed of the 80/10/10 split (and of nothing else).
        dtype: floating type of the points.
        options: of the data set, e.g. ``split="published"`` for the Earth sets.

    Raises:
        UsageError: unknown name or option.
        DataError: the files cannot be had or are not what they should be.

    >>> data = load_dataset("ramachandran")
    >>> data.manifold, tuple(data.train.x.shape), len(data.val), len(data.test)
    (torus:2, (80654, 2), 10081, 10081)
    """
    load = find_loader(name)
    try:
        inspect.signature(load).bind(split_seed=split_seed, dtype=dtype, **options)
    except TypeError as error:
        known = [key for key in inspect.signature(load).parameters if key not in ("split_seed", "dtype")]
        raise UsageError(f"data set {name!r}: {error}; its options are: {', '.join(known) or 'none'}") from error
    return load(split_seed=split_seed, dtype=dtype, **options)


def find_loader(name: str) -> Callable[..., Dataset]:
    """What ``load_dataset(name)`` calls; its keyword arguments are the options of that data set.

    Raises:
        UsageError: as ``load_dataset``.
    """
    return _import(name) if ":" in name else find_source(name).load


def _import(reference: str) -> Callable[..., Dataset]:
    module, _, function = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"no data set at {reference!r}: {error}; expected 'package.module:function'") from error
