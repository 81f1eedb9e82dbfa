"""Molecules as clouds of points that carry one-hot elements, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from manifold_gen.chemistry.elements import SYMBOLS, element_number, element_symbol
from manifold_gen.chemistry.files import write_molecules
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.base import Dataset
from manifold_gen.data.formats import ContextFormat
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import DataError, UsageError
from manifold_gen.manifolds.point_clouds import PointClouds

DEFAULT_SCALE = 1.0
_WHOLE = 1e-3  # how far a number of atoms may be from a whole one: contexts are standardised in single precision


@dataclass(frozen=True)
class Property:
    """What models are conditioned on: its name, and mean and standard deviation over the training set.

    The name is that of a property of the molecules, or the symbol of an element, for how many atoms of it there are.
    """

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class MoleculeFormat:
    """How molecules stand as clouds: positions in ångström, then the element one-hot times ``scale``.

    Attributes:
        default_model, endings, kind: of every such format: the model where none is named, its files, its name.
        elements: atomic numbers, in the order of the features.
        scale: size of a one-hot entry: the larger, the earlier an element is decided among the noise.
        properties: what the context holds, standardised.

    Example:
        >>> fmt = MoleculeFormat((1, 8), 2.0)
        >>> positions = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.8, 0.6], [0.0, -0.8, 0.6]])
        >>> water = Molecules.join([(positions, torch.tensor([8, 1, 1]))])
        >>> clouds = fmt.encode(water)
        >>> clouds.x[0], fmt.decode(clouds).numbers
        (tensor([ 0.0000,  0.0000, -0.4000,  0.0000,  2.0000]), tensor([8, 1, 1]))
    """

    kind: ClassVar[str] = "molecules"
    endings: ClassVar[tuple[str, ...]] = (".sdf", ".xyz", ".smi")
    default_model: ClassVar[str] = "endpoint-flow"

    elements: tuple[int, ...]
    scale: float = DEFAULT_SCALE
    properties: tuple[Property, ...] = ()

    @property
    def manifold(self) -> PointClouds:
        """Where the clouds live."""
        return PointClouds(3, len(self.elements))

    def encode(self, molecules: Molecules, dtype: torch.dtype = torch.float32) -> RaggedSplit:
        """Centred clouds.

        Raises:
            DataError: an element that the format does not know.
        """
        self.check_elements(molecules.numbers)
        one_hot = self.scale * (molecules.numbers.unsqueeze(-1) == torch.tensor(self.elements))
        x = torch.cat([molecules.centred().positions.to(dtype), one_hot.to(dtype)], -1)
        return RaggedSplit(x, self.context_of(molecules, dtype), molecules.sizes)

    def check_elements(self, numbers: Tensor) -> None:
        """Refuse elements that the format does not know.

        Raises:
            DataError: names them.
        """
        strange = sorted(set(numbers.unique().tolist()) - set(self.elements))
        if strange:
            raise DataError(
                f"the molecules hold {_symbols(strange)}, this model or format knows {_symbols(self.elements)}; "
                "leave those molecules out, or fit a model to data that hold them"
            )

    def describe(self, count: int) -> str:
        """``count`` molecules in words."""
        return f"{count:,} molecules of {_symbols(self.elements)}"

    def join(self, parts: Sequence[RaggedSplit]) -> RaggedSplit:
        """Clouds that were drawn in several parts, on the CPU."""
        parts = [part.to(device="cpu") for part in parts]
        context = None if parts[0].context is None else torch.cat([part.context for part in parts])
        return RaggedSplit(torch.cat([part.x for part in parts]), context, torch.cat([part.sizes for part in parts]))

    def write(self, path: str | Path, clouds: RaggedSplit, context: Tensor | None = None) -> None:
        """``manifold_gen.chemistry.write_molecules``; a property that was asked for stands there as ``target_NAME``."""
        found = self.decode(clouds)
        told = self.properties if context is not None else ()
        asked = {f"target_{p.name}": self.own_values(context.cpu())[:, j] for j, p in enumerate(told)}
        write_molecules(path, Molecules(found.positions, found.numbers, found.sizes, asked))

    @property
    def context(self) -> ContextFormat | None:
        """The properties as columns, ``None`` for a format without any."""
        return ContextFormat([p.name for p in self.properties]) if self.properties else None

    def model_context(self, values: Tensor) -> Tensor:
        """``(n, c)`` standardised properties, from values in their own units."""
        mean = values.new_tensor([p.mean for p in self.properties])
        return (values - mean) / values.new_tensor([p.deviation for p in self.properties])

    def own_values(self, context: Tensor) -> Tensor:
        """``(n, c)`` properties in their own units, from standardised ones: the inverse of ``model_context``."""
        mean = context.new_tensor([p.mean for p in self.properties])
        return context * context.new_tensor([p.deviation for p in self.properties]) + mean

    def loader_options(self) -> dict[str, object]:
        """The options by which a file is read in this format."""
        return {"scale": self.scale}

    def context_of(self, molecules: Molecules, dtype: torch.dtype = torch.float32) -> Tensor | None:
        """``(M, c)`` standardised properties, ``None`` for a format without any.

        Raises:
            DataError: a property is missing.
        """
        columns = [(property_values(molecules, p.name).to(dtype) - p.mean) / p.deviation for p in self.properties]
        return torch.stack(columns, -1) if columns else None

    def sizes_of(self, context: Tensor) -> Tensor | None:
        """``(M,)`` atoms of molecules whose context says how many there are of every element; ``None`` where it does
        not.

        Raises:
            UsageError: a number of atoms that is none.

        >>> fmt = MoleculeFormat((1, 8), 1.0, (Property("H", 0.0, 1.0), Property("O", 0.0, 1.0)))
        >>> fmt.sizes_of(torch.tensor([[2.0, 1.0]])), MoleculeFormat((1, 8)).sizes_of(torch.zeros(1, 0))
        (tensor([3]), None)
        """
        names = [p.name for p in self.properties]
        symbols = [element_symbol(number) for number in self.elements]
        if not set(symbols) <= set(names):
            return None
        counts = self.own_values(context.double())[:, [names.index(symbol) for symbol in symbols]]
        whole = counts.round()
        if bool(((counts - whole).abs() > _WHOLE).any()) or bool((whole < 0).any()) or bool((whole.sum(-1) < 2).any()):
            raise UsageError(
                f"the composition {counts[0].tolist()} of {', '.join(symbols)} is not one of a molecule; give whole "
                "numbers of 0 or more, two atoms at least"
            )
        return whole.sum(-1).long()

    def decode(self, clouds: RaggedSplit) -> Molecules:
        """Molecules of the largest feature of each point."""
        numbers = torch.tensor(self.elements)[clouds.x[:, 3:].argmax(-1).cpu()]
        return Molecules(clouds.x[:, :3].cpu(), numbers, clouds.sizes.cpu())

    def to_dict(self) -> dict[str, object]:
        """Plain values, for a checkpoint."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> MoleculeFormat:
        """What ``to_dict`` gave."""
        properties = tuple(Property(**item) for item in content["properties"])
        return cls(tuple(content["elements"]), content["scale"], properties)


