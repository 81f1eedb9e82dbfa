"""Piecewise constant densities, batched families and the SO(3) mixtures."""

import math

import pytest
import torch
from scipy import stats

from manifold_gen.distributions import (
    Mixture,
    TorusHistogram,
    VonMisesFisher,
    WrappedNormal,
    so3_checkerboard,
    so3_mixture,
    sphere_checkerboard,
    torus_checkerboard,
)
from manifold_gen.manifolds import SO3, PoincareBall, Sphere
from manifold_gen.seeds import generator

BOARDS = {"torus": torus_checkerboard, "sphere": sphere_checkerboard, "so3": so3_checkerboard}


@pytest.mark.parametrize("name", BOARDS)
def test_half_of_a_checkerboard_is_filled_and_its_cells_have_equal_volume(name):
    """Uniform points fall on all cells alike (chi-squared), and the density is 2 / vol on half of them."""
    board = BOARDS[name]()
    cells = board.counts.numel()
    assert int(board.counts.sum()) * 2 == cells
    x = board.manifold.random_uniform(40_000, generator=generator(0))
    assert stats.chisquare(torch.bincount(board.cell(x), minlength=cells).numpy()).pvalue > 1e-5
    density = board.log_prob(x)
    filled = torch.isfinite(density)
    torch.testing.assert_close(
        density[filled], torch.full_like(density[filled], math.log(2) - board.manifold.log_volume)
    )
    assert board.entropy() == pytest.approx(board.manifold.log_volume - math.log(2))


@pytest.mark.parametrize("name", BOARDS)
def test_neighbouring_cells_differ(name):
    """On every axis, and across the seam of every angle."""
    counts = BOARDS[name]().counts
    for axis in range(counts.dim()):
        turned = counts.roll(1, axis)
        if axis == 1 and name != "torus":  # heights do not wrap
            counts_inside, turned = (
                counts.narrow(axis, 1, counts.shape[axis] - 1),
                turned.narrow(axis, 1, counts.shape[axis] - 1),
            )
            assert bool((counts_inside != turned).all())
        else:
            assert bool((counts != turned).all())


@pytest.mark.parametrize("name", BOARDS)
def test_charts_invert(name):
    board = BOARDS[name]()
    c = torch.rand(1000, board.manifold.dim, generator=generator(1), dtype=torch.float64)
    torch.testing.assert_close(board.to_cube(board.from_cube(c)), c, rtol=0, atol=1e-12)


def test_samples_fill_cells_by_their_counts(dtype):
    counts = torch.tensor([[5, 0, 1], [2, 2, 0]])
    d = TorusHistogram(counts, lower=-1.0).to(dtype)
    x = d.sample(20_000, generator=generator(2))
    seen = torch.bincount(d.cell(x), minlength=6)
    assert seen[1] == 0
    assert seen[5] == 0
    expected = counts.flatten() / counts.sum() * 20_000
    full = expected > 0
    assert stats.chisquare(seen[full].numpy(), expected[full].double().numpy()).pvalue > 1e-5
    assert float(-d.log_prob(x).mean()) == pytest.approx(d.entropy(), abs=0.02)


def test_a_fine_histogram_never_scores_its_own_samples_as_impossible():
    """A third of the cells is empty and the cells are only 2,000 rounding steps wide in float32."""
    counts = (torch.arange(10_000) % 3 > 0).long()
    d = TorusHistogram(counts)
    assert bool(torch.isfinite(d.log_prob(d.sample(200_000, generator=generator(3)))).all())


def test_a_histogram_scores_its_cell_edges_as_lower_edges():
    d = TorusHistogram(torch.tensor([1, 2, 3, 4]))
    edges = torch.tensor([[-math.pi], [-math.pi / 2], [0.0], [math.pi / 2]], dtype=torch.float64)
    assert d.cell(edges).tolist() == [0, 1, 2, 3]


