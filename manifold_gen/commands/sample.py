"""``manifold-gen sample``: new points or molecules, in the columns and units of the data."""

from __future__ import annotations

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.context import context_rows
from manifold_gen.commands.kinds import kind_of, understood
from manifold_gen.commands.runs import check_ending, open_run, output_path, run_format, whole_number
from manifold_gen.commands.sampling import draw, knobs, sampling_options, sizes_of

_ENDINGS = (".csv", ".tsv", ".npy", ".npz", ".sdf", ".xyz", ".smi")
_MORE = {"--picture": (".png", ".svg"), "--page": (".html",)}


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-n", "--count", default="1000", metavar="N", help="Number of points or molecules.  [default: 1000]")
@click.option(
    "-o", "--out", required=True, metavar="FILE", help="Points: .csv, .tsv, .npy, .npz. Molecules: .sdf, .xyz, .smi."
)
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of what is drawn.  [default: 0]")
@click.option("--context", metavar="A,B|FILE", help="Values for all, or a table with one row for each.")
@sampling_options
@click.option("--atoms", metavar="N", help="Atoms of every molecule.  [default: as the data]")
@click.option("--picture", metavar="FILE", help="Also draw the first 20 molecules: .png or .svg.")
@click.option("--page", metavar="FILE", help="Also write a page to turn the molecules on: .html.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@common_options
def sample(
    console: Console,
    run: str,
    count: str,
    out: str,
    seed: int,
    context: str | None,
    steps: str | None,
    noise: str | None,
    temperature: str | None,
    atoms: str | None,
    picture: str | None,
    page: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Draw points or molecules from the model of RUN.

    \b
    manifold-gen sample runs/rama -n 1000 -o samples.csv
    manifold-gen score runs/rama samples.csv -o scores.csv
    manifold-gen sample runs/molecules -n 1000 -o molecules.sdf --page molecules.html
    """
    target = output_path(out, _ENDINGS, overwrite=overwrite)
    asked = {"--picture": picture, "--page": page}
    more = {flag: output_path(path, _MORE[flag], overwrite=overwrite) for flag, path in asked.items() if path}
    n = whole_number(count, "-n")
    kind = kind_of(run_format(run))
    check_ending(target, run_format(run).endings)
    understood({**asked, "--atoms": atoms}, kind.sample_flags, kind)
    model, fmt = open_run(run, device)
    settings = knobs(model, {"--steps": steps, "--noise": noise, "--temperature": temperature})
    rows = context_rows(model, fmt, context, n)
    sizes = sizes_of(model, fmt, atoms, rows, n)
    drawn = draw(model, fmt, n, seed=seed, context=rows, sizes=sizes, settings=settings)
    fmt.write(target, drawn.points, rows)
    found = kind.show(drawn, target, more)
    for line in found.lines:
        console.say(line)
    files = {flag.lstrip("-"): str(path) for flag, path in more.items()}
    console.result({"run": run, "file": str(target), **files, **found.record, **drawn.settings})