def property_values(molecules: Molecules, name: str) -> Tensor:
    """``(M,)`` values of a property, or numbers of atoms where ``name`` is the symbol of an element.

    Raises:
        DataError: the molecules have no such property.

    >>> water = Molecules.join([(torch.zeros(3, 3), torch.tensor([8, 1, 1]))])
    >>> property_values(water, "H")
    tensor([2])
    """
    if name in molecules.properties:
        return molecules.properties[name]
    if name not in SYMBOLS:
        raise DataError(
            f"the molecules have no property {name!r}; known are {', '.join(molecules.properties) or 'none'}, and the "
            "symbols of elements"
        )
    owner = torch.arange(len(molecules)).repeat_interleave(molecules.sizes)
    found = molecules.numbers == element_number(name)
    return torch.zeros(len(molecules), dtype=torch.int64).index_add_(0, owner, found.long())


def _symbols(numbers: Sequence[int]) -> str:
    return ", ".join(map(element_symbol, numbers))


def molecule_dataset(
    name: str,
    parts: Mapping[str, Molecules],
    *,
    dtype: torch.dtype,
    scale: float = DEFAULT_SCALE,
    properties: Sequence[str] = (),
    info: Mapping[str, object] | None = None,
) -> Dataset:
    """A data set of clouds from the molecules of ``train``, ``val`` and ``test``.

    Args:
        name: of the data set.
        parts: the molecules of each part.
        dtype: floating type of the clouds.
        scale: see ``MoleculeFormat``.
        properties: names of the properties that a model is conditioned on.
        info: origin, licence and the like.

    Raises:
        DataError: no training molecules, or a property that they do not have.
    """
    train = parts["train"]
    if not len(train):
        raise DataError(f"{name} has no training molecules; check the options that choose them")
    elements = sorted({number for part in parts.values() for number in part.numbers.unique().tolist()})
    known = [(key, property_values(train, key).double()) for key in properties]
    told = tuple(Property(key, float(values.mean()), float(values.std()) or 1.0) for key, values in known)
    fmt = MoleculeFormat(tuple(elements), scale, told)
    splits = {key: fmt.encode(molecules, dtype) for key, molecules in parts.items()}
    return Dataset(name, fmt.manifold, **splits, info={**(info or {}), "format": fmt.to_dict()})
