"""The bundled set: what it holds, that it is pinned, that its density is the truth."""

import hashlib
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from manifold_gen.data import load_dataset, locations, ramachandran

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data():
    return load_dataset("ramachandran", dtype=torch.float64)


def whole(data):
    return torch.cat([data.train.x, data.val.x, data.test.x])


def test_alpha_helix_is_the_maximum():
    counts = ramachandran.ramachandran_counts()
    phi, psi = (-180 + 4 * int(i) for i in np.unravel_index(int(counts.argmax()), (90, 90)))
    assert (phi, psi) == (-64, -44)
    assert phi < 0
    assert psi < 0
    assert int(counts.sum()) == 100_816


def test_few_residues_have_positive_phi(data):
    # Left-handed conformations are rare: exchanged axes would put the β region (ψ > 0) here.
    x = whole(data)
    assert (x[:, 0] > 0).double().mean() < 0.15
    assert (x[:, 1] > 0).double().mean() > 0.4


def test_points_are_the_counts(data):
    x = whole(data)
    edges = np.radians(np.linspace(-180, 180, 91))
    found = np.histogram2d(x[:, 0].numpy(), x[:, 1].numpy(), bins=[edges, edges])[0]
    assert np.array_equal(found, ramachandran.ramachandran_counts().numpy())
    assert x.min() >= -math.pi
    assert x.max() < math.pi


def test_jitter_is_uniform_in_its_bin(data):
    inside = torch.remainder(torch.rad2deg(whole(data)) + 180, 4) / 4
    cells = torch.histc(inside[:, 0], 20, 0, 1), torch.histc(inside[:, 1], 20, 0, 1)
    expected = len(inside) / 20
    for count in cells:  # chi-square with 19 degrees of freedom: p = 1e-4 at 50.8
        assert float(((count - expected) ** 2 / expected).sum()) < 50.8


def test_density_is_exact_and_its_entropy_known(data):
    log_prob = data.density.log_prob(whole(data))
    assert float(-log_prob.mean()) == pytest.approx(1.2604, abs=5e-5)
    counts = ramachandran.ramachandran_counts().double()
    share = (counts / counts.sum())[counts > 0]
    entropy = -(share * (share / math.radians(4) ** 2).log()).sum()
    assert float(entropy) == pytest.approx(float(-log_prob.mean()), abs=1e-9)


def test_float32_points_stay_in_their_bins(data):
    single = load_dataset("ramachandran")
    assert single.train.x.dtype == torch.float32
    exact, rounded = data.density.log_prob(data.train.x), single.density.log_prob(single.train.x)
    assert float((exact - rounded).abs().max()) < 1e-5


def test_draw_is_pinned(data):
    # Only sums, products and integer operations: the same bits everywhere.
    assert (
        hashlib.sha256(data.train.x.numpy().tobytes()).hexdigest()
        == "14e7c1bc401c9c3bdda0ef2cbdf465e74722ae1144568ec267807d2e3e513d2a"
    )


def test_split_seed_changes_the_split_and_not_the_points():
    one, two = (load_dataset("ramachandran", split_seed=seed, dtype=torch.float64) for seed in (0, 1))
    assert not torch.equal(one.test.x, two.test.x)
    ordered = [np.sort(whole(d)[:, 0].numpy()) for d in (one, two)]
    assert np.array_equal(*ordered)


def test_format_is_degrees_of_phi_and_psi(data):
    assert data.info["format"]["columns"] == ["phi", "psi"]
    assert data.info["format"]["units"] == "degrees"
    assert {"origin", "licence", "sha256"} <= data.info.keys()


def test_bundled_file_is_what_the_note_says():
    note = (ROOT / "datasets" / "ramachandran" / "README.md").read_text(encoding="utf-8")
    assert locations.sha256(locations.bundled("ramachandran/counts.npy")) == ramachandran.COUNTS_SHA256
    assert ramachandran.COUNTS_SHA256 in note


def test_recipe_refuses_another_array(tmp_path):
    spec = importlib.util.spec_from_file_location("derive", ROOT / "datasets" / "derive_ramachandran.py")
    derive = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(derive)
    np.save(tmp_path / "other.npy", np.zeros((90, 90)))
    with pytest.raises(ValueError, match="sha256"):
        derive.derive(tmp_path / "other.npy", tmp_path / "counts.npy")
    assert not (tmp_path / "counts.npy").exists()
