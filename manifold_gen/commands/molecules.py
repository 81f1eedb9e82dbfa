"""What the commands do with runs on molecules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from manifold_gen.commands.kinds import Evaluation, Scores, Scoring, Told
from manifold_gen.commands.points import likelihood_lines
from manifold_gen.commands.runs import whole_number
from manifold_gen.commands.sampling import SAMPLING_FLAGS, knobs, told_settings

if TYPE_CHECKING:
    from manifold_gen.chemistry.molecules import Molecules
    from manifold_gen.commands.sampling import Drawn
    from manifold_gen.data import Dataset
    from manifold_gen.data.molecules import MoleculeFormat
    from manifold_gen.metrics.molecule_diagnostics import MoleculeDiagnostics
    from manifold_gen.models.sized import SizedModel

_LARGE = 20_000  # training molecules beyond which reading their bonds takes long enough to be announced


class OfMolecules:
    """Molecules are judged by what the model draws."""

    name = "molecules"
    example = "molecules.sdf"
    figures = (".png", ".svg")
    sample_flags = frozenset({"--atoms", "--picture", "--page"})
    evaluate_flags = frozenset({"-n", "--relax", "--posebusters", "--bound"}) | SAMPLING_FLAGS
    score_flags = frozenset({"--samples"})

    def summarise(self, dataset: Dataset) -> dict[str, object]:
        """Molecules of each part, their atoms and elements."""
        import torch

        from manifold_gen.chemistry import element_symbol

        fmt = _format(dataset)
        parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        sizes = torch.cat([part.sizes for part in parts.values()])
        atoms = {"least": int(sizes.min()), "mean": float(sizes.double().mean()), "most": int(sizes.max())}
        return {
            "name": dataset.name,
            "manifold": dataset.manifold.spec,
            "rows": {name: len(part) for name, part in parts.items()},
            "atoms": atoms,
            "elements": [element_symbol(number) for number in fmt.elements],
            "context": [p.name for p in fmt.properties],
            "finite": all(bool(part.x.isfinite().all()) for part in parts.values()),
            "origin": dataset.info.get("origin", ""),
        }

    def lines(self, summary: Mapping[str, object]) -> list[str]:
        """The summary for people."""
        rows, atoms = summary["rows"], summary["atoms"]
        shown = {
            "molecules": f"{rows['train']:,} train, {rows['val']:,} val, {rows['test']:,} test",
            "atoms": f"{atoms['least']} to {atoms['most']}, mean {atoms['mean']:.1f}",
            "elements": ", ".join(summary["elements"]),
            "manifold": summary["manifold"],
            "context": ", ".join(summary["context"]) or "none",
            "checks": "all finite" if summary["finite"] else "NOT FINITE",
            "origin": summary["origin"],
        }
        return [f"  {name:<9} {text}" for name, text in shown.items() if text]

    def diagnose(self, model: SizedModel, dataset: Dataset) -> MoleculeDiagnostics:
        """Some molecules that the model draws."""
        from manifold_gen.metrics.molecule_diagnostics import diagnose_molecules

        return diagnose_molecules(model, dataset)

    def show(self, drawn: Drawn, target: Path, flags: Mapping[str, Path]) -> Told:
        """How good the molecules are; a picture and a page of them."""
        from manifold_gen.metrics.molecule_diagnostics import no_judgement
        from manifold_gen.metrics.molecules import evaluate_molecules
        from manifold_gen.plotting.molecule_page import molecule_page
        from manifold_gen.plotting.molecules import molecule_grid

        molecules = drawn.format.decode(drawn.points)
        draws = {"--picture": molecule_grid, "--page": molecule_page}
        lines = [f"{drawn.format.describe(drawn.count)} drawn, written to {target}", _sampled(drawn.settings)]
        for flag, path in flags.items():
            draws[flag](molecules, path)
            lines.append(f"{flag.lstrip('-')} written to {path}")
        remark = no_judgement(drawn.format)
        if remark:
            return Told([*lines, remark], {"molecules": drawn.count, "report": None})
        report = evaluate_molecules(molecules, temperature=_temperature(drawn.settings))
        return Told([*lines, *report.table().splitlines()], {"molecules": drawn.count, "report": report.to_dict()})

    def evaluate(self, asked: Evaluation) -> Told:
        """Shares of what is drawn that pass the checks, and distances from held-out molecules."""
        from manifold_gen.metrics.molecule_diagnostics import asked_rows, draw_molecules
        from manifold_gen.metrics.molecules import composition_match, evaluate_molecules

        flags = asked.flags
        n, relax, bust, bound = (
            whole_number(flags[flag], flag) if flag in flags else usual
            for flag, usual in (("-n", 1000), ("--relax", 0), ("--posebusters", 0), ("--bound", 0))
        )
        settings = knobs(asked.model, flags)
        train, test = (_molecules(asked, part) for part in ("train", asked.split))
        if len(train) > _LARGE:
            asked.note(f"reading the bonds of {len(train):,} training molecules, up to a minute …")
        like = getattr(asked.dataset, asked.split if len(test) else "train")
        drawn = draw_molecules(asked.model, asked.format, n, like=like, seed=asked.seed, **settings)
        # training molecules are no floor of the distance from themselves
        held_out = test if len(test) and asked.split != "train" else None
        told = {"seed": asked.seed, **told_settings(asked.model, settings)}
        report = evaluate_molecules(
            drawn, train, held_out, temperature=_temperature(told), relax=relax, posebusters=bust, seed=asked.seed
        )
        lines = [_sampled(told), *report.table().splitlines()]
        if relax and report.relaxation is None:
            lines.append("none is stable, so there is nothing to relax")
        record = {**report.to_dict(), **told}
        met = (
            None
            if like.context is None
            else composition_match(drawn, asked.format, like.context[asked_rows(like, n, asked.seed)])
        )
        if met is not None:
            lines.append(f"atoms as asked for  {100 * met.value:.1f} ± {100 * met.se:.1f} % of the molecules")
            record["composition"] = met.to_dict()
        if bound:
            said, found = _likelihood(asked, bound)
            lines, record = lines + said, record | found
        return Told(lines, record, not report.not_finite)

    def score(self, asked: Scoring) -> Scores:
        """A lower bound of each molecule's log-likelihood: its elements are kinds, which have no density."""
        from manifold_gen.chemistry import read_molecules, sum_formula
        from manifold_gen.commands.runs import floating_type
        from manifold_gen.metrics.molecules import molecule_bounds

        told = asked.flags.get("--samples")
        samples = asked.model.bound_samples if told is None else whole_number(told, "--samples")
        molecules = read_molecules(asked.file)
        split = asked.format.encode(molecules, floating_type(asked.model))
        bounds = molecule_bounds(asked.model, split, samples=samples, seed=asked.seed).tolist()
        formulae = [sum_formula(numbers.tolist()) for _, numbers in molecules]
        rows = list(zip(formulae, molecules.sizes.tolist(), bounds, strict=True))
        known = [bound for bound in bounds if math.isfinite(bound)]
        mean, lost = sum(known) / len(known) if known else None, len(rows) - len(known)
        said = "" if mean is None else f", mean log-likelihood at least {mean:.2f} nats, by {samples} noises each"
        said = f"{len(rows):,} molecules of {asked.file}{said}, {lost} without a bound"
        record = {"mean_bound": mean, "without_bound": lost, "samples": samples, "seed": asked.seed}
        return Scores(("formula", "atoms", "bound"), rows, said, record)

    def plot(
        self,
        model: SizedModel,
        fmt: MoleculeFormat,
        dataset: Dataset,
        target: Path,
        *,
        count: int | None,
        seed: int,
    ) -> None:
        """Structural formulae of some molecules."""
        from manifold_gen.metrics.molecule_diagnostics import draw_molecules
        from manifold_gen.plotting.molecules import molecule_grid

        drawn = draw_molecules(model, fmt, count or 20, like=dataset.train, seed=seed)
        molecule_grid(drawn, target, most=len(drawn))


