"""``manifold-gen sample``: new points, in the columns and units of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.context import context_rows
from manifold_gen.commands.runs import POINT_FILES, device_of, open_run, output_path, whole_number

if TYPE_CHECKING:
    import torch

    from manifold_gen.models.base import GenerativeModel

_CHUNK = 100_000


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-n", "--count", default="1000", metavar="N", help="Number of points.  [default: 1000]")
@click.option("-o", "--out", required=True, metavar="FILE", help="File to write: .csv, .tsv, .npy or .npz.")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the points.  [default: 0]")
@click.option("--context", metavar="A,B|FILE", help="Values for all points, or a file with one row a point.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1.")
@click.option("--overwrite", is_flag=True, help="Replace the file where it exists.")
@common_options
def sample(
    console: Console,
    run: str,
    count: str,
    out: str,
    seed: int,
    context: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Draw points from the model of RUN.

    \b
    manifold-gen sample runs/rama -n 1000 -o samples.csv
    manifold-gen score runs/rama samples.csv -o scores.csv
    """
    target = output_path(out, POINT_FILES, overwrite=overwrite)
    n = whole_number(count, "-n")
    from manifold_gen.data.files import write_points

    model, fmt = open_run(run, device)
    rows = context_rows(model, fmt, context, n)
    points = _draw(model, n, rows, seed)
    write_points(target, points, fmt, rows)
    console.say(f"{n:,} points on {model.manifold} written to {target} ({', '.join(fmt.columns)})")
    console.result({"run": run, "file": str(target), "points": n, "columns": list(fmt.columns), "seed": seed})


def _draw(model: GenerativeModel, n: int, context: torch.Tensor | None, seed: int) -> torch.Tensor:
    """``n`` points, a chunk at a time to bound the memory; a chunk depends on the seed and its number alone."""
    import torch

    from manifold_gen import seeds

    device, parts = device_of(model), []
    with torch.no_grad():
        for number, start in enumerate(range(0, n, _CHUNK)):
            stop = min(n, start + _CHUNK)
            rows = None if context is None else context[start:stop].to(device)
            generator = seeds.generator(seed, number, device=device)
            parts.append(model.sample(stop - start, context=rows, generator=generator).cpu())
    return torch.cat(parts)
