"""Draws from the model of a run, with what its sampler can be told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from manifold_gen.commands.runs import device_of, whole_number
from manifold_gen.configuration import Setting, coerced, parse_value
from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    import torch

    from manifold_gen.data.base import Split
    from manifold_gen.data.kinds import Format
    from manifold_gen.models.base import GenerativeModel

_CHUNK = 100_000


def _number(text: str, option: str) -> float:
    return coerced(parse_value(text), Setting(option, float, 0.0))


# of samplers: how a value is read, what stands for it, what it is
_KNOBS: dict[str, tuple[Callable[[str, str], float], str, str]] = {
    "steps": (whole_number, "N", "Evaluations of the network for each draw."),
    "noise": (_number, "X", "Share of noise that each step of the sampler draws afresh, 0 to 1."),
    "temperature": (_number, "X", "Of the noise, 1 as in training; lower draws likelier molecules, less varied."),
}
SAMPLING_FLAGS = frozenset(f"--{name}" for name in _KNOBS)


@dataclass(frozen=True)
class Drawn:
    """A sample and how it was drawn.

    Attributes:
        points: as the model's ``sample`` gives them, on the CPU.
        settings: the seed, and what the sampler was told or does untold.
    """

    points: torch.Tensor | Split
    count: int
    format: Format
    settings: Mapping[str, object]


def sampling_options(command: Callable[..., object]) -> Callable[..., object]:
    """``--steps``, ``--noise`` and ``--temperature``."""
    for name, (_, placeholder, said) in reversed(_KNOBS.items()):
        command = click.option(f"--{name}", metavar=placeholder, help=f"{said}  [default: the model's]")(command)
    return command


def knobs(model: GenerativeModel, flags: Mapping[str, str | None]) -> dict[str, object]:
    """The settings of the sampler among ``flags`` that were given.

    Raises:
        UsageError: the sampler has no such setting, or the value is no number of its kind.
    """
    given: dict[str, object] = {}
    for name, (read, *_) in _KNOBS.items():
        flag = f"--{name}"
        if flags.get(flag) is None:
            continue
        if name not in _told(model):
            from manifold_gen.models import name_of

            raise UsageError(f"{flag} was given, but the sampler of {name_of(model.kind)} has no {name}; leave it out")
        given[name] = read(flags[flag], flag)
    return given


def sizes_of(
    model: GenerativeModel, fmt: Format, atoms: str | None, context: torch.Tensor | None, n: int
) -> torch.Tensor | None:
    """``(n,)`` sizes that the draws are to have, ``None`` where they are left to the model.

    Raises:
        UsageError: all draws of the model have one size, a cloud of one point was asked for, or another size than the
            composition has.
    """
    import torch

    composed = None if context is None else fmt.sizes_of(context)
    count = _one_size(model, atoms)
    if count is None:
        return composed
    if composed is not None and bool((composed != count).any()):
        raise UsageError(f"--atoms is {count}, the composition has {int(composed[composed != count][0])}; leave it out")
    return torch.full((n,), count)


def _one_size(model: GenerativeModel, atoms: str | None) -> int | None:
    """The number that ``--atoms`` gives."""
    if atoms is None:
        return None
    if "sizes" not in inspect.signature(type(model).sample).parameters:
        raise UsageError(f"--atoms was given, but every draw on {model.manifold} has one size; leave it out")
    count = whole_number(atoms, "--atoms")
    if count < 2:
        raise UsageError("--atoms is 1; a single atom has no shape: give at least 2")
    return count


def draw(
    model: GenerativeModel,
    fmt: Format,
    n: int,
    *,
    seed: int,
    context: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
    settings: Mapping[str, object],
) -> Drawn:
    """``n`` draws, a chunk at a time to bound the memory; a chunk depends on the seed and its number alone."""
    import torch

    from manifold_gen import seeds

    device, parts = device_of(model), []
    with torch.no_grad():
        for number, start in enumerate(range(0, n, _CHUNK)):
            count = min(n - start, _CHUNK)
            rows = None if context is None else context[start : start + count].to(device)
            sized = {} if sizes is None else {"sizes": sizes[start : start + count].to(device)}
            generator = seeds.generator(seed, number, device=device)
            parts.append(model.sample(count, context=rows, generator=generator, **settings, **sized))
    return Drawn(fmt.join(parts), n, fmt, {"seed": seed, **told_settings(model, settings)})


def told_settings(model: GenerativeModel, settings: Mapping[str, object]) -> dict[str, object]:
    """What the sampler can be told, as told or by default, where it has them."""
    known = {name: model.hyperparameters.get(name) for name in _KNOBS if name in _told(model)}
    return {name: value for name, value in {**known, **settings}.items() if value is not None}


def _told(model: GenerativeModel) -> Mapping[str, inspect.Parameter]:
    """What the sampler takes; of a family of models the members' sampler says so."""
    return inspect.signature(model.kind.sample).parameters
