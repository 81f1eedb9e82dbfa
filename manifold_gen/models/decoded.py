r"""The distribution of decoded latents, and its likelihood by inverting the decoder.

A decoder g carries a base density p₀ to the density of x = g(z),

.. math:: \log p(x) = \log p_0(z) - \log|\det Dg(z)|, \qquad z = g^{-1}(x),

the determinant taken between orthonormal tangent frames. An encoder f gives the first guess of z and nothing more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen import calculus, seeds
from manifold_gen.distributions import default_base
from manifold_gen.distributions.base import Distribution, ScoreRecord
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.models import inversion, latent_posterior
from manifold_gen.models.chunks import CHUNK, at_once, in_chunks
from manifold_gen.models.posterior import PosteriorSample
from manifold_gen.models.reverse_sde import observed
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.networks.free_form import FreeFormMap

# Fixed latents that an inversion which fails from the encoder's guess may start from.
STARTS = 1024
# A returned latent agrees with the one that was drawn to so many radians or units; another branch lies further off.
RETURNED = {torch.float32: 1e-2, torch.float64: 1e-4}


class DecodedDistribution(Distribution):
    """What a decoder makes of a base, with an encoder that guesses the way back.

    ``log_prob`` never trusts the encoder: it solves g(z) = x by Newton's method from z = f(x), and gives −inf where
    that fails.

    Args:
        manifold: where data and latents live.
        encoder, decoder: maps of the manifold to itself.
        context: what both are conditioned on.
    """

    def __init__(
        self, manifold: Manifold, encoder: FreeFormMap, decoder: FreeFormMap, context: ContextEmbedding
    ) -> None:
        super().__init__(manifold)
        self.encoder, self.decoder, self.context = encoder, decoder, context
        self.base = default_base(manifold)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Latents f(x), shape as ``x``: one network evaluation."""
        return self.encoder(x, self.context(context))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Points g(z), shape as ``z``: one network evaluation."""
        return self.decoder(z, self.context(context))

    @torch.no_grad()
    def sample(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None, chunk: int = CHUNK
    ) -> Tensor:
        """Draw ``(n, *shape)`` points, decoded ``chunk`` at a time so that memory is bounded."""
        if n < 0:
            raise UsageError(f"cannot draw n = {n} points; n must be 0 or more")
        z = self.base.sample(n, generator=generator)
        return in_chunks(self.decode, z, context, chunk)

    @torch.no_grad()
    def sample_and_log_prob(
        self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Points g(z) of ``n`` latents and log p₀(z) − log|det Dg(z)| ``(n,)``: one Jacobian, nothing to invert.

        It is the density where g is injective, which ``round_trip`` tells.
        """
        z = self.base.sample(n, generator=generator)
        x, matrix = inversion.blockwise_jacobian(self.decoder, self.manifold, z, self.context(context))
        return x, self.base.log_prob(z) - calculus.log_abs_det(matrix)

    def sample_posterior(
        self,
        log_likelihood: Callable[[Tensor], Tensor],
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        least: float = 0.1,
    ) -> PosteriorSample:
        """``n`` weighted points of the density ∝ p(x) exp(log_likelihood(x)), see ``latent_posterior``.

        Args:
            log_likelihood: ``(m, *shape)`` points to ``(m,)`` numbers; −inf where impossible. No gradient is taken.
            n: particles; the more, the nearer to the posterior.
            context: one condition for all of them, one row.
            generator: of every draw.
            least: share of n; a smaller effective sample size is warned of.

        Raises:
            UsageError: fewer than two points, or a likelihood of another shape.
            DataError: the likelihood is zero at all of ``n`` points of the prior, or too narrow.
        """
        return latent_posterior.sample_latents(self, log_likelihood, n, context, generator, least)

    def inpaint(
        self,
        known: Tensor,
        mask: Tensor,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
        tolerance: float = 0.02,
        least: float = 0.1,
    ) -> PosteriorSample:
        """``n`` weighted points whose coordinates in ``mask`` are about those of ``known``, the others given them.

        Args:
            known: one point ``(*shape)``; what it has outside the mask does not matter.
            mask: booleans ``(*shape)``: any coordinates of a flat factor, all or none of a curved one.
            n, context, generator, least: as in ``sample_posterior``.
            tolerance: width of the normal observation that stands for knowing, radians or units.

        Raises:
            UsageError: the mask splits a curved factor, or shapes do not fit.
        """
        seen = observed(self.manifold, known, mask, tolerance)
        return self.sample_posterior(lambda x: seen(x, x.new_zeros(())), n, context, generator, least)

    # ---- likelihood ---------------------------------------------------------------------------------------------

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density in nats, ``(*batch,)``, by inverting the decoder; −inf, with one warning, where that fails.

        Differentiable in ``x`` and in the decoder's parameters through one implicit Newton step.
        """
        record = self.score(x, context)
        failed = int((~record.converged).sum())
        if failed:
            warnings.warn(
                f"the decoder could not be inverted at {failed} of {record.converged.numel()} points, which got −inf; "
                "score() tells which and how far off they are",
                stacklevel=2,
            )
        return record.log_prob

    def score(self, x: Tensor, context: Tensor | None = None, chunk: int = CHUNK) -> ScoreRecord:
        """``log_prob`` with the residual, the convergence and the Newton steps of each point.

        Raises:
            UsageError: points of another shape or precision than the model's, or not finite.
        """
        self._check(x)
        batch = x.shape[: x.dim() - len(self.manifold.shape)]
        rows, chunk = x.reshape(-1, *self.manifold.shape), at_once(self.manifold.shape, chunk)
        context = None if context is None else context.reshape(len(rows), *context.shape[len(batch) :])
        parts = [
            self._score_rows(rows[i : i + chunk], None if context is None else context[i : i + chunk])
            for i in range(0, len(rows), chunk)
        ] or [self._score_rows(rows, context)]
        columns = [torch.cat(column).reshape(batch) for column in zip(*parts, strict=True)]
        return ScoreRecord(*columns)

    def _check(self, x: Tensor) -> None:
        shape, dtypes = self.manifold.shape, {parameter.dtype for parameter in self.decoder.parameters()}
        if tuple(x.shape[max(0, x.dim() - len(shape)) :]) != shape:
            raise UsageError(f"points have shape {tuple(x.shape)}, expected (..., {', '.join(map(str, shape))})")
        if dtypes and x.dtype not in dtypes:
            raise UsageError(f"points are {x.dtype}, the model is {dtypes.pop()}; convert one with .to(...)")
        if not bool(x.isfinite().all()):
            raise UsageError(f"{int((~x.isfinite()).sum())} numbers of the points are NaN or infinite; drop those rows")

    def invert(self, x: Tensor, context: Tensor | None = None) -> inversion.Inverse:
        """Preimages under the decoder, by damped Newton steps from the encoder's guess; ``x`` is ``(n, *shape)``.

        In more than ``inversion.LARGEST_NEWTON_DIM`` dimensions the encoder brings the guess as near as it can first.
        Points that are not reached from there are tried once more, without a context, from the latent of ``STARTS``
        fixed ones that is decoded nearest.

        Points are brought onto the manifold to the last digit first: data that were rounded once (float32 rotations,
        say) lie further off than the tolerance of double precision.
        """
        embedded = self.context(context)
        with torch.no_grad():
            x = self.manifold.projx(x)
        tol, start = self.tolerance(x), self._approached(x, context)
        found = inversion.invert(self.decoder, self.manifold, x, start, embedded, tol=tol)
        return found if embedded is not None else self._again(x, found, tol)

    @torch.no_grad()
    def _again(self, x: Tensor, found: inversion.Inverse, tol: Tensor) -> inversion.Inverse:
        """``found`` with the points that did not converge started elsewhere."""
        rows = (~(found.residual <= tol)).nonzero().squeeze(-1)
        if len(rows) == 0:
            return found
        z = self.base.sample(STARTS, generator=seeds.generator(0, STARTS, device=x.device)).to(x)
        start = z[self.manifold.dist2_matrix(x[rows], self.decoder(z)).argmin(1)]
        second = inversion.invert(self.decoder, self.manifold, x[rows], start, tol=tol[rows])
        solved = second.residual <= tol[rows]
        rows, fields = rows[solved], ("z", "log_det", "residual")
        for name in fields:
            getattr(found, name)[rows] = getattr(second, name)[solved]
        found.steps[rows] += second.steps[solved]
        return found

    def reconstruction_error(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """dist(g(f(x)), x), ``(*batch,)``: how well the encoder alone would do."""
        return self.manifold.dist(self.decode(self.encode(x, context), context), x)

    @torch.no_grad()
    def round_trip(self, n: int, context: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Whether the inversion of g(z) returns z, for ``n`` latents z of the base: ``(n,)`` booleans.

        ∫ exp(log_prob) is the probability that it does.
        """
        z, chunk = self.base.sample(n, generator=generator), at_once(self.manifold.shape)
        returned = []
        for i in range(0, n, chunk):
            rows, here = z[i : i + chunk], None if context is None else context[i : i + chunk]
            found, solved = self._preimages(self.decode(rows, here), here)
            returned.append(solved & (self.manifold.dist(found, rows) <= RETURNED[rows.dtype]))
        return torch.cat(returned)

    def _preimages(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Latents of ``x`` and whether they are, without the Jacobians of ``invert`` where those are dear."""
        tol = self.tolerance(x)
        if self.manifold.dim <= inversion.LARGEST_NEWTON_DIM:
            found = self.invert(x, context)
            return found.z, found.residual <= tol
        z = self._approached(x, context)
        left = (~(self.manifold.dist(self.decode(z, context), x) <= tol)).nonzero().squeeze(-1)
        if len(left):
            z[left] = self.invert(x[left], None if context is None else context[left]).z
        return z, self.manifold.dist(self.decode(z, context), x) <= tol

    def _approached(self, x: Tensor, context: Tensor | None) -> Tensor:
        """The encoder's guesses of latents, brought as near as it can in many dimensions; without gradient."""
        embedded = self.context(context)
        if self.manifold.dim <= inversion.LARGEST_NEWTON_DIM:
            with torch.no_grad():
                return self.encoder(x, embedded)
        return inversion.approach(self.encoder, self.decoder, self.manifold, x, self.tolerance(x), embedded)

    def _score_rows(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = self.invert(x, context)
        converged = found.residual <= self.tolerance(x)
        z, log_det = found.z, found.log_det
        if torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in self.parameters())):
            z, matrix = inversion.differentiable(self.decoder, self.manifold, x, z, self.context(context))
            log_det = calculus.log_abs_det(matrix)
        log_prob = self.base.log_prob(z) - log_det
        return torch.where(converged, log_prob, -torch.inf), found.residual, converged, found.steps

    def tolerance(self, x: Tensor) -> Tensor:
        """Per point: relative to the distance from the origin where the manifold is unbounded."""
        tol = torch.full(x.shape[: x.dim() - len(self.manifold.shape)], inversion.tolerance(x.dtype)).to(x)
        if self.manifold.log_volume < torch.inf:
            return tol
        return tol * self.manifold.dist(self.manifold.origin(1).to(x), x).detach().clamp_min(1.0)

    def log_prob_from_encoder(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The estimate log p₀(f(x)) + log|det Df(x)|, ``(*batch,)``: cheap, and only true where g inverts f.

        Good for watching a training run; never quote it.
        """
        by = calculus.jacobian if torch.is_grad_enabled() else inversion.blockwise_jacobian
        z, matrix = by(self.encoder, self.manifold, x, self.context(context))
        return self.base.log_prob(z) + calculus.log_abs_det(matrix)
