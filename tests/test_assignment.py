"""The assignment problem: every permutation tried, SciPy, and the GPU's kernel, read line by line on the processor."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest
import torch

from manifold_gen.assignment import assignment
from manifold_gen.seeds import generator


def gained(gain, columns):
    return gain.gather(-1, columns.unsqueeze(-1)).squeeze(-1).sum(-1)


def greedy(gain):
    """Each row takes the best column that is left: the law below must refuse it."""
    columns = torch.zeros(gain.shape[:2], dtype=torch.int64)
    left = gain.clone()
    for row in range(gain.shape[1]):
        columns[:, row] = left[:, row].argmax(-1)
        left.scatter_(2, columns[:, row].reshape(-1, 1, 1).expand(-1, gain.shape[1], 1), -torch.inf)
    return columns


def is_best(gain, columns):
    """Whether each row of ``columns`` is a permutation that no other one surpasses."""
    n = gain.shape[-1]
    orders = torch.tensor(list(itertools.permutations(range(n))))
    most = gain[:, torch.arange(n), orders].sum(-1).amax(-1)
    is_permutation = (columns.sort(-1).values == torch.arange(n)).all(-1)
    return bool((is_permutation & torch.isclose(gained(gain, columns), most, atol=1e-5)).all())


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_no_other_permutation_gains_more(n, dtype):
    gain = torch.randn(20, n, n, generator=generator(n), dtype=dtype)
    assert is_best(gain, assignment(gain))


def test_the_law_refuses_a_greedy_choice():
    gain = torch.randn(20, 6, 6, generator=generator(0))
    assert not is_best(gain, greedy(gain))


def test_no_matrices_and_no_rows():
    assert assignment(torch.zeros(0, 3, 3)).shape == (0, 3)
    assert assignment(torch.zeros(2, 0, 0)).shape == (2, 0)


KERNEL = """
import torch
from manifold_gen.assignment import assignment
from manifold_gen.assignment_kernel import solve
from manifold_gen.seeds import generator

for n in (1, 2, 5, 9, 18, 29, 31, 32):
    cost = torch.randn(3, n, n, generator=generator(n))
    found, known = solve(cost), assignment(-cost)
    assert torch.equal(found.sort(-1).values, torch.arange(n).expand(3, n)), n
    sums = [cost.gather(-1, columns.unsqueeze(-1)).sum() for columns in (found, known)]
    assert abs(sums[0] - sums[1]) < 1e-4, (n, sums)
tied = solve(torch.zeros(1, 7, 7))
assert torch.equal(tied.sort(-1).values, torch.arange(7).unsqueeze(0)), tied
broken = torch.full((1, 9, 9), torch.nan)
broken[0, :4] = 1.0
assert solve(broken).shape == (1, 9)
print("the kernel is right")
"""


def test_the_kernel_finds_what_scipy_finds_and_ends_on_numbers_that_are_none():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", KERNEL], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "the kernel is right" in done.stdout
