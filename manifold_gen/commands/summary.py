"""What is said about a data set before anything is trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manifold_gen.data import Dataset


def summarise(dataset: Dataset) -> dict[str, object]:
    """Rows, manifold, context and checks of a data set, as plain values."""
    import torch

    x = torch.cat([dataset.train.x, dataset.val.x, dataset.test.x])
    context = dataset.train.context
    return {
        "name": dataset.name,
        "manifold": dataset.manifold.spec,
        "dimension": dataset.manifold.dim,
        "rows": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
        "context": 0 if context is None else context.shape[-1],
        "finite": bool(torch.isfinite(x).all()),
        "largest_deviation": float((dataset.manifold.projx(x) - x).abs().max()),
        "repeated": len(x) - len(torch.unique(x.flatten(1), dim=0)),
        "exact_density": dataset.density is not None,
        "origin": dataset.info.get("origin", ""),
    }


def lines(summary: dict[str, object]) -> list[str]:
    """The summary for people."""
    rows = summary["rows"]
    assert isinstance(rows, dict)
    shown = {
        "manifold": f"{summary['manifold']} (dimension {summary['dimension']})",
        "rows": f"{rows['train']:,} train, {rows['val']:,} val, {rows['test']:,} test",
        "context": f"{summary['context']} columns" if summary["context"] else "none",
        "checks": (
            f"{'all finite' if summary['finite'] else 'NOT FINITE'}, at most {summary['largest_deviation']:.1e} "
            f"off the manifold, {summary['repeated']:,} repeated rows"
        ),
        "density": "known exactly" if summary["exact_density"] else "unknown",
        "origin": summary["origin"],
    }
    return [f"  {name:<9} {text}" for name, text in shown.items() if text]