def test_members_of_a_family_are_evaluated_together(dtype):
    manifold = SO3()
    centres = manifold.random_uniform(5, generator=generator(4), dtype=dtype)
    scales = torch.rand(5, 3, generator=generator(5), dtype=dtype) * 0.3 + 0.1
    family = WrappedNormal(manifold, centres, scales)
    x = manifold.random_uniform(7, generator=generator(6), dtype=dtype)
    together = family.log_prob(x.unsqueeze(1))
    alone = torch.stack([WrappedNormal(manifold, c, s).log_prob(x) for c, s in zip(centres, scales, strict=True)], 1)
    torch.testing.assert_close(together, alone)
    assert family.sample(4).shape == (4, 5, 3, 3)


def test_draws_come_from_the_member_that_was_asked():
    family = VonMisesFisher(torch.eye(3), 1e4)
    x = family.draw(torch.tensor([2, 0, 0, 1]), generator(0))
    assert x.argmax(-1).tolist() == [2, 0, 0, 1]


def test_responsibilities_are_the_posterior_of_the_members():
    """Two equal caps at opposite poles: log odds 2κ cos θ + log of the ratio of weights."""
    d = Mixture(VonMisesFisher([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], [3.0, 3.0]), [math.log(4.0), 0.0])
    x = Sphere(2).random_uniform(5, generator=generator(0))
    share = d.responsibilities(x)
    torch.testing.assert_close(torch.logit(share[:, 0]), 6 * x[:, 2] + math.log(4.0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(share.sum(-1), torch.ones(5))


@pytest.mark.parametrize("k", [16, 32, 64])
def test_so3_mixtures_have_the_published_entropy(k):
    """3.683 − log k for components that do not overlap, within the error of k precisions and 8,000 points."""
    d = so3_mixture(k)
    x = d.sample(8000, generator=generator(0))
    score = d.log_prob(x)
    precision_spread = 1.5 * 0.1 / math.sqrt(k)  # 3/2 · sd(log Gamma(100)) averaged over k precisions
    overlap = 0.06 * k / 64  # components that meet lose a little
    error = 4 * math.hypot(precision_spread, float(score.std()) / math.sqrt(8000)) + overlap
    assert abs(float(score.mean()) - (3.683 - math.log(k))) < error


def test_so3_mixtures_average_to_the_published_entropy():
    mixtures = [so3_mixture(16, seed) for seed in range(24)]
    scores = [d.log_prob(d.sample(1000, generator=generator(1, i))).mean() for i, d in enumerate(mixtures)]
    means = torch.stack(scores)
    assert abs(float(means.mean()) - (3.683 - math.log(16))) < 4 * float(means.std()) / math.sqrt(24) + 0.01


def test_so3_mixtures_are_functions_of_their_seed():
    assert torch.equal(so3_mixture(4, 1).components.loc, so3_mixture(4, 1).components.loc)
    assert not torch.equal(so3_mixture(4, 1).components.loc, so3_mixture(4, 2).components.loc)


def test_hyperbolic_densities_are_computed_in_double():
    """Far out, a float32 evaluation would lose the density altogether."""
    manifold = PoincareBall(2)
    far = manifold.expmap(manifold.origin(dtype=torch.float64), torch.tensor([2.0, 0.0], dtype=torch.float64))
    d = WrappedNormal(manifold, far.float(), 0.1)
    exact = WrappedNormal(manifold, far.float().double(), torch.tensor(0.1).double())
    x = d.sample(20, generator=generator(0))
    torch.testing.assert_close(d.log_prob(x).double(), exact.log_prob(x.double()), rtol=1e-6, atol=1e-6)


def test_a_context_changes_nothing():
    d = VonMisesFisher([0.0, 0.0, 1.0], 2.0)
    x = Sphere(2).random_uniform(3)
    assert torch.equal(d.log_prob(x, torch.ones(3, 1)), d.log_prob(x))
