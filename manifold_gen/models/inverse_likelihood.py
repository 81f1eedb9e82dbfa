r"""Training by the likelihood that is quoted: the decoder's, at the latent that it maps to the data point.

Newton's method finds z with g(z) = x from the encoder's guess. It is differentiated as the implicit function that it
is, dz = Dg⁻¹ (dx − ∂g), so that the gradient of −log p₀(z) + log|det Dg(z)| is that of the negative log-likelihood
itself, whatever the encoder is worth. The encoder learns to guess better: it is regressed on the latents found, and
never pulls at the decoder.
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

# The residual that is small enough to learn from, and Newton steps for points that chords leave above it. Without
# shortened steps one point in fifteen stayed unsolved, of the steepest places that need the likelihood most.
SOLVED, STEPS, HALVINGS = 1e-4, 4, 2
# |det| below this is no longer rewarded or punished: at such a fold only the fold penalty acts.
SMALLEST_DET = 1e-6
# Share of the batch's median |det| below which a solved latent counts as folded, or nearly. Without this in the seven
# dimensions of RNA's torsions, where latents are not searched for folds, 3 of 1,500 points were lost; with it none.
NEARLY_SINGULAR = 1e-2
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
    nll, folded = _nll(flow, x, z, context, solved)
    terms = {"nll": nll, "reconstruction": weight * distance}
    terms.update(_latent_terms(flow, drawn, context))
    if flow.hyperparameters["fold_penalty"]:
        terms["fold"] = terms.get("fold", 0.0) + flow.hyperparameters["fold_penalty"] * folded
    return terms


def solve_latents(flow: FreeFormFlow, x: Tensor, guess: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Latents z with g(z) ≈ x from ``guess``, and whether they are to be trusted, without gradient."""
    tol = flow.tolerance(x) * (SOLVED / inversion.tolerance(x.dtype))
    g, manifold = flow.decoder, flow.manifold
    z, residual = inversion.chord(g, manifold, x, guess.detach(), tol, context)
    rest = (residual > tol).nonzero().squeeze(-1)
    if len(rest):
        here = None if context is None else context[rest]
        found = inversion.invert(g, manifold, x[rest], z[rest], here, STEPS, tol[rest], HALVINGS)
        z[rest], residual[rest] = found.z, found.residual
    return z, residual <= tol


@torch.no_grad()
def honest_nll(flow: FreeFormFlow, x: Tensor, context: Tensor | None) -> Tensor:
    """Negative log-likelihood, and ``UNSOLVED`` at points without a preimage."""
    record = flow.score(x, context)
    return torch.where(record.converged, -record.log_prob, UNSOLVED)


def _nll(flow: FreeFormFlow, x: Tensor, z: Tensor, context: Tensor | None, solved: Tensor) -> tuple[Tensor, Tensor]:
    """−log p and the fold penalty at the solved latents, 0 elsewhere."""
    rows = solved.nonzero().squeeze(-1)
    here = None if context is None else context[rows]
    latent, matrix = implicit(flow, z[rows], here)
    values = -flow.base.log_prob(latent) + calculus.bounded_log_det(matrix, SMALLEST_DET)
    zero = torch.zeros_like(x.flatten(x.dim() - len(flow.manifold.shape))[..., 0])
    return zero.index_put((rows,), values), zero.index_put((rows,), _folded(matrix))


def _folded(matrix: Tensor) -> Tensor:
    """max(0, 1 − det / ε) of Jacobians ``(n, d, d)``, ε a share of the median |det|."""
    det = calculus.determinant(matrix)
    if len(det) == 0:
        return det
    margin = NEARLY_SINGULAR * det.detach().abs().quantile(0.5)
    return torch.relu(1 - det / margin.clamp_min(torch.finfo(det.dtype).tiny))


def implicit(flow: FreeFormFlow, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """The solved latents and Dg(z) ``(n, d, d)``, with the gradient in the decoder's parameters that they really have.

    The Jacobian that turns a move of g(z) into one of z is the one that the likelihood needs anyway: it is computed
    after z, and used when the gradient comes back. Where it is singular, z counts as held still.
    """
    g, manifold = flow.decoder, flow.manifold
    y = g(z, context)
    image = y.detach()
    step = -manifold.to_coordinates(image, manifold.logmap(image, y))  # zero, with the gradient of −∂g
    known: list[Tensor] = []

    def pulled_back(gradient: Tensor) -> Tensor:
        found = calculus.solve(known[0].mT, gradient)
        return torch.where(found.isfinite().all(-1, keepdim=True), found, 0.0)

    if step.requires_grad:
        step = step.clone()
        step.register_hook(pulled_back)
    latent = manifold.expmap(z, manifold.from_coordinates(z, step))
    matrix = calculus.jacobian(g, manifold, latent, context)[1]
    known.append(matrix.detach())
    return latent, matrix


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
    y, folds = _images_and_folds(flow, z, here)
    errors = flow.manifold.dist2(flow.encoder(y, here), z)
    sizes, terms = [len(part) for part in points.values()], {}
    for (name, stride), error in zip(strides.items(), errors.split(sizes), strict=True):
        terms[f"{name}_reconstruction"] = spread(told[f"{name}_reconstruction"] * error, n, stride)
    if folds is not None:
        parts = zip(strides.values(), folds.split(sizes), strict=True)
        terms["fold"] = sum(spread(told["fold_penalty"] * part, n, stride) for stride, part in parts)
    return terms


def _images_and_folds(flow: FreeFormFlow, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """g(z) without gradient, and by how much det Dg(z) falls short of the margin, where the flow penalises that."""
    if not flow.penalises_folds:
        with torch.no_grad():
            return flow.decoder(z, context), None
    margin = flow.hyperparameters["fold_margin"]
    y, matrix = calculus.jacobian(flow.decoder, flow.manifold, z, context)
    return y.detach(), torch.relu(margin - calculus.determinant(matrix)) / margin


def spread(values: Tensor, n: int, stride: int) -> Tensor:
    """``values`` of every ``stride``-th sample as one entry a sample, with the same mean."""
    full = values.new_zeros(n)
    full[::stride] = values * (n / len(values))
    return full
