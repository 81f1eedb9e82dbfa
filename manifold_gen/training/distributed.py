"""The processes of one run: one alone, or several started by ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from manifold_gen.errors import UsageError


@dataclass(frozen=True)
class World:
    """Rank of this process, number of processes and rank on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and the progress line."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This process's contiguous rows of a global batch of ``count``."""
        if count % self.size:
            raise UsageError(
                f"a batch of {count} rows cannot be shared equally by {self.size} processes; "
                f"choose a batch size that is a multiple of {self.size} and at most the number of training rows"
            )
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def add(self, values: Tensor) -> Tensor:
        """Sum of ``values`` over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def broadcast_bytes(self, data: bytes, device: torch.device) -> bytes:
        """The first process's bytes, in every process."""
        if self.size == 1:
            return data
        length = torch.tensor([len(data)], device=device)
        dist.broadcast(length, 0)
        buffer = torch.empty(int(length), dtype=torch.uint8, device=device)
        if self.leads:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(buffer, 0)
        return buffer.cpu().numpy().tobytes()

    def largest(self, values: Sequence[int], device: torch.device) -> list[int]:
        """The largest of each value over the processes."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, device=device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return shared.tolist()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called ``name``; ``"auto"`` is CUDA where there is one, one device a process."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"training.device is {name!r}, expected auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device is 'cuda', but this torch sees no CUDA device; use device = 'cpu' or 'auto'")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", local_rank)
    return device


@contextmanager
def joined(device_name: str) -> Iterator[tuple[World, torch.device]]:
    """Join the process group that ``torchrun`` announces in the environment, if it does, and leave it at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = choose_device(device_name, local_rank)
    if size == 1:
        yield World(), device
        return
    own = not dist.is_initialized()
    if own:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), local_rank), device
    finally:
        if own:
            dist.destroy_process_group()