MOLECULES = OfMolecules()


def _temperature(settings: Mapping[str, object]) -> float:
    """Of a sampler; one without has that of training."""
    return float(settings.get("temperature", 1.0))


def _sampled(settings: Mapping[str, object]) -> str:
    return "sampled with " + ", ".join(f"{name} {value}" for name, value in settings.items())


def _likelihood(asked: Evaluation, count: int) -> tuple[list[str], dict[str, object]]:
    """The bound for ``count`` held-out molecules and, of a flow that can be inverted, the exact likelihood."""
    from manifold_gen.metrics.molecules import exact_likelihood, likelihood_bound

    held_out = getattr(asked.dataset, asked.split)
    bound = likelihood_bound(asked.model, held_out, count, seed=asked.seed)
    lines, record = [str(bound)], {"bound": bound.to_dict()}
    if hasattr(asked.model.member, "dequantised"):
        exact = exact_likelihood(asked.model, held_out, count, seed=asked.seed)
        lines += ["exact, a molecule, its elements with uniform noise and the law of sizes included:"]
        lines += [f"  {line}" for line in likelihood_lines(exact)]
        record["exact"] = exact.to_dict()
    return lines, record


def _format(dataset: Dataset) -> MoleculeFormat:
    from manifold_gen.data.molecules import MoleculeFormat

    return MoleculeFormat.from_dict(dataset.info["format"])


def _molecules(asked: Evaluation, part: str) -> Molecules:
    """The molecules of one part of the data, all of elements that the model knows."""
    molecules = _format(asked.dataset).decode(getattr(asked.dataset, part))
    asked.format.check_elements(molecules.numbers)
    return molecules
