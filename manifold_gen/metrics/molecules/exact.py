"""The exact likelihood of held-out molecules under a flow that can be inverted, with the evidence that it is one."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from manifold_gen import seeds
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.metrics.likelihood import LikelihoodReport, of_record, round_trip_integral

if TYPE_CHECKING:
    from manifold_gen.models.sized import SizedModel

ROUND_TRIPS = 400  # where all return, enough to know the integral to ±0.005
_ROWS, _NOISE = 0, 2  # streams of random numbers


@torch.no_grad()
def exact_likelihood(
    model: SizedModel, split: RaggedSplit, count: int = 1000, *, round_trips: int = ROUND_TRIPS, seed: int = 0
) -> LikelihoodReport:
    """−log p(n) − log p(x + u | n) of ``count`` molecules, in double precision: nats, positions in ångström.

    u is one uniform noise for each molecule on its one-hot features, of which the model has a density; the same number
    is an estimate of an upper bound of the negative log-likelihood of the molecules with their elements as kinds, for
    elements of size 1.

    Args:
        model: a family of free-form flows.
        split: held-out molecules; ``count`` of them are drawn at random, all where it has no more.
        count: how many.
        round_trips: latents by which the integral of the density is estimated.
        seed: of the choice, the noise and the latents.

    Raises:
        UsageError: the model has no density of dequantised molecules.
    """
    if not hasattr(model.member, "dequantised"):
        raise UsageError(f"{type(model.member).__name__} has no exact density of molecules; free-form-flow has")
    rows = torch.randperm(len(split), generator=seeds.generator(seed, _ROWS))[:count].sort().values
    model = copy.deepcopy(model).to(torch.float64).eval()
    device = model.counts.device
    chosen = split.take(rows).to(dtype=torch.float64, device=device)
    noisy = model.member.dequantised(chosen.x, seeds.generator(seed, _NOISE, device=device))
    record = model.score(replace(chosen, x=noisy))
    return of_record(record, round_trip_integral(model, chosen, round_trips, seed))
