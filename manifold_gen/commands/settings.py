"""From tables of settings to a data set, a model and a training configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.configuration import Setting, Table, Value, checked, settings_of, suggestion
from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    import torch

    from manifold_gen.data import Dataset
    from manifold_gen.models.base import GenerativeModel
    from manifold_gen.training import TrainingConfig

SECTIONS = ("data", "model", "training")
DEFAULT_DATA = "ramachandran"
_EXAMPLES = "--manifold torus, sphere, so3 or 'sphere:2 x euclidean:1'"


@dataclass(frozen=True)
class FitSettings:
    """Everything ``fit`` is told, checked against what it builds; only what was said, defaults come with ``resolved``.

    Attributes:
        data: ``name`` (a registered data set, ``package.module:function`` or a file) and its loader's options.
        model: ``name`` and the hyperparameters of its constructor.
        training: fields of ``TrainingConfig``.
    """

    data: Table = field(default_factory=dict)
    model: Table = field(default_factory=dict)
    training: Table = field(default_factory=dict)

    @classmethod
    def from_tables(cls, tables: Mapping[str, object]) -> FitSettings:
        """Check tables as read from a file and changed by flags.

        Raises:
            UsageError: an unknown section, setting or name, or a value of another type.
        """
        for section, table in tables.items():
            if section not in SECTIONS:
                raise UsageError(f"unknown section {section!r} of the configuration; {suggestion(section, SECTIONS)}")
            if not isinstance(table, Mapping):
                raise UsageError(f"{section} is {table!r}; expected a table, written [{section}]")
        data, model, training = (dict(tables.get(section, {})) for section in SECTIONS)
        model.pop("manifold", None)  # a run started from Python notes it there; the data set knows it
        data_name = str(data.pop("name", DEFAULT_DATA))
        if is_file(data_name):
            data_name = str(Path(data_name).expanduser().resolve())  # the run is read from other folders too
        options = data_options(data_name)
        for name, setting in options.items():
            if setting.default is inspect.Parameter.empty and name not in data:
                raise UsageError(f"data set {data_name!r} needs {setting.key}; add e.g. {_EXAMPLES}")
        model_name = str(model.pop("name", None) or default_model(data_name))
        return cls(
            {"name": data_name, **checked(data, options, "data")},
            {"name": model_name, **checked(model, model_options(model_name), "model")},
            checked(training, training_options(), "training"),
        )

    def resolved(self) -> dict[str, Table]:
        """All settings with their defaults, as a configuration file would say them."""
        known = {
            "data": data_options(str(self.data["name"])),
            "model": model_options(str(self.model["name"])),
            "training": training_options(),
        }
        said = {"data": self.data, "model": self.model, "training": self.training}
        names = {key: {"name": table["name"]} if "name" in table else {} for key, table in said.items()}
        return {key: {**names[key], **_defaults(known[key]), **said[key]} for key in SECTIONS}

    def load_data(self) -> Dataset:
        """The data set, with points in the precision of the training."""
        import torch

        from manifold_gen.training.inputs import precision_dtype

        precision = self.training_config().precision
        first = torch.float64 if precision == "float64" else torch.float32
        dataset = self._load(first)
        # which precision "auto" means is known once the manifold is
        wanted = precision_dtype(precision, dataset.manifold)
        return dataset if wanted == first else self._load(wanted)

    def _load(self, dtype: torch.dtype) -> Dataset:
        from manifold_gen.data import load_dataset
        from manifold_gen.data.kinds import file_kind

        options = {key: value for key, value in self.data.items() if key != "name"}
        name = str(self.data["name"])
        return (file_kind(name).load if is_file(name) else load_dataset)(name, dtype=dtype, **options)

    def build_model(self, dataset: Dataset) -> GenerativeModel:
        """The model with fresh weights drawn from ``training.seed``."""
        import torch

        from manifold_gen import models, seeds

        hyperparameters = {key: value for key, value in self.model.items() if key != "name"}
        for key, value in _context_size(dataset).items():
            if key in model_options(str(self.model["name"])):
                hyperparameters.setdefault(key, value)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.mix(self.training_config().seed, 0))
            return models.build(models.resolve(str(self.model["name"])), dataset.manifold, **hyperparameters)

    def training_config(self) -> TrainingConfig:
        """The training configuration; ``UsageError`` where a value is out of range."""
        from manifold_gen.training import TrainingConfig

        return TrainingConfig(**self.training)


def merged(tables: Mapping[str, object], assignments: Sequence[tuple[str, str, Value]]) -> dict[str, object]:
    """``tables`` with single settings replaced."""
    result = {key: dict(table) if isinstance(table, Mapping) else table for key, table in tables.items()}
    for section, name, value in assignments:
        table = result.setdefault(section, {})
        if not isinstance(table, dict):
            raise UsageError(f"{section} is {table!r}; expected a table, written [{section}]")
        table[name] = value
    return result


def is_file(name: str) -> bool:
    """Whether a data set's name is the path of a file: by its ending, so that a missing one is told as such."""
    from manifold_gen.data.kinds import KINDS

    known = {ending for kind in KINDS.values() for ending in kind.endings}
    return Path(name).suffix.lower() in known or "/" in name


def data_options(name: str) -> dict[str, Setting]:
    """Options of the loader of a data set or of a file."""
    if is_file(name):
        from manifold_gen.data.kinds import file_kind

        return settings_of(file_kind(name).load, "data", without=("path", "dtype"))
    from manifold_gen.data.registry import find_loader

    return settings_of(find_loader(name), "data", without=("dtype",))


def default_model(data: str) -> str:
    """The model that is fitted to a data set or file where none is named."""
    from manifold_gen.data.formats import PointFormat
    from manifold_gen.data.kinds import file_kind
    from manifold_gen.data.registry import find_source

    if is_file(data):
        return file_kind(data).format.default_model
    return PointFormat.default_model if ":" in data else find_source(data).model


def model_options(name: str) -> dict[str, Setting]:
    """Hyperparameters of a model."""
    from manifold_gen import models

    return settings_of(models.resolve(name), "model", without=("manifold",))


def training_options() -> dict[str, Setting]:
    """Fields of ``TrainingConfig``."""
    from manifold_gen.training import TrainingConfig

    return settings_of(TrainingConfig, "training")


def _context_size(dataset: Dataset) -> dict[str, int]:
    """The arguments by which a model learns what its context is."""
    context = dataset.train.context
    if context is None:
        return {}
    if context.is_floating_point():
        return {"context_features": context.shape[-1]}
    if context.dim() > 1 and context.shape[-1] > 1:
        raise UsageError(
            f"the context has {context.shape[-1]} columns of labels and a model takes one; join them into one column"
        )
    parts = (dataset.train, dataset.val, dataset.test)
    return {"context_categories": 1 + max(int(part.context.max()) for part in parts if part.context is not None)}


def _defaults(settings: Mapping[str, Setting]) -> Table:
    return {
        name: setting.default for name, setting in settings.items() if setting.default is not inspect.Parameter.empty
    }
