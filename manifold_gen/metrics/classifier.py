"""The classifier two-sample test: how well a network tells samples from data on points that it was not trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from manifold_gen import seeds
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.metrics.base import Estimate, check_samples, share_estimate, subsample
from manifold_gen.networks.features import WaveFeatures

_WIDTH, _BATCH, _RATE, _DECAY = 32, 128, 1e-2, 1e-2
_DEGREE, _WAVES = 6.0, 64


def c2st(
    manifold: Manifold,
    x: Tensor,
    y: Tensor,
    seed: int = 0,
    *,
    folds: int = 5,
    steps: int = 200,
    maximum: int = 2000,
) -> Estimate:
    r"""Accuracy on held-out points of a classifier between two samples: 1/2 for equal distributions, 1 for disjoint.

    Both samples are cut to n = min(len(x), len(y), maximum) points and split into ``folds`` parts with equally many of
    either. Each part is classified by a network that was trained on the other parts only, standardised by them only,
    for a fixed number of steps: nothing is chosen by looking at the held-out part. No classifier does better than
    (1 + TV)/2 on average, TV the total variation distance, so the value is a lower bound of that.

    The error is √(2 a (1 − a) / 2n) with Agresti and Coull's a: twice the variance of independent answers, because
    what two folds share by chance counts twice, once when either trains. That is needed between equal distributions
    (tests measure the spread over draws) and too much where the classifier is far from chance.

    Args:
        manifold: gives the features: the embedding and its waves.
        x, y: samples ``(n, *shape)`` and ``(m, *shape)``.
        seed: of the draw, the folds, the batches and the initial weights.
        folds: number of parts.
        steps: of the optimiser.
        maximum: largest number of points of each sample.

    Raises:
        UsageError: wrong shapes, fewer than two folds, or fewer than four points of a sample per fold.
        DataError: points that are not finite.

    Source: Lopez-Paz and Oquab, ICLR 2017, section 3.

    >>> from manifold_gen.manifolds import Torus
    >>> x = torch.linspace(-1, 1, 40).unsqueeze(1)
    >>> c2st(Torus(1), x, x + 2.1, steps=50).value
    1.0
    """
    if folds < 2:
        raise UsageError(f"folds must be at least 2, got {folds}")
    check_samples(manifold, 4 * folds, x=x, y=y)
    n = min(len(x), len(y), maximum)
    points = torch.cat([subsample(x, n, seed), subsample(y, n, seed + 1)]).detach().to(torch.float32)
    labels = torch.arange(2 * n, device=points.device) >= n
    with torch.no_grad():
        features = WaveFeatures(manifold, _DEGREE, _WAVES, seed).to(points.device)(points)
    part = _parts(n, folds, seed).to(points.device)
    share = share_estimate(_held_out_answers(features, labels, part, folds, steps, seed) == labels)
    return Estimate(share.value, math.sqrt(2) * share.se)


def _parts(n: int, folds: int, seed: int) -> Tensor:
    """The fold of each of the 2n points: equally many of either sample in each fold, but for one."""
    orders = [torch.randperm(n, generator=seeds.generator(seed, 2, side)) for side in (0, 1)]
    return torch.cat([order % folds for order in orders])


def _held_out_answers(features: Tensor, labels: Tensor, part: Tensor, folds: int, steps: int, seed: int) -> Tensor:
    """For each point, whether the network of its fold takes it for a point of the second sample."""
    generator = seeds.generator(seed, 3)
    train = [(part != fold).nonzero().squeeze(1) for fold in range(folds)]
    mean = torch.stack([features[rows].mean(0) for rows in train]).unsqueeze(1)
    scale = torch.stack([features[rows].std(0) for rows in train]).unsqueeze(1).clamp_min(1e-6)
    weights = _initial_weights(folds, features.shape[1], generator, features)
    optimiser = torch.optim.AdamW(weights, lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.stack([own[torch.randint(len(own), (_BATCH,), generator=generator)] for own in train])
            logits = _logits(weights, (features[rows] - mean) / scale)
            # Summed over the networks: each has its own gradient, as if trained alone.
            loss = F.binary_cross_entropy_with_logits(logits, labels[rows].float(), reduction="none").mean(1).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    answers = torch.zeros_like(labels)
    with torch.no_grad():
        for fold in range(folds):
            held = part == fold
            own = [w[fold : fold + 1] for w in weights]
            answers[held] = _logits(own, (features[held] - mean[fold]) / scale[fold])[0] > 0
    return answers


def _initial_weights(folds: int, inputs: int, generator: torch.Generator, like: Tensor) -> list[Tensor]:
    """Two hidden layers for each fold, ``(folds, in, out)`` and their biases, variance 1/in; the last starts at 0."""
    weights = []
    for fan_in, fan_out in ((inputs, _WIDTH), (_WIDTH, _WIDTH), (_WIDTH, 1)):
        size = 0.0 if fan_out == 1 else fan_in**-0.5
        weights.append(size * torch.randn(folds, fan_in, fan_out, generator=generator))
        weights.append(torch.zeros(folds, 1, fan_out))
    return [w.to(like).requires_grad_() for w in weights]


def _logits(weights: list[Tensor], x: Tensor) -> Tensor:
    """Output ``(folds, rows)`` of every fold's network on its own ``(folds, rows, features)`` or on shared rows."""
    h = F.silu(torch.baddbmm(weights[1], x.expand(len(weights[0]), -1, -1), weights[0]))
    h = F.silu(torch.baddbmm(weights[3], h, weights[2]))
    return torch.baddbmm(weights[5], h, weights[4]).squeeze(-1)
