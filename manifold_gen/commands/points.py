"""What the commands do with runs on points of a manifold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.commands import summary
from manifold_gen.commands.kinds import Evaluation, Scores, Scoring, Told
from manifold_gen.commands.particles import diagnosed, evaluate_particles
from manifold_gen.commands.runs import device_of, floating_type
from manifold_gen.errors import UsageError

if TYPE_CHECKING:
    from manifold_gen.commands.sampling import Drawn
    from manifold_gen.data import Dataset
    from manifold_gen.data.base import Split
    from manifold_gen.data.kinds import Format
    from manifold_gen.metrics.diagnostics import Diagnostics
    from manifold_gen.metrics.likelihood import LikelihoodReport
    from manifold_gen.models.base import GenerativeModel


class Points:
    """Points are judged by their likelihood; where their law is that of an energy, by what is known of that too."""

    name = "points of a manifold"
    example = "samples.csv"
    figures = (".png", ".pdf", ".svg")
    sample_flags: frozenset[str] = frozenset()
    evaluate_flags = frozenset({"-n"})
    score_flags = frozenset({"--project"})

    def summarise(self, dataset: Dataset) -> dict[str, object]:
        """Rows, manifold, context and checks."""
        return summary.summarise(dataset)

    def lines(self, found: Mapping[str, object]) -> list[str]:
        """The summary for people."""
        return summary.lines(found)

    def diagnose(self, model: GenerativeModel, dataset: Dataset) -> Diagnostics:
        """Likelihood of every split and what it rests on."""
        from manifold_gen.metrics.diagnostics import diagnose

        return diagnose(model, dataset, few=diagnosed(dataset.manifold.dim) if dataset.info.get("energy") else None)

    def show(self, drawn: Drawn, target: Path, flags: Mapping[str, Path]) -> Told:
        """Where the points are, in which columns."""
        columns = list(drawn.format.columns)
        said = f"{drawn.format.describe(drawn.count)} written to {target} ({', '.join(columns)})"
        return Told([said], {"points": drawn.count, "columns": columns})

    def evaluate(self, asked: Evaluation) -> Told:
        """The likelihood that may be quoted, and whether it is valid."""
        from manifold_gen.metrics.likelihood import evaluate_likelihood

        if asked.dataset.info.get("energy"):
            return evaluate_particles(asked)
        if "-n" in asked.flags:
            raise UsageError(f"-n means nothing for a run on {self.name} without a known energy; leave it out")
        place = {"dtype": floating_type(asked.model), "device": device_of(asked.model)}
        rows, train = (part.to(**place) for part in (getattr(asked.dataset, asked.split), asked.dataset.train))
        density = asked.dataset.density
        report = evaluate_likelihood(asked.model, rows, train=train, density=density, seed=asked.seed)
        return Told(likelihood_lines(report), report.to_dict(), report.valid)

    def score(self, asked: Scoring) -> Scores:
        """The log-density of each row, in double precision, as for ``evaluate``: the inversion then stops at 1e-10."""
        import torch

        from manifold_gen.data.files import read_split
        from manifold_gen.distributions.base import Distribution
        from manifold_gen.models import name_of

        if not isinstance(asked.model, Distribution):
            raise UsageError(
                f"{name_of(asked.model.kind)} on {asked.model.manifold} has no log-density that a row can be given; "
                f"'manifold-gen evaluate {asked.run}' says how good what it draws is"
            )
        project = "--project" in asked.flags
        split = read_split(asked.file, asked.format, dtype=floating_type(asked.model), project=project)
        model = asked.model.to(torch.float64)
        split = split.to(dtype=torch.float64, device=device_of(model))
        rows: list[tuple[object, ...]] = []
        for index in torch.arange(len(split)).split(asked.chunk):
            rows += _scored(model, split.take(index))
        good = [row[0] for row in rows if row[2]]
        mean, lost = sum(good) / len(good) if good else None, len(rows) - len(good)
        said = "" if mean is None else f", mean log-density {mean:.4f} nats"
        said = f"{len(rows):,} rows of {asked.file}{said}, {lost} not converged"
        return Scores(_SCORES, rows, said, {"mean_log_prob": mean, "unconverged": lost})

    def plot(
        self, model: GenerativeModel, fmt: Format, dataset: Dataset, target: Path, *, count: int | None, seed: int
    ) -> None:
        """Density, samples and data in the way of the manifold."""
        from manifold_gen import plotting

        plotting.plot(model, dataset, target, samples=count or 3000, seed=seed)


POINTS = Points()
_SCORES = ("log_prob", "residual", "converged")


def _scored(model: GenerativeModel, split: Split) -> list[tuple[object, ...]]:
    import torch

    with torch.no_grad():
        record = model.score(model.manifold.projx(split.x), split.context)
    columns = (record.log_prob, record.residual, record.converged)
    return list(zip(*(column.cpu().tolist() for column in columns), strict=True))


def likelihood_lines(report: LikelihoodReport) -> list[str]:
    """The report for people."""
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
