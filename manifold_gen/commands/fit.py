"""``manifold-gen fit``: from settings to a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.flags import given, setting_options
from manifold_gen.configuration import parse_assignment, read_toml
from manifold_gen.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from manifold_gen.commands.settings import FitSettings
    from manifold_gen.data import Dataset
    from manifold_gen.models.base import GenerativeModel
    from manifold_gen.training import FitResult


@click.command()
@click.argument("overrides", nargs=-1, metavar="[SECTION.NAME=VALUE]...")
@click.option("-c", "--config", metavar="FILE", help="Settings in TOML: sections [data], [model], [training].")
@setting_options
@click.option("--set", "more", multiple=True, metavar="KEY=VALUE", help="Any setting: --set model.width=128.")
@click.option("-o", "--out", metavar="DIR", help="Run folder to write.")
@click.option("--name", metavar="NAME", help="Short for --out runs/NAME.")
@click.option("--overwrite", is_flag=True, help="Replace the run that is in the folder.")
@click.option("--resume", metavar="DIR", help="Go on with the run in DIR; needs nothing else.")
@click.option("--strict", is_flag=True, help="Exit with 1 where a diagnostic fails.")
@click.option("--print-config", is_flag=True, help="Print all settings with their values as TOML, and stop.")
@click.option("--dry-run", is_flag=True, help="Load and check the data, print settings and summary, and stop.")
@common_options
def fit(
    console: Console,
    overrides: tuple[str, ...],
    more: tuple[str, ...],
    config: str | None,
    out: str | None,
    name: str | None,
    overwrite: bool,
    resume: str | None,
    strict: bool,
    print_config: bool,
    dry_run: bool,
    **flags: object,
) -> int:
    """Fit a model to data and write a run folder.

    \b
    manifold-gen fit --data ramachandran --out runs/rama
    manifold-gen fit --data angles.csv --manifold torus --units degrees --out runs/mine
    manifold-gen fit --data qm9 data.max_heavy=7 --out runs/molecules
    manifold-gen fit -c settings.toml training.lr=1e-3 model.width=128 --out runs/wide
    manifold-gen fit --resume runs/rama

    What is given later wins: the file, then flags, then --set, then SECTION.NAME=VALUE.
    """
    from manifold_gen.commands.kinds import kind_of_dataset
    from manifold_gen.commands.settings import FitSettings, merged
    from manifold_gen.training import fit as train

    _silence_followers(console)
    out = _folder(out, name)
    assignments = given(flags) + [parse_assignment(text) for text in (*more, *overrides)]
    if resume is not None:
        tables = _of_run(resume, alone=not (assignments or config or out or overwrite or print_config or dry_run))
    else:
        tables = merged(read_toml(config) if config else {}, assignments)
    settings = FitSettings.from_tables(tables)
    training = settings.training_config()
    if print_config:
        return _print_config(console, settings)
    folder = resume if resume is not None else out
    if folder is None and not dry_run:
        raise UsageError("no run folder was given; add --out runs/NAME, or --dry-run to see what would be done")
    dataset = settings.load_data()
    model = settings.build_model(dataset)
    _announce(console, settings, dataset, model)
    if folder is None or dry_run:
        console.result(_record(settings, dataset))
        return 0
    diagnose, told = kind_of_dataset(dataset).diagnose, settings.resolved()
    options = {"overwrite": overwrite, "resume": resume is not None, "settings": told, "diagnose": diagnose}
    result = train(model, dataset, training, folder, **options, quiet=console.verbosity < 0)
    return _conclude(console, settings, dataset, result, strict=strict)


def _silence_followers(console: Console) -> None:
    """Of the processes that ``torchrun`` starts only the first one speaks."""
    if int(os.environ.get("RANK", "0")) > 0:
        console.verbosity, console.json = -1, False


def _folder(out: str | None, name: str | None) -> str | None:
    """The run folder of ``--out`` or ``--name``."""
    from manifold_gen.checkpoint import safe_run_path

    if out is not None and name is not None:
        raise UsageError("both --out and --name were given; --name NAME is short for --out runs/NAME, give one of them")
    return out if name is None else str(safe_run_path("runs", name))


def _of_run(folder: str, *, alone: bool) -> dict[str, object]:
    """The settings that a run was started with."""
    from manifold_gen.checkpoint import RunFolder

    if not alone:
        raise UsageError(
            "--resume takes all settings from the run; leave out the other settings, or start a new run with "
            f"-c {folder}/config.toml --out runs/NAME"
        )
    if not Path(folder).exists():
        raise RunFolderError(f"{folder} does not exist, so there is no run to resume; start one with --out {folder}")
    return RunFolder(folder).read_config()


def _print_config(console: Console, settings: FitSettings) -> int:
    from manifold_gen.checkpoint import toml

    console.result(settings.resolved())
    if not console.json:
        print(toml.dumps(settings.resolved()), end="")
    return 0


def _announce(console: Console, settings: FitSettings, dataset: Dataset, model: GenerativeModel) -> None:
    """Resolved configuration and data summary."""
    from manifold_gen.checkpoint import toml
    from manifold_gen.commands.kinds import kind_of_dataset

    kind = kind_of_dataset(dataset)
    console.heading("Settings")
    console.say(toml.dumps(settings.resolved()).rstrip())
    console.heading(f"Data: {dataset.name}")
    for line in kind.lines(kind.summarise(dataset)):
        console.say(line)
    count = sum(parameter.numel() for parameter in model.parameters())
    console.heading(f"Model: {settings.model['name']}, {count:,} parameters")


def _record(settings: FitSettings, dataset: Dataset) -> dict[str, object]:
    from manifold_gen.commands.kinds import kind_of_dataset

    return {"settings": settings.resolved(), "data": kind_of_dataset(dataset).summarise(dataset)}


def _conclude(console: Console, settings: FitSettings, dataset: Dataset, result: FitResult, *, strict: bool) -> int:
    """Diagnostics block, next command, exit code."""
    from manifold_gen.commands.kinds import kind_of_dataset

    report = result.diagnostics
    if report is None:  # another process of the same run reports
        return 0
    summary: Mapping[str, object] = report.to_dict()
    console.say()
    console.say(report.table())
    console.heading("Next")
    console.say(f"  manifold-gen evaluate {result.run}")
    console.say(f"  manifold-gen sample {result.run} -n 1000 -o {kind_of_dataset(dataset).example}")
    console.result(
        {
            **_record(settings, dataset),
            "run": str(result.run),
            "steps": result.step,
            "best_step": result.best_step,
            "stopped_early": result.stopped_early,
            "seconds": result.seconds,
            "diagnostics": summary,
            "failures": list(report.failures),
        }
    )
    return 1 if strict and report.failures else 0
