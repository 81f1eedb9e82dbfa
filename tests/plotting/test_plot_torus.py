import math

import numpy as np
import pytest
import torch

from manifold_gen.distributions import VonMisesProduct
from manifold_gen.errors import UsageError
from manifold_gen.plotting import plot_torus, regions


def angles(n=4000, seed=0):
    """Three bumps, one of them across the edge ψ = ±180°."""
    g = torch.Generator().manual_seed(seed)
    centre = torch.tensor([[-1.1, -0.7], [-1.5, 3.0], [1.0, 0.7]])[torch.randint(0, 3, (n,), generator=g)]
    x = centre + torch.tensor([0.25, 0.35]) * torch.randn(n, 2, generator=g)
    return torch.remainder(x + math.pi, 2 * math.pi) - math.pi


def log_density(x):
    """Two independent von Mises angles with κ = 2, normalised."""
    return (2.0 * torch.cos(x) - math.log(2 * math.pi * float(torch.i0(torch.tensor(2.0))))).sum(-1)


@pytest.mark.parametrize("compare", [False, True])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_axes_are_ramachandran_axes(scale, compare):
    x = angles()
    figure = plot_torus(log_density, samples=x[:200], data=x, scale=scale, compare=compare, resolution=60)
    panels, bar = figure.axes[:-1], figure.axes[-1]
    assert len(panels) == 1 + compare
    for ax in panels:
        assert ax.get_xlim() == (-180, 180)
        assert ax.get_ylim() == (-180, 180)
        assert list(ax.get_xticks()) == list(ax.get_yticks()) == [-180, -120, -60, 0, 60, 120, 180]
        assert ax.get_aspect() == 1
    assert panels[0].get_xlabel() == "φ (degrees)"
    assert ("nats" if scale == "log" else "rad⁻²") in bar.get_ylabel()


def test_colours_show_the_density_the_right_way_up():
    figure = plot_torus(lambda x: 3 * torch.cos(x[:, 0] - 1.0) + 3 * torch.cos(x[:, 1] + 2.0), resolution=90)
    image = figure.axes[0].images[0].get_array()
    row, column = np.unravel_index(image.argmax(), image.shape)
    centres = regions.cell_centres(90)
    assert abs(centres[column] - 1.0) < 0.05  # φ along x
    assert abs(centres[row] + 2.0) < 0.05  # ψ along y


def test_a_distribution_and_its_log_density_give_the_same_picture():
    mean, kappa = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 5.0])
    truth = VonMisesProduct(mean, kappa)
    one, other = (
        plot_torus(density, resolution=40).axes[0].images[0].get_array() for density in (truth, truth.log_prob)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)  # a distribution is evaluated in double precision


def test_smoothed_density_is_periodic_and_normalised():
    x = angles().numpy().astype(float)
    density = regions.smoothed_density(x, 90)
    assert density.sum() * (2 * math.pi / 90) ** 2 == pytest.approx(1.0, abs=1e-9)
    moved = regions.smoothed_density(np.remainder(x + math.pi + 0.4 * math.pi, 2 * math.pi) - math.pi, 90)
    assert np.allclose(np.roll(density, (18, 18), (0, 1)), moved, atol=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.98, 0.9995])
def test_a_level_of_the_data_encloses_its_share(share):
    x = angles(20_000).numpy().astype(float)
    density = regions.smoothed_density(x, 180)
    (level,) = regions.levels_of_data(density, x, [share])
    index = np.floor((x + math.pi) / (2 * math.pi) * 180).astype(int) % 180
    inside = np.mean(density[index[:, 1], index[:, 0]] >= level)  # by cell, not interpolated: close, not equal
    assert inside == pytest.approx(share, abs=0.004 if share < 0.99 else 4e-4)


def test_a_level_of_a_known_density_encloses_its_mass_in_closed_form():
    # normal with σ = 0.4, narrow enough for the torus to be a plane: mass{p ≥ t} = 1 − exp(−r²/2), t = p(0)·exp(−r²/2)
    centres = regions.cell_centres(720)
    density = np.exp(-(centres[:, None] ** 2 + centres**2) / (2 * 0.4**2)) / (2 * math.pi * 0.4**2)
    for share, level in zip((0.98, 0.9995), regions.levels_of_mass(density), strict=True):
        assert level == pytest.approx((1 - share) * density.max(), rel=0.02)


def test_fresh_points_of_the_same_distribution_fall_inside():
    fit, fresh = angles(20_000, 0).numpy(), angles(20_000, 1).numpy()
    density = regions.smoothed_density(fit.astype(float), 180)
    level = regions.levels_of_data(density, fit)[0]
    index = np.floor((fresh + math.pi) / (2 * math.pi) * 180).astype(int) % 180
    # six standard errors of a binomial share: 6·√(0.98·0.02/20000) = 0.006
    assert np.mean(density[index[:, 1], index[:, 0]] >= level) == pytest.approx(0.98, abs=0.008)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "cubic"}, "'log' or 'linear'"),
        ({"compare": True}, "pass data="),
        ({"samples": torch.zeros(4, 3)}, r"\(4, 3\)"),
        ({"data": torch.zeros(0, 2)}, "N at least 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        plot_torus(log_density, resolution=20, **arguments)
