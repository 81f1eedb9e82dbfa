"""``manifold-gen plot``: the figure of a run's manifold, or its training curves."""

from __future__ import annotations

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.kinds import kind_of
from manifold_gen.commands.runs import check_ending, open_run, output_path, run_data, run_format, whole_number

_FIGURES = (".png", ".pdf", ".svg")


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-o", "--out", required=True, metavar="FILE", help="Figure: .png, .svg or, but for molecules, .pdf.")
@click.option("--training", is_flag=True, help="Draw the training curves instead of density and samples.")
@click.option("-n", "--count", metavar="N", help="Samples drawn.  [default: 3000, or 20 molecules]")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the samples.  [default: 0]")
@click.option("--data", metavar="NAME|FILE", help="Data to draw beside the model; default: what it was fitted to.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1.")
@click.option("--overwrite", is_flag=True, help="Replace the file where it exists.")
@common_options
def plot(
    console: Console,
    run: str,
    out: str,
    training: bool,
    count: str | None,
    seed: int,
    data: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Draw the model of RUN: density, samples and data in the way of its manifold.

    \b
    manifold-gen plot runs/rama -o rama.png
    manifold-gen plot runs/rama --training -o curves.pdf
    """
    target = output_path(out, _FIGURES, overwrite=overwrite)
    kind = kind_of(run_format(run))
    check_ending(target, _FIGURES if training else kind.figures)
    n = None if count is None else whole_number(count, "-n")
    from manifold_gen import plotting

    model, fmt = open_run(run, device)
    if training:
        plotting.save_figure(plotting.plot_training(run), target)
    else:
        kind.plot(model, fmt, run_data(run, data), target, count=n, seed=seed)
    console.say(f"figure written to {target}")
    console.result({"run": run, "file": str(target)})
