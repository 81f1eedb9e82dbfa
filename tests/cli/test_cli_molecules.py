"""Molecules from the command line, as a chemist types it: fit, sample, look, evaluate."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
import torch
from calling import ENVIRONMENT, ROOT, call, check_failure

import manifold_gen as mg
from manifold_gen.chemistry import Molecules, read_molecules, write_molecules
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.metrics.molecules import molecule_bounds

SMALL = ["model.width=16", "model.pair_width=8", "model.depth=1"]
TINY = [*SMALL, "--steps", "12", "--batch-size", "16", "--device", "cpu"]
WATER = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
METHANE = 0.63 * torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


@pytest.fixture(scope="module")
def chemicals(tmp_path_factory):
    """A file of 30 waters and 30 methanes, a little bent."""
    path = tmp_path_factory.mktemp("chemicals") / "chemicals.xyz"
    noise = torch.Generator().manual_seed(0)
    kinds = [(WATER, torch.tensor([8, 1, 1])), (METHANE, torch.tensor([6, 1, 1, 1, 1]))] * 30
    write_molecules(path, Molecules.join([(x + 0.01 * torch.randn(x.shape, generator=noise), z) for x, z in kinds]))
    return path


@pytest.fixture(scope="module")
def made(chemicals):
    """A small run on ``chemicals``; the text beside it is what ``fit`` said."""
    folder = chemicals.parent / "molecules"
    done = call("fit", "--data", chemicals, *TINY, "--out", folder)
    assert done.code == 0, done.err
    (chemicals.parent / "molecules.txt").write_text(done.out)
    return folder


def test_fit_says_what_the_data_are_and_what_comes_next(made, chemicals):
    said = (made.parent / "molecules.txt").read_text()
    for words in ('name = "endpoint-flow"', "48 train, 6 val, 6 test", "3 to 5, mean 4.0", "H, C, O"):
        assert words in said
    assert "dimension" not in said
    assert "strict success" in said
    assert f"manifold-gen sample {made} -n 1000 -o molecules.sdf" in said
    found = json.loads((made / "diagnostics.json").read_text())
    assert found["molecules"]["count"] == 100
    assert found["failures"] == []
    record = json.loads(call("fit", "--data", chemicals, "--dry-run", "--json").out)
    assert record["data"]["atoms"] == {"least": 3, "mean": 4.0, "most": 5}


def test_sample_writes_what_rdkit_and_we_read_with_picture_and_page(made, tmp_path):
    files = [tmp_path / name for name in ("m.sdf", "m.png", "m.html")]
    knobs = ["--steps", "6", "--noise", "0.25", "--temperature", "0.9", "--seed", "3"]
    done = call("sample", made, "-n", "40", "-o", files[0], "--picture", files[1], "--page", files[2], *knobs)
    assert done.code == 0, done.err
    for words in (
        "40 molecules of H, C, O",
        "seed 3, steps 6, noise 0.25, temperature 0.9",
        "at sampling temperature 0.9",
        "strict success",
        "±",
        "m.png",
        "m.html",
    ):
        assert words in done.out
    molecules = read_molecules(files[0])
    assert set(molecules.sizes.tolist()) <= {3, 5}
    assert files[1].read_bytes()[:4] == b"\x89PNG"
    assert files[2].read_text().startswith("<!DOCTYPE html>")
    again = tmp_path / "again.sdf"
    assert call("sample", made, "-n", "40", "-o", again, *knobs).code == 0
    assert again.read_bytes() == files[0].read_bytes()
    check_failure(call("sample", made, "-o", tmp_path / "x.sdf", "--page", files[2]), 74, "exists", "--overwrite")


def test_a_temperature_of_the_model_is_said_wherever_its_molecules_are_judged(chemicals, tmp_path):
    folder = tmp_path / "cold"
    done = call("fit", "--data", chemicals, *TINY, "model.temperature=0.8", "--out", folder)
    assert "sampling temperature 0.8" in done.out
    assert json.loads((folder / "diagnostics.json").read_text())["molecules"]["temperature"] == 0.8
    done = call("evaluate", folder, "-n", "10", "--steps", "2", "--json")
    assert json.loads(done.out)["temperature"] == 0.8


def test_sample_of_one_size_and_as_json(made, tmp_path):
    done = call("sample", made, "-n", "6", "-o", tmp_path / "m.xyz", "--atoms", "4", "--steps", "3", "--json")
    record = json.loads(done.out)
    assert (record["molecules"], record["steps"], record["report"]["count"]) == (6, 3, 6)
    assert read_molecules(tmp_path / "m.xyz").sizes.tolist() == [4] * 6


def test_what_the_sampler_does_not_know_is_told(made, run, tmp_path):
    check_failure(call("sample", made, "-o", tmp_path / "m.csv"), 2, "'.csv'", ".sdf, .xyz, .smi")
    check_failure(call("sample", run, "-o", tmp_path / "x.sdf"), 2, "'.sdf'", ".csv")
    check_failure(call("sample", run, "-o", tmp_path / "x.csv", "--noise", "0.5"), 2, "free-form-flow", "no noise")
    check_failure(call("sample", run, "-o", tmp_path / "x.csv", "--atoms", "5"), 2, "--atoms", "leave it out")
    check_failure(call("sample", run, "-o", tmp_path / "x.csv", "--page", tmp_path / "x.html"), 2, "--page")
    check_failure(call("sample", made, "-o", tmp_path / "m.sdf", "--noise", "2"), 2, "noise is 2")
    check_failure(call("sample", made, "-o", tmp_path / "m.sdf", "--temperature", "0"), 2, "temperature is 0.0")
    check_failure(call("sample", run, "-o", tmp_path / "x.csv", "--temperature", "0.5"), 2, "no temperature")
    check_failure(call("sample", made, "-o", tmp_path / "m.sdf", "--noise", "much"), 2, "'much'", "number")
    check_failure(call("sample", made, "-o", tmp_path / "m.sdf", "--atoms", "1"), 2, "at least 2")
    check_failure(call("sample", made, "-o", tmp_path / "m.sdf", "--context", "1"), 2, "without context")
    check_failure(call("evaluate", run, "--relax", "5"), 2, "--relax", "leave it out")
    assert list(tmp_path.iterdir()) == []


def test_evaluate(made):
    done = call("evaluate", made, "-n", "30", "--steps", "4", "--relax", "2", "--bound", "2", "--posebusters", "2")
    assert done.code == 0, done.err
    for words in (
        "negative log-likelihood at most",
        "a bound, by 2 molecules",
        "on chemicals, test part",
        "steps 4",
        "strict success",
        "novel among unique",
        "sampling temperature 1",
        "distance from 6 molecules",
        "floor: 30 training molecules",
        "relax",
        "PoseBusters passed, of 2",
        "20 s of processor time",
    ):
        assert words in done.out
    knobs = ["--steps", "2", "--noise", "0", "--temperature", "0.8"]
    record = json.loads(call("evaluate", made, "-n", "20", *knobs, "--bound", "3", "--json").out)
    assert (record["count"], record["steps"], record["noise"], record["temperature"]) == (20, 2, 0, 0.8)
    assert 0 <= record["strict"]["value"] <= 1
    assert record["comparison"] is not None
    assert record["bound"]["count"] == 3
    assert record["bound"]["se"] > 0


def test_evaluate_on_what_was_trained_on_shows_no_floor(made):
    done = call("evaluate", made, "-n", "10", "--steps", "2", "--split", "train")
    assert done.code == 0, done.err
    assert "distance from 48 molecules" in done.out
    assert "no floor" in done.out


def test_data_of_other_elements_are_refused(made, tmp_path):
    ammonia = (METHANE[:4], torch.tensor([7, 1, 1, 1]))
    write_molecules(tmp_path / "other.xyz", Molecules.join([ammonia] * 20))
    done = call("evaluate", made, "--data", tmp_path / "other.xyz", "-n", "5", "--steps", "2")
    check_failure(done, 66, "hold N", "H, C, O", "fit a model")


def test_score_bounds_the_likelihood_of_each_molecule(made, chemicals, tmp_path):
    done = call("score", made, chemicals, "-o", tmp_path / "scores.csv", "--samples", "4")
    assert done.code == 0, done.err
    assert "60 molecules" in done.err
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert list(rows[0]) == ["formula", "atoms", "bound"]
    assert [row["formula"] for row in rows] == ["H2O", "CH4"] * 30
    # the rows are the bounds of the model itself, which a shuffled file would not have
    model, molecules = mg.load(made), read_molecules(chemicals)
    split = MoleculeFormat((1, 6, 8), scale=1.0).encode(molecules)
    expected = molecule_bounds(model, split, samples=4)
    assert torch.allclose(torch.tensor([float(row["bound"]) for row in rows]), expected, rtol=1e-4)
    assert expected[::2].mean() != pytest.approx(float(expected[1::2].mean()), rel=0.01)


def test_score_of_what_the_model_does_not_know(made, run, tmp_path):
    both = Molecules.join([(WATER, torch.tensor([8, 1, 1])), (METHANE[:4], torch.tensor([6, 1, 1, 1]))])
    write_molecules(tmp_path / "two.xyz", both)
    record = json.loads(call("score", made, tmp_path / "two.xyz", "--json", "--samples", "2").out)
    assert [row["bound"] == "-inf" for row in record["scores"]] == [False, True]  # four atoms never occurred
    assert record["without_bound"] == 1
    assert record["mean_bound"] == record["scores"][0]["bound"]
    ammonia = Molecules.join([(METHANE[:4], torch.tensor([7, 1, 1, 1]))])
    write_molecules(tmp_path / "other.xyz", ammonia)
    check_failure(call("score", made, tmp_path / "other.xyz"), 66, "hold N", "H, C, O")
    check_failure(call("score", made, tmp_path / "two.xyz", "--project"), 2, "--project", "leave it out")
    check_failure(call("score", run, tmp_path / "two.xyz", "--samples", "3"), 2, "--samples", "leave it out")


def test_plot(made, tmp_path):
    assert call("plot", made, "-o", tmp_path / "some.png", "-n", "4").code == 0
    assert (tmp_path / "some.png").read_bytes()[:4] == b"\x89PNG"
    check_failure(call("plot", made, "-o", tmp_path / "some.pdf"), 2, "'.pdf'", ".png, .svg")


def test_elements_without_known_bonds_are_fitted_drawn_and_not_judged(tmp_path):
    sulphide = (1.3 * WATER, torch.tensor([16, 1, 1]))
    write_molecules(tmp_path / "s.xyz", Molecules.join([sulphide] * 20))
    done = call("fit", "--data", tmp_path / "s.xyz", *TINY, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "H, C, N, O and F alone" in done.out
    done = call("sample", tmp_path / "run", "-n", "5", "--steps", "2", "-o", tmp_path / "drawn.xyz")
    assert done.code == 0, done.err
    assert "not judged" in done.out
    assert len(read_molecules(tmp_path / "drawn.xyz")) == 5
    check_failure(call("evaluate", tmp_path / "run", "-n", "5", "--steps", "2"), 66, "S")


def test_a_model_of_another_kind_is_refused(chemicals, tmp_path):
    done = call("fit", "--data", chemicals, "--model", "moser-flow", "--steps", "2", "--out", tmp_path / "run")
    check_failure(done, 2, "choose endpoint-flow")
    check_failure(call("fit", "--data", chemicals, "--manifold", "torus", "--dry-run"), 2, "data.manifold")


@pytest.mark.parametrize("model", ["flow-matching", "free-form-flow"])
def test_other_models_are_fitted_and_drawn_from_alike(model, chemicals, tmp_path):
    run, small = tmp_path / "run", ["model.width=8", "model.depth=1", "--steps", "6", "--batch-size", "16"]
    done = call("fit", "--data", chemicals, "--model", model, *small, "--device", "cpu", "--out", run)
    assert done.code == 0, done.err
    done = call("sample", run, "-n", "5", "-o", tmp_path / "some.xyz")
    assert done.code == 0, done.err
    assert len(read_molecules(tmp_path / "some.xyz")) == 5
    done = call("evaluate", run, "-n", "5", "--bound", "2")
    if model == "flow-matching":
        check_failure(done, 2, "endpoint-flow and free-form-flow do")
        return
    assert done.code == 0, done.err
    for words in ("negative log-likelihood at most", "law of sizes included", "unconverged  0 of 2", "by round trips"):
        assert words in done.out


def test_qm9_by_name_conditioned_on_a_property(tmp_path):
    """Properties go in and out in their own units."""
    run = tmp_path / "run"
    done = call("fit", "--data", "qm9", "data.max_heavy=4", 'data.properties=["gap"]', *TINY, "--out", run)
    assert done.code == 0, done.err
    for words in ("context   gap", "H, C, N, O", "strict success"):
        assert words in done.out
    target = tmp_path / "m.xyz"
    check_failure(call("sample", run, "-n", "3", "--steps", "2", "-o", target), 2, "--context gap")
    assert call("sample", run, "-n", "3", "--steps", "2", "--context", "6.5", "-o", target).code == 0
    assert torch.allclose(read_molecules(target).properties["target_gap"], torch.full((3,), 6.5), atol=1e-4)
    done = call("evaluate", run, "-n", "8", "--steps", "2")
    assert done.code == 0, done.err


def test_a_composition_is_asked_for_and_decides_the_number_of_atoms(tmp_path):
    run, target = tmp_path / "run", tmp_path / "m.xyz"
    told = ["fit", "--data", "qm9", "data.max_heavy=3", 'data.properties=["H","C","N","O"]', *TINY]
    assert call(*told, "--out", run).code == 0
    done = call("sample", run, "-n", "3", "--steps", "2", "--context", "4,1,0,1", "-o", target)
    assert done.code == 0, done.err
    molecules = read_molecules(target)
    assert molecules.sizes.tolist() == [6, 6, 6]
    assert torch.allclose(molecules.properties["target_C"], torch.ones(3), atol=1e-4)
    check_failure(call("sample", run, "-n", "1", "--context", "4,1,0,0.5", "-o", tmp_path / "a.xyz"), 2, "whole")
    conflict = ["--context", "4,1,0,1", "--atoms", "7", "-o", tmp_path / "b.xyz"]
    check_failure(call("sample", run, "-n", "1", *conflict), 2, "the composition has 6")
    done = call("evaluate", run, "-n", "20", "--steps", "2", "--json")
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)["composition"]["value"] <= 1
    unknown = ["fit", "--data", "qm9", "data.max_heavy=3", 'data.properties=["weight"]', *TINY, "--out", tmp_path / "c"]
    check_failure(call(*unknown), 66, "weight")


def test_qm9_is_listed_as_missing_without_its_package():
    code = (
        "import sys, importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *more: None if name == 'qm9pack' else find(name, *more); "
        "from manifold_gen.cli import main; sys.exit(main(['datasets', 'qm9']))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "no: the package qm9pack carries them: pip install 'manifold-gen[molecules]'" in done.stdout
    listed = call("datasets").out.splitlines()
    assert [line.split()[3] for line in listed if line.startswith("qm9 ")] == ["yes"]


def test_without_rdkit_the_fit_is_kept_and_sampling_says_what_is_missing(made, chemicals, tmp_path):
    code = "import sys; sys.modules['rdkit'] = None; from manifold_gen.cli import main; sys.exit(main(sys.argv[1:]))"
    run = [sys.executable, "-c", code]
    options = {"env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": 120}
    fitted = subprocess.run([*run, "fit", "--data", chemicals, *TINY, "--out", tmp_path / "run"], **options)
    assert fitted.returncode == 0, fitted.stderr
    assert "pip install 'manifold-gen[molecules]'" in fitted.stdout
    drawn = subprocess.run([*run, "evaluate", made, "-n", "3", "--steps", "2"], **options)
    assert drawn.returncode == 1
    assert "pip install 'manifold-gen[molecules]'" in drawn.stderr
    assert "Traceback" not in drawn.stderr


@pytest.mark.parametrize("recipe", ["cpu", "gpu"])
def test_the_recipes_run_to_their_end_on_small_molecules(recipe, tmp_path):
    """What needs a GPU is replaced by what a processor has; everything else is as the file says."""
    config = ROOT / "experiments" / "qm9" / f"{recipe}.toml"
    here = ["--device", "cpu", "--precision", "float32", "training.compile=false", "training.batch_size=32"]
    short = ["data.max_heavy=5", "--steps", "4", "training.eval_every=2", "model.steps=4"]
    done = call("fit", "-c", config, *here, *short, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert call("fit", "--resume", tmp_path / "run").code == 0
    done = call("evaluate", tmp_path / "run", "-n", "8", "--steps", "2", "--bound", "4")
    assert done.code == 0, done.err
    assert "strict success" in done.out
