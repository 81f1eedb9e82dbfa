"""Several models in one process: a training step of k models batched by torch.func, against one model after the other.

Every model has its own weights, wave vectors, batch and random inputs. A step is the loss, its gradient and an update
by AdamW, which acts on each weight alone, so that stacked weights take the same steps. Sizes are those of the quick
budget. A ratio is the median, over repetitions, of (k steps one after the other / one batched step next to them): above
1, batching is faster.

    python experiments/bench_models_at_once.py --out experiments/bench_models_at_once.json
    python experiments/bench_models_at_once.py --device cuda --out at_once_gpu.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from bench_speed import machine
from torch import Tensor
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from manifold_gen.benchmark.budget import BUDGETS
from manifold_gen.manifolds import Manifold, Sphere, Torus
from manifold_gen.models import FlowMatching, FreeFormFlow
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training.step import LossModule

COUNTS = (1, 2, 3, 4, 8)  # the quick budget has three seeds
BATCHES = (512, 32)
MANIFOLDS = (Sphere(2), Torus(2))
METHODS: dict[str, Callable[..., GenerativeModel]] = {
    "flow matching": FlowMatching,
    "free-form flow, exact_encoder": lambda manifold, **sizes: FreeFormFlow(manifold, volume="exact_encoder", **sizes),
    "free-form flow, surrogate": lambda manifold, **sizes: FreeFormFlow(manifold, volume="surrogate", **sizes),
    "free-form flow, inverse": lambda manifold, **sizes: FreeFormFlow(manifold, volume="inverse", **sizes),
}
# torch.func refuses rows that are picked by a condition, which have no fixed shape: here the points that are solved.
UNBATCHED = ("free-form flow, inverse",)
Tensors = dict[str, Tensor]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="spent on each ratio")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    rows = []
    for manifold in MANIFOLDS:
        for method in METHODS:
            for batch in BATCHES if method not in UNBATCHED else ():
                for count in COUNTS:
                    rows.append(measure(method, manifold, count, batch, device, arguments.seconds))
                    print(as_line(rows[-1]), flush=True)
    if arguments.out:
        record = {"machine": {**machine(), "device": device_name(device)}, "threads": 1, "rows": rows}
        arguments.out.write_text(json.dumps({**record, "refused": refusals(device)}, indent=2) + "\n")


def measure(
    method: str, manifold: Manifold, count: int, batch: int, device: torch.device, seconds: float
) -> dict[str, object]:
    """Milliseconds a model of both ways and their ratio."""
    models, batches = prepared(method, manifold, count, batch, device)
    alone, together = one_by_one(models, batches), at_once(Stacked(models), batches)
    alone()
    together()
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(pairs) < 3 or time.perf_counter() < end:
        pairs.append((timed(alone, device), timed(together, device)))
    return {
        "manifold": manifold.spec,
        "method": method,
        "models": count,
        "batch": batch,
        "one_by_one_ms_a_model": round(1e3 * statistics.median(a for a, _ in pairs) / count, 3),
        "at_once_ms_a_model": round(1e3 * statistics.median(b for _, b in pairs) / count, 3),
        "ratio": round(statistics.median(a / b for a, b in pairs), 3),
        "repetitions": len(pairs),
    }


def prepared(
    method: str, manifold: Manifold, count: int, batch: int, device: torch.device
) -> tuple[list[GenerativeModel], list[tuple[Tensor, Tensors]]]:
    """Models of different seeds, and for each a batch with the random inputs of its loss."""
    models = [METHODS[method](manifold, **BUDGETS["quick"].model, seed=seed).to(device) for seed in range(count)]
    batches = []
    for seed, model in enumerate(models):
        generator = torch.Generator(device).manual_seed(seed)
        x = manifold.random_uniform(batch, generator=generator, device=device)
        batches.append((x, model.auxiliary(batch, generator)))
    return models, batches


def one_by_one(models: Sequence[GenerativeModel], batches: Sequence[tuple[Tensor, Tensors]]) -> Callable[[], None]:
    """A step of each model, one after the other."""
    modules = [LossModule(model) for model in models]
    optimisers = [torch.optim.AdamW(module.parameters(), fused=True) for module in modules]

    def step() -> None:
        for module, optimiser, (x, auxiliary) in zip(modules, optimisers, batches, strict=True):
            optimiser.zero_grad()
            module(x, None, auxiliary)[0].backward()
            optimiser.step()

    return step


def at_once(stacked: Stacked, batches: Sequence[tuple[Tensor, Tensors]]) -> Callable[[], None]:
    """The same step on stacked weights."""
    x, auxiliary = stack(batches)
    optimiser = torch.optim.AdamW(stacked.parameters.values(), fused=True)

    def step() -> None:
        _, gradients = stacked.losses_and_gradients(x, auxiliary)
        for name, parameter in stacked.parameters.items():
            parameter.grad = gradients[name]
        optimiser.step()

    return step


class Stacked:
    """Models of one architecture with their weights and buffers in one tensor each, ``(k, …)``."""

    def __init__(self, models: Sequence[GenerativeModel]) -> None:
        modules = [LossModule(model) for model in models]
        parameters, self.buffers = stack_module_state(modules)
        # torch.func differentiates by itself; autograd would record it all a second time
        self.parameters = {name: parameter.detach() for name, parameter in parameters.items()}
        first = modules[0]

        def loss(parameters: Tensors, buffers: Tensors, x: Tensor, auxiliary: Tensors) -> Tensor:
            return functional_call(first, (parameters, buffers), (x, None, auxiliary))[0]

        self._batched = vmap(grad_and_value(loss))

    def losses_and_gradients(self, x: Tensor, auxiliary: Tensors) -> tuple[Tensor, Tensors]:
        """Mean losses ``(k,)`` and gradients, one model a row of ``x`` and of each tensor in ``auxiliary``."""
        gradients, losses = self._batched(self.parameters, self.buffers, x, auxiliary)
        return losses, gradients


def stack(batches: Sequence[tuple[Tensor, Tensors]]) -> tuple[Tensor, Tensors]:
    """The batches of all models as one."""
    auxiliary = {name: torch.stack([drawn[name] for _, drawn in batches]) for name in batches[0][1]}
    return torch.stack([x for x, _ in batches]), auxiliary


def refusals(device: torch.device) -> dict[str, str]:
    """What torch.func says of the losses that it does not batch."""
    said = {}
    for method in UNBATCHED:
        models, batches = prepared(method, MANIFOLDS[0], 2, 32, device)
        try:
            Stacked(models).losses_and_gradients(*stack(batches))
        except RuntimeError as error:
            said[method] = str(error).partition(" Attempting")[0]
    return said


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, on a GPU until it is done; on a processor those of this process."""
    if device.type != "cuda":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def device_name(device: torch.device) -> str:
    """The GPU's name, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def as_line(row: dict[str, object]) -> str:
    """The row as text."""
    return (
        f"{row['manifold']:<10}{row['method']:<31}k = {row['models']}  batch {row['batch']:<5}"
        f"{row['one_by_one_ms_a_model']:>9.2f} ms alone {row['at_once_ms_a_model']:>9.2f} ms at once"
        f"  ratio {row['ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
