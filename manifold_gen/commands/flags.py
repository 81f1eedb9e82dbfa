"""Flags that are short names of settings: one table, from which the options and what they set both follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click

from manifold_gen.configuration import Value, parse_value

# flag: setting, placeholder (None where the flag takes no value), help
SETTING_FLAGS: dict[str, tuple[str, str | None, str]] = {
    "--data": (
        "data.name",
        "NAME|FILE",
        "Data set, or a file: .csv, .tsv, .npy, .npz, .sdf, .xyz, .smi.  [default: ramachandran]",
    ),
    "--manifold": ("data.manifold", "SPEC", "Where a file's points lie: torus, sphere, so3, 'sphere:2 x euclidean:1'."),
    "--units": ("data.units", "UNIT", "Of a file's angles: degrees or radians."),
    "--columns": ("data.columns", "A,B", "A file's columns that hold the points, by name or number."),
    "--context": ("data.context", "A,B", "A file's columns that the density is conditioned on."),
    "--categorical": ("data.categorical", None, "Treat numbers in the context as labels."),
    "--representation": (
        "data.representation",
        "NAME",
        "How a file writes its points: latlon, quaternion, axis-angle.",
    ),
    "--on-bad-row": ("data.on_bad_row", "ACTION", "Rows that cannot be used: error or drop."),
    "--project": ("data.project", None, "Put points that are off the manifold onto it."),
    "--split": ("data.split", "NAME", "Split of the Earth sets: distinct or published."),
    "--split-seed": ("data.split_seed", "N", "Seed of the split into training, validation and test parts."),
    "--model": (
        "model.name",
        "NAME",
        "Model, or package.module:Class.  [default: free-form-flow; molecules: endpoint-flow]",
    ),
    "--steps": ("training.steps", "N", "Optimiser steps."),
    "--batch-size": ("training.batch_size", "N", "Rows of a batch."),
    "--lr": ("training.lr", "X", "Largest learning rate."),
    "--patience": ("training.patience", "N", "Evaluations without improvement until training stops, 0 for never."),
    "--seed": ("training.seed", "N", "Seed of weights, batches and noise."),
    "--device": ("training.device", "NAME", "auto, cpu, cuda or cuda:1."),
    "--precision": ("training.precision", "NAME", "auto, float32, float64 or bf16."),
    "--threads": ("training.threads", "N", "CPU threads, 0 to leave them alone."),
    "--compile": ("training.compile", None, "Run the loss through torch.compile."),
}


def setting_options(command: Callable[..., object]) -> Callable[..., object]:
    """All flags of the table as options of a command, passed on as text under their ``variable`` names."""
    for flag, (_, placeholder, text) in reversed(SETTING_FLAGS.items()):
        if placeholder is None:
            command = click.option(flag, variable(flag), is_flag=True, default=None, help=text)(command)
        else:
            command = click.option(flag, variable(flag), metavar=placeholder, help=text)(command)
    return command


def variable(flag: str) -> str:
    """Name of the argument that carries a flag; set apart from other options by its prefix."""
    return "set_" + flag.lstrip("-").replace("-", "_")


def given(options: Mapping[str, object]) -> list[tuple[str, str, Value]]:
    """The settings of the flags that were given, as (section, name, value)."""
    found = []
    for flag, (key, _, _) in SETTING_FLAGS.items():
        value = options[variable(flag)]
        if value is not None:
            section, _, name = key.partition(".")
            found.append((section, name, parse_value(value) if isinstance(value, str) else value))
    return found
