"""What is particular to tori: wrapping, the half turn, the lattice of wave vectors."""

from __future__ import annotations

import math

import pytest
import torch

from manifold_gen.errors import CutLocusError, UsageError
from manifold_gen.manifolds import Torus


def test_short_way_round_is_taken_at_full_accuracy(dtype: torch.dtype) -> None:
    m = Torus(2)
    x = torch.tensor([3.0, 1.0], dtype=dtype)
    step = torch.tensor([2e-7, -0.5], dtype=dtype)
    assert torch.equal(m.logmap(torch.zeros(2, dtype=dtype), step), step)
    y = torch.tensor([-3.0, 1.0], dtype=dtype)
    assert math.isclose(float(m.logmap(x, y)[0]), 2 * math.pi - 6, rel_tol=10 * torch.finfo(dtype).eps)


def test_half_turns_are_flagged(dtype: torch.dtype) -> None:
    m = Torus(2)
    x = torch.zeros(3, 2, dtype=dtype)
    y = torch.tensor([[-math.pi, 0.3], [3.1, 3.1], [0.1, math.pi]], dtype=dtype)
    assert m.at_cut_locus(x, y).tolist() == [True, False, True]
    with pytest.raises(CutLocusError, match="2 of 3"):
        m.checked_logmap(x, y)


def test_networks_see_no_seam(dtype: torch.dtype) -> None:
    m = Torus(1)
    edge = torch.tensor([[-math.pi], [math.pi]], dtype=dtype)
    assert float((m.embed(edge)[0] - m.embed(edge)[1]).abs().amax()) <= 2e-7
    assert bool((m.unembed(torch.tensor([[-1.0, 0.0]], dtype=dtype)) < math.pi).all())


@pytest.mark.parametrize(("n", "degree"), [(1, 5.0), (2, 4.0), (3, 2.5)])
def test_wave_vectors_are_half_of_the_ball(n: int, degree: float) -> None:
    top = math.floor(degree)
    axes = torch.meshgrid(*[torch.arange(-top, top + 1)] * n, indexing="ij")
    lattice = torch.stack(axes, -1).reshape(-1, n)
    inside = int((lattice.float().norm(dim=-1) <= degree).sum()) - 1
    waves = Torus(n).wave_vectors(degree, 10_000)
    assert len(waves) == inside // 2
    both = torch.cat([waves, -waves])
    assert len(torch.unique(both, dim=0)) == inside
    lengths = waves.norm(dim=-1)
    assert bool((lengths[1:] >= lengths[:-1]).all())


def test_wave_vectors_of_many_angles_begin_with_single_harmonics() -> None:
    waves = Torus(7).wave_vectors(3.0, 100)
    assert waves.shape == (100, 7)
    support = (waves != 0).sum(-1)
    assert support[:21].tolist() == [1] * 21
    assert support[21:].tolist() == [2] * 79
    assert float(waves[21:63].norm(dim=-1).amax()) == pytest.approx(math.sqrt(2))
    assert len(torch.unique(torch.cat([waves, -waves]), dim=0)) == 200


def test_no_wave_fits_below_degree_one() -> None:
    assert Torus(2).wave_vectors(0.5, 10).shape == (0, 2)


def test_no_dimension_below_one() -> None:
    with pytest.raises(UsageError, match="at least one angle, got 0"):
        Torus(0)
