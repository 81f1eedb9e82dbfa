"""``manifold-gen evaluate``: the likelihood that may be quoted, and whether it is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from manifold_gen.commands.console import Console, common_options
from manifold_gen.commands.runs import device_of, floating_type, open_run, run_data

if TYPE_CHECKING:
    from manifold_gen.metrics.likelihood import LikelihoodReport


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    help="Part of the data to evaluate on.  [default: test]",
)
@click.option("--data", metavar="NAME|FILE", help="Other data of the same kind; default: what it was fitted to.")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the integral estimates.  [default: 0]")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:1.")
@click.option("--strict", is_flag=True, help="Exit with 1 where the number is not valid.")
@common_options
def evaluate(console: Console, run: str, split: str, data: str | None, seed: int, device: str, strict: bool) -> int:
    """Negative log-likelihood of RUN on held-out data, with the evidence that it is one.

    The number counts as valid when at most 0.1 % of the points have no preimage (one point in a set below 1,000) and
    the integral of the density is 1 within 0.02 and two standard errors.
    """
    from manifold_gen.metrics.likelihood import evaluate_likelihood

    model, _ = open_run(run, device)
    place = {"dtype": floating_type(model), "device": device_of(model)}
    dataset = run_data(run, data)
    rows, train = getattr(dataset, split).to(**place), dataset.train.to(**place)
    report = evaluate_likelihood(model, rows, train=train, density=dataset.density, seed=seed)
    console.heading(f"{run} on {dataset.name}, {split} part")
    for line in _lines(report):
        console.say(f"  {line}")
    console.result({"run": run, "data": dataset.name, "split": split, **report.to_dict()})
    return 1 if strict and not report.valid else 0


def _lines(report: LikelihoodReport) -> list[str]:
    lines = [
        f"NLL          {report.nll:.4f} ± {report.nll_se:.4f} nats, the mean over converged points",
        f"unconverged  {report.unconverged} of {report.count} points; largest residual {report.largest_residual:.1e}",
        f"integral     {report.round_trip.value:.4f} ± {report.round_trip.se:.4f} by round trips",
    ]
    if report.importance is not None:
        found = report.importance
        lines.append(
            f"             {found.value:.4f} ± {found.se:.4f} by importance sampling, "
            f"effective sample size {found.effective:,.0f}"
        )
    if report.gap is not None:
        lines.append(f"gap          {report.gap:.4f} ± {report.gap_se:.4f} nats above the exact density")
    lines.append("valid        yes" if report.valid else "valid        NO: " + "; ".join(report.faults))
    return lines
