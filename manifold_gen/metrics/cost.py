"""What a model costs: time per sample and per likelihood, evaluations of its network, parameters."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from manifold_gen import seeds
from manifold_gen.distributions.base import Distribution, Sampler
from manifold_gen.errors import UsageError
from manifold_gen.metrics.base import Estimate


@torch.no_grad()
def sampling_seconds(
    model: Sampler, n: int = 1000, *, context: Tensor | None = None, repeats: int = 5, seed: int = 0, **settings: object
) -> Estimate:
    """Seconds per sample when ``n`` are drawn at once; ``settings`` go to ``model.sample`` (``solver``, ``steps``).

    The median of ``repeats`` runs after one that is not counted, on one thread. On the processor it is the process's
    own time, which other programs do not lengthen; on a GPU it is wall time, waited for.

    Raises:
        UsageError: fewer than two repeats, or ``n`` below 1.
    """
    device = _device(model)

    def draw() -> None:
        model.sample(n, context, seeds.generator(seed, device=device), **settings)

    return _seconds(draw, n, repeats, device)


@torch.no_grad()
def likelihood_seconds(
    model: Distribution, x: Tensor, context: Tensor | None = None, *, repeats: int = 5, **settings: object
) -> Estimate:
    """Seconds per point of ``model.log_prob(x)``, measured as in ``sampling_seconds``.

    Raises:
        UsageError: fewer than two repeats, or no points.
    """
    return _seconds(lambda: model.log_prob(x, context, **settings), len(x), repeats, _device(model))


@torch.no_grad()
def network_evaluations(
    model: Sampler, n: int = 16, *, context: Tensor | None = None, seed: int = 0, **settings: object
) -> int:
    """Evaluations of the network that one call of ``model.sample`` makes for each sample.

    Counted, not declared: how often the busiest layer with parameters is called, by forward hooks. A chain of k
    networks called once each is one evaluation; one network called k times is k. A model without parameters in layers,
    such as a mixture, makes none.

    Args:
        model: any sampler.
        n: samples drawn; few, so that no model draws them in parts. An adaptive solver takes the steps that the
            hardest of them needs.
        context: ``(n, c)`` where the model takes one.
        seed: of the draw.
        settings: go to ``model.sample``.
    """
    calls: Counter[int] = Counter()

    def count(layer: nn.Module, *_: object) -> None:
        calls[id(layer)] += 1

    layers = [layer for layer in model.modules() if any(True for _ in layer.parameters(recurse=False))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        model.sample(n, context, seeds.generator(seed, device=_device(model)), **settings)
    finally:
        for handle in handles:
            handle.remove()
    return max(calls.values(), default=0)


def parameters(model: nn.Module) -> int:
    """Number of trainable parameters, each shared one counted once.

    >>> parameters(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _seconds(run: Callable[[], object], points: int, repeats: int, device: torch.device) -> Estimate:
    """Median and its error, 1.2533 · 1.4826 · MAD / √repeats: both bear with a run that something interrupted."""
    if repeats < 2 or points < 1:
        raise UsageError(f"timing needs at least 2 repeats and 1 point, got {repeats} and {points}")
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    taken = []
    with one_thread():
        for _ in range(repeats + 1):
            start = clock()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(clock() - start)
    # quantile, not median: that takes the lower of the two middle ones.
    seconds = torch.tensor(taken[1:], dtype=torch.float64) / points
    middle = seconds.quantile(0.5)
    spread = 1.4826 * (seconds - middle).abs().quantile(0.5)
    return Estimate(float(middle), float(math.sqrt(math.pi / 2) * spread / math.sqrt(repeats)))


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on a single thread within the block: what a time per sample can be compared by."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(model: nn.Module) -> torch.device:
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
