"""``manifold-gen datasets``: what can be fitted to by name."""

from __future__ import annotations

import click

from manifold_gen.commands.console import Console, common_options


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@common_options
def datasets(console: Console, name: str | None) -> None:
    """List the data sets, or show origin, licence, sha256 and rows of NAME."""
    if name is None:
        _list(console)
    else:
        _show(console, name)


def _list(console: Console) -> None:
    from manifold_gen.data import list_datasets

    sources = list_datasets()
    width = max(len(source.name) for source in sources)
    console.say(f"{'name':<{width}}  {'manifold':<10}  {'rows':>8}  here  origin")
    for source in sources:
        here = "yes" if source.available else "no"
        console.say(f"{source.name:<{width}}  {source.manifold:<10}  {source.rows:>8,}  {here:<4}  {source.origin}")
    console.say("\nhere: nothing needs to be fetched. Your own file: manifold-gen fit --data FILE --manifold SPEC")
    console.result({"datasets": [source.to_dict() for source in sources]})


def _show(console: Console, name: str) -> None:
    from manifold_gen.commands.kinds import kind_of_dataset
    from manifold_gen.commands.settings import data_options
    from manifold_gen.data.registry import find_source

    source = find_source(name)
    record = {**source.to_dict(), "options": {key: option.default for key, option in data_options(name).items()}}
    if source.available:
        dataset = source.load()
        kind = kind_of_dataset(dataset)
        record |= {"sha256": dataset.info.get("sha256"), "summary": kind.summarise(dataset)}
    console.heading(source.name)
    shown = ("manifold", "rows", "origin", "licence", "sha256")
    for key in shown:
        if record.get(key) is not None:
            console.say(f"  {key:<9} {record[key]:,}" if key == "rows" else f"  {key:<9} {record[key]}")
    options = ", ".join(f"data.{key}={value}" for key, value in record["options"].items())
    console.say(f"  {'options':<9} {options or 'none'}")
    if source.available:
        console.heading("Loaded")
        for line in kind.lines(record["summary"]):
            console.say(line)
    else:
        console.say(f"  {'here':<9} no: {source.advice}")
    console.result(record)
