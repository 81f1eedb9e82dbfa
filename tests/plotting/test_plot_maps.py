import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from manifold_gen.data.base import Dataset, Split
from manifold_gen.distributions import Uniform, VonMisesProduct, default_base
from manifold_gen.distributions.base import Distribution
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import SO3, Euclidean, Sphere, Torus
from manifold_gen.plotting import choose, plot, plot_rotations, plot_sphere, register
from manifold_gen.plotting.earth import longitude_latitude
from manifold_gen.plotting.rotations import canonical_view, tilt_colours


def test_places_of_known_points():
    x = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0], [math.sqrt(0.5), 0, -math.sqrt(0.5)]])
    longitude, latitude = np.degrees(longitude_latitude(x, "x"))
    assert longitude == pytest.approx([0, 90, 0, -90, 0], abs=1e-4)
    assert latitude == pytest.approx([0, 0, 90, 0, -45], abs=1e-4)


def test_the_map_shows_the_density_where_it_is():
    peak = torch.tensor([0.0, math.cos(0.5), math.sin(0.5)])  # 90° E, 28.6° N
    figure = plot_sphere(lambda x: 20 * (x @ peak), resolution=90)
    (mesh,) = figure.axes[0].collections[:1]
    values = np.asarray(mesh.get_array()).reshape(90, 180)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert (column + 0.5) * 2 - 180 == pytest.approx(90, abs=2)
    assert (row + 0.5) * 2 - 90 == pytest.approx(math.degrees(0.5), abs=2)


def test_the_canonical_view_rebuilds_the_rotation():
    turns = Rotation.random(200, rng=np.random.default_rng(0))
    longitude, latitude, tilt = canonical_view(torch.as_tensor(turns.as_matrix()), "x")
    rebuilt = Rotation.from_euler("ZYX", np.stack([longitude, -latitude, tilt], 1))
    assert (rebuilt * turns.inv()).magnitude().max() < 1e-10


def test_the_circle_of_colours_closes_and_a_turn_of_360_degrees_keeps_its_colour():
    colours = tilt_colours()
    assert colours(0.0) == pytest.approx(colours(1.0))
    x = torch.as_tensor(Rotation.from_rotvec([[math.pi - 1e-3, 0, 0], [-math.pi + 1e-3, 0, 0]]).as_matrix())
    dots = plot_rotations(x).axes[0].collections[0]
    dots.update_scalarmappable()
    one, other = dots.get_facecolors()
    assert np.abs(one - other).max() < 0.02
    assert dots.get_clim() == (-180, 180)


def data_on(manifold, n=60):
    x = Uniform(manifold).sample(n, generator=torch.Generator().manual_seed(0))
    return Dataset("uniform", manifold, Split(x), Split(x[:10]), Split(x[:10]))


@pytest.mark.parametrize("manifold", [Torus(2), Torus(3), Torus(1), Sphere(2), SO3()], ids=str)
def test_every_manifold_with_a_picture_gets_its_own(manifold, tmp_path):
    model = Uniform(manifold)
    first = plot(model, data_on(manifold), tmp_path / "a.png", samples=50, seed=3)
    second = plot(model, data_on(manifold), tmp_path / "b.png", samples=50, seed=3)
    assert first is not second
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("manifold", [Sphere(3), Euclidean(2)], ids=str)
def test_a_manifold_without_a_picture_is_told_so(manifold):
    x = manifold.origin(5)
    with pytest.raises(UsageError, match="there is no figure for"):
        plot(default_base(manifold), Dataset("origin", manifold, Split(x), Split(x), Split(x)))


def test_a_registered_picture_is_used(monkeypatch):
    monkeypatch.setattr(choose, "_PICTURES", dict(choose._PICTURES))
    register("torus", lambda log_density, dataset, samples: plot_rotations(torch.eye(3).expand(len(samples), 3, 3)))
    figure = plot(Uniform(Torus(2)), data_on(Torus(2)), samples=5)
    assert figure.axes[0].name == "mollweide"


class Turned(Distribution):
    """A von Mises angle pair around the context."""

    def sample(self, n, context=None, generator=None):
        around = VonMisesProduct(torch.zeros(2), torch.full((2,), 8.0)).sample(n, generator=generator)
        return self.manifold.projx(around + context)

    def log_prob(self, x, context=None):
        return VonMisesProduct(torch.zeros(2), torch.full((2,), 8.0)).log_prob(x - context)


def test_a_conditional_model_is_drawn_under_the_contexts_of_the_data():
    context = torch.tensor([[-2.0, 1.0], [1.0, -1.5]])[torch.arange(200) % 2]
    x = Torus(2).projx(context + 0.1 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))
    split = Split(x, context)
    data = Dataset("turned", Torus(2), split, split, split, info={"format": {"columns": ["phi", "omega"]}})
    panel = plot(Turned(Torus(2)), data, samples=100).axes[1]
    image = panel.images[0].get_array()
    centres = np.degrees((np.arange(90) + 0.5) * 4 * math.pi / 180 - math.pi)
    for phi, omega in np.degrees([[-2.0, 1.0], [1.0, -1.5]]):
        row, column = np.abs(centres - omega).argmin(), np.abs(centres - phi).argmin()
        assert image[row, column] > image.max() - 1.5  # both peaks are there
    assert panel.get_xlabel() == "φ (degrees)"
    dots = panel.lines[0].get_xydata()
    near = [(np.abs(dots - place) < 60).all(1).mean() for place in np.degrees([[-2.0, 1.0], [1.0, -1.5]])]
    assert min(near) > 0.3
