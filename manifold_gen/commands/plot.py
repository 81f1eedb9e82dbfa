"""``manifold-gen plot``: the figure of a run's manifold, or its training curves."""

from __future__ import annotations

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.runs import open_run, output_path, run_data, whole_number


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-o", "--out", required=True, metavar="FILE", help="Figure to write: .png, .pdf or .svg.")
@click.option("--training", is_flag=True, help="Draw the training curves instead of density and samples.")
@click.option("-n", "--count", default="3000", metavar="N", help="Samples drawn.  [default: 3000]")
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
    count: str,
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
    target = output_path(out, (".png", ".pdf", ".svg"), overwrite=overwrite)
    n = whole_number(count, "-n")
    from manifold_gen import plotting

    model, _ = open_run(run, device)
    if training:
        plotting.save_figure(plotting.plot_training(run), target)
    else:
        plotting.plot(model, run_data(run, data), target, samples=n, seed=seed)
    console.say(f"figure written to {target}")
    console.result({"run": run, "file": str(target)})
