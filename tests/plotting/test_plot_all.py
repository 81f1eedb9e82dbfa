"""What holds for every figure: no warning, letters that can be read, and matplotlib left as it was."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from manifold_gen.errors import DataError, MissingExtraError, RunFolderError, UsageError
from manifold_gen.plotting import (
    plot_angle_pairs,
    plot_rotations,
    plot_sphere,
    plot_torus,
    plot_training,
    save_figure,
    style,
)


def generator():
    return torch.Generator().manual_seed(0)


def unit_vectors(n=300):
    x = torch.randn(n, 3, generator=generator())
    return x / x.norm(dim=-1, keepdim=True)


def rotations(n=300):
    q, r = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator(), dtype=torch.float64))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return q * torch.linalg.det(q)[:, None, None].sign() ** torch.tensor([1, 0, 0])  # first column turned where det < 0


def angles(n=300, dims=2):
    return (torch.rand(n, dims, generator=generator()) * 2 - 1) * math.pi


RECORDS = [
    {
        "step": s,
        "nll": 0.5 - s / 60,
        "proposal_reconstruction": 10.0 ** (-s / 30),
        "latent_reconstruction": 3.0 ** (-s / 9),
        "split": "train",
        "lr": 1e-3,
    }
    for s in range(0, 100, 2)
] + [
    {"step": s, "split": "val", "nll": 0.6 - s / 60, "latent_reconstruction": 3.0 ** (-s / 9)}
    for s in range(0, 100, 20)
]

FIGURES = {
    "torus": lambda: plot_torus(lambda x: x.cos().sum(-1), samples=angles(), data=angles(), resolution=40),
    "torus compared": lambda: plot_torus(lambda x: x.cos().sum(-1), data=angles(), compare=True, resolution=40),
    "sphere": lambda: plot_sphere(lambda x: 3 * x[:, 2], samples=unit_vectors(), data=unit_vectors(), resolution=30),
    "rotations": lambda: plot_rotations(rotations(), data=rotations()),
    "three angles": lambda: plot_angle_pairs(angles(dims=3), data=angles(dims=3), resolution=30),
    "one angle": lambda: plot_angle_pairs(angles(dims=1)),
    "training": lambda: plot_training(RECORDS),
}


@pytest.mark.parametrize("kind", FIGURES)
def test_figures_are_written_without_a_warning_and_leave_no_trace(kind, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = FIGURES[kind]()
        png, pdf = save_figure(figure, tmp_path / "new" / "a.png"), save_figure(figure, tmp_path / "a.pdf")
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert pdf.read_bytes()[:4] == b"%PDF"
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("kind", FIGURES)
def test_no_letter_is_smaller_than_seven_points_and_none_leaves_the_page(kind):
    from matplotlib.text import Text

    with style.styled():
        figure = FIGURES[kind]()
        figure.canvas.draw()
        drawn = figure.get_tightbbox()  # inches, of all that is visible
        width, height = figure.get_size_inches()
        assert width <= style.PAGE
        assert min(drawn.x0, drawn.y0) > -0.005
        assert drawn.x1 < width + 0.005
        assert drawn.y1 < height + 0.005
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                assert text.get_fontsize() >= 7


def test_two_writes_of_one_figure_are_the_same_bytes(tmp_path):
    first = save_figure(FIGURES["torus"](), tmp_path / "a.pdf").read_bytes()
    assert save_figure(FIGURES["torus"](), tmp_path / "b.pdf").read_bytes() == first


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunFolderError, match="cannot write the figure"):
        save_figure(FIGURES["training"](), tmp_path / "file" / "a.png")


def test_missing_matplotlib_names_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install manifold-gen\[plot\]"):
        plot_rotations(rotations())


def test_matplotlib_is_imported_by_the_first_figure_and_pyplot_never():
    code = """
import sys, torch, manifold_gen.plotting as plotting
assert "matplotlib" not in sys.modules
plotting.plot_sphere(lambda x: x[:, 2], resolution=9).canvas.draw()
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def lab(colours):
    """CIE L*a*b* of sRGB colours ``(N, 3)``."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    xyz = linear @ to_xyz / (np.ones(3) @ to_xyz)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def test_density_colours_grow_darker_in_even_steps_of_what_the_eye_sees():
    colours = lab(style.density_colours()(np.arange(256))[:, :3])
    assert np.diff(colours[:, 0]).max() < 0
    steps = np.linalg.norm(np.diff(colours, axis=0), axis=1)
    assert steps.min() > 0.4 * steps.mean()
    assert steps.max() < 2.0 * steps.mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_sphere(lambda x: x[:, 2], data=torch.zeros(4, 2)), r"\(4, 2\)"),
        (lambda: plot_sphere(lambda x: x[:, 2], scale="cubic"), "'log' or 'linear'"),
        (lambda: plot_rotations(torch.zeros(4, 9)), r"\(4, 9\)"),
        (lambda: plot_angle_pairs(angles(dims=3), data=angles(dims=2)), "3 angles and data 2"),
        (lambda: plot_angle_pairs(torch.zeros(0, 3)), "at least 1"),
    ],
)
def test_wrong_points_are_named(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_metrics_are_read_up_to_a_line_cut_by_a_crash(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "nll": 2.0}\n{"step": 2, "nll": 1.0}\n{"step": 3, "nl')
    (line,) = plot_training(tmp_path).axes[0].lines
    assert line.get_xydata().tolist() == [[1, 2], [2, 1]]
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "nl\n{"step": 2, "nll": 1.0}\n')
    with pytest.raises(DataError, match="line 1"):
        plot_training(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        plot_training(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="nothing to draw"):
        plot_training([{"step": 1, "nll": math.nan}])


def test_terms_of_the_loss_keep_their_own_names():
    top, bottom = plot_training(RECORDS).axes
    assert [line.get_label() for line in top.lines] == ["nll", "val nll"]
    assert [line.get_label() for line in bottom.lines] == [
        "proposal_reconstruction",
        "latent_reconstruction",
        "val latent_reconstruction",
    ]
    assert (top.get_yscale(), bottom.get_yscale()) == ("linear", "log")
    assert top.lines[0].get_color() == top.lines[1].get_color()


def test_a_term_that_is_zero_throughout_is_named_and_a_likelihood_stays_linear():
    (top, bottom) = plot_training([{"step": s, "nll": 2.0 / s, "fold": 0.0} for s in range(1, 50)]).axes
    assert (top.get_yscale(), top.lines[0].get_label()) == ("linear", "nll")
    assert bottom.lines[0].get_label() == "fold: 0"
