"""``manifold-gen evaluate``: the number that may be quoted, and whether it is valid."""

from __future__ import annotations

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.kinds import Evaluation, kind_of, understood
from manifold_gen.commands.runs import open_run, run_data
from manifold_gen.commands.sampling import sampling_options


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    help="Part of the data to evaluate on.  [default: test]",
)
@click.option("--data", metavar="NAME|FILE", help="Other data of the same kind; default: what it was fitted to.")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of what is drawn.  [default: 0]")
@click.option("-n", "--count", metavar="N", help="Molecules or particles drawn.  [default: 1000, 10000]")
@click.option("--relax", metavar="N", help="Relax N stable molecules by GFN2-xTB.")
@click.option("--posebusters", metavar="N", help="Test N molecules by PoseBusters, at most 20 s each.")
@click.option("--bound", metavar="N", help="Bound the likelihood of N held-out molecules.")
@sampling_options
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1.")
@click.option("--strict", is_flag=True, help="Exit with 1 where the number is not valid.")
@common_options
def evaluate(
    console: Console,
    run: str,
    split: str,
    data: str | None,
    seed: int,
    count: str | None,
    relax: str | None,
    posebusters: str | None,
    bound: str | None,
    steps: str | None,
    noise: str | None,
    temperature: str | None,
    device: str,
    strict: bool,
) -> int:
    """How good the model of RUN is, with the evidence.

    Points: negative log-likelihood on held-out data. It counts as valid when at most 0.1 % of the points have no
    preimage (one point in a set below 1,000) and the integral of the density is 1 within 0.02 and two standard errors.

    Molecules: shares of what is drawn that pass the strict check and the published ones, and distances from held-out
    molecules beside those of as many training molecules. It counts as valid when every coordinate is finite.

    Particles with a known energy (dw4, lj13, lj55): the likelihood beside the entropy below which none can lie,
    energies, distances, and the effective sample size of three times -n samples.

    \b
    manifold-gen evaluate runs/rama
    manifold-gen evaluate runs/molecules -n 10000 --relax 100
    """
    model, fmt = open_run(run, device)
    kind = kind_of(fmt)
    given = {
        "-n": count,
        "--relax": relax,
        "--posebusters": posebusters,
        "--bound": bound,
        "--steps": steps,
        "--noise": noise,
        "--temperature": temperature,
    }
    flags = understood(given, kind.evaluate_flags, kind)
    dataset = run_data(run, data)
    found = kind.evaluate(Evaluation(model, fmt, dataset, split, seed, flags, console.note))
    console.heading(f"{run} on {dataset.name}, {split} part")
    for line in found.lines:
        console.say(f"  {line}")
    console.result({"run": run, "data": dataset.name, "split": split, **found.record})
    return 1 if strict and not found.valid else 0
