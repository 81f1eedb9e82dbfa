r"""Training by the likelihood that is quoted: the decoder's, at the latent that it maps to the data point.

Newton's method finds z with g(z) = x from the encoder's guess, and one more step makes it differentiable, so that the
gradient of −log p₀(z) + log|det Dg(z)| is that of the negative log-likelihood itself, whatever the encoder is worth.
The encoder learns to guess better: it is regressed on the latents found, and never pulls at the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from manifold_gen import calculus
from manifold_gen.models import inversion

if TYPE_CHECKING:
    from manifold_gen.models.free_form_flow import FreeFormFlow

# Newton steps of a training step, and the residual that the last, differentiable one makes small enough. Without
# shortened steps one point in fifteen stayed unsolved, of the steepest places that need the likelihood most.
STEPS, HALVINGS, SOLVED = 4, 2, 1e-3
# |det| below this is no longer rewarded or punished: at such a fold only the fold penalty acts.
SMALLEST_DET = 1e-6
# Nats that a point without a preimage counts for in the validation loss.
UNSOLVED = 10.0


def inverse_losses(
    flow: FreeFormFlow, x: Tensor, context: Tensor | None, drawn: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The terms of ``FreeFormFlow.losses`` with the decoder's volume at solved latents; ``context`` is embedded."""
    guess = flow.encoder(x, context)
    z, solved = solve_latents(flow, x, guess, context)
    weight = flow.hyperparameters["reconstruction"]
    distance = torch.where(solved, flow.manifold.dist2(guess, z), _misses(flow, x, guess, context, ~solved))
    terms = {"nll": _nll(flow, x, z, context, solved), "reconstruction": weight * distance}
    terms.update(_latent_terms(flow, drawn, context))
    return terms


def solve_latents(flow: FreeFormFlow, x: Tensor, guess: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Latents z with g(z) ≈ x from ``guess``, and whether they are to be trusted, without gradient."""
    tol = flow.tolerance(x) * (SOLVED / inversion.tolerance(x.dtype))
    found = inversion.invert(flow.decoder, flow.manifold, x, guess.detach(), context, STEPS, tol, HALVINGS)
    return found.z, found.residual <= tol


@torch.no_grad()
def honest_nll(flow: FreeFormFlow, x: Tensor, context: Tensor | None) -> Tensor:
    """Negative log-likelihood, and ``UNSOLVED`` at points without a preimage."""
    record = flow.score(x, context)
    return torch.where(record.converged, -record.log_prob, UNSOLVED)


def _nll(flow: FreeFormFlow, x: Tensor, z: Tensor, context: Tensor | None, solved: Tensor) -> Tensor:
    rows = solved.nonzero().squeeze(-1)
    here = None if context is None else context[rows]
    latent, matrix = inversion.differentiable(flow.decoder, flow.manifold, x[rows], z[rows], here)
    values = -flow.base.log_prob(latent) + calculus.bounded_log_det(matrix, SMALLEST_DET)
    return torch.zeros_like(x.flatten(x.dim() - len(flow.manifold.shape))[..., 0]).index_put((rows,), values)


def _misses(flow: FreeFormFlow, x: Tensor, guess: Tensor, context: Tensor | None, missed: Tensor) -> Tensor:
    """dist²(g(f(x)), x) where no preimage was found, 0 elsewhere."""
    rows = missed.nonzero().squeeze(-1)
    distance = torch.zeros_like(missed, dtype=x.dtype)
    if len(rows) == 0:
        return distance
    back = flow.decoder(guess[rows], None if context is None else context[rows])
    return distance.index_put((rows,), flow.manifold.dist2(back, x[rows]))


def _latent_terms(flow: FreeFormFlow, drawn: Mapping[str, Tensor], context: Tensor | None) -> dict[str, Tensor]:
    """Folds and the encoder's errors at latents of the base, and at those that the encoder gives the proposal."""
    told, n = flow.hyperparameters, len(drawn["latent"])
    strides = {"latent": told["latent_stride"], "proposal": told["proposal_stride"]}
    if not told["proposal_reconstruction"]:
        del strides["proposal"]
    points = {name: drawn[name][::stride] for name, stride in strides.items()}
    here = None
    if context is not None:
        here = torch.cat([context[::stride] for stride in strides.values()])
    if "proposal" in points:
        with torch.no_grad():
            proposed = None if here is None else here[len(points["latent"]) :]
            points["proposal"] = flow.encoder(points["proposal"], proposed)
    z = torch.cat(list(points.values()))
    y, matrix = calculus.jacobian(flow.decoder, flow.manifold, z, here)
    short = torch.relu(told["fold_margin"] - calculus.determinant(matrix)) / told["fold_margin"]
    errors = flow.manifold.dist2(flow.encoder(y.detach(), here), z)
    terms, sizes = {}, [len(part) for part in points.values()]
    folds = short.split(sizes)
    for (name, stride), error in zip(strides.items(), errors.split(sizes), strict=True):
        terms[f"{name}_reconstruction"] = spread(told[f"{name}_reconstruction"] * error, n, stride)
    terms["fold"] = sum(
        spread(told["fold_penalty"] * part, n, stride) for part, stride in zip(folds, strides.values(), strict=True)
    )
    return terms


def spread(values: Tensor, n: int, stride: int) -> Tensor:
    """``values`` of every ``stride``-th sample as one entry a sample, with the same mean."""
    full = values.new_zeros(n)
    full[::stride] = values * (n / len(values))
    return full
