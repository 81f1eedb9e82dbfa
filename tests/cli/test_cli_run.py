"""From fit to figures on one small run, every command for real."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from calling import ENVIRONMENT, OF_FILE, SMALL, call, check_failure

import manifold_gen as mg


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_fit_writes_a_run_folder_and_says_what_it_did(run):
    record = json.loads((run.parent / "fit.json").read_text())
    assert record["steps"] == 120
    assert record["settings"]["training"]["steps"] == 120
    assert record["data"]["rows"]["train"] == 240
    assert record["diagnostics"] == json.loads((run / "diagnostics.json").read_text())
    for name in ("config.toml", "metrics.jsonl", "environment.json", "model.safetensors", "manifest.json"):
        assert (run / name).stat().st_size > 0


def test_resume_of_a_finished_run_needs_nothing_else(run):
    before = (run / "model.safetensors").read_bytes()
    done = call("fit", "--resume", run)
    assert done.code == 0, done.err
    assert "diagnostics" in done.out
    assert f"manifold-gen evaluate {run}" in done.out
    assert (run / "model.safetensors").read_bytes() == before
    check_failure(call("fit", "--resume", run, "--steps", "5"), 2, "--resume", "leave out")


def test_sample_then_score_in_the_columns_and_units_of_the_data(run, tmp_path):
    points, scores = tmp_path / "x.csv", tmp_path / "scores.csv"
    assert call("sample", run, "-n", "5e2", "-o", points).code == 0
    rows = table(points)
    assert list(rows[0]) == ["phi", "psi"]
    values = np.array([[float(row["phi"]), float(row["psi"])] for row in rows])
    assert values.shape == (500, 2)
    assert np.abs(values).max() > 90  # degrees
    done = call("score", run, points, "-o", scores)
    assert done.code == 0, done.err
    scored = table(scores)
    assert list(scored[0]) == ["log_prob", "residual", "converged"]
    # each row is the density of the model at that point, in radians
    model = mg.load(run).to(torch.float64)
    expected = model.log_prob(torch.from_numpy(np.radians(values)))
    got = torch.tensor([float(row["log_prob"]) for row in scored], dtype=torch.float64)
    # the file has nine digits
    assert torch.allclose(got, expected, atol=1e-4)
    assert {row["converged"] for row in scored} == {"1"}


def test_score_to_standard_output_and_as_json(run, tmp_path):
    points = tmp_path / "x.csv"
    points.write_text("psi,phi\n-40,-65\n135,-120\n")
    done = call("score", run, points)
    assert done.out.splitlines()[0] == "log_prob,residual,converged"
    assert len(done.out.splitlines()) == 3
    record = json.loads(call("score", run, points, "--json").out)
    assert [row["converged"] for row in record["scores"]] == [True, True]
    assert math.isclose(record["scores"][0]["log_prob"], float(done.out.splitlines()[1].split(",")[0]), rel_tol=1e-6)


def test_sample_is_reproducible_and_seeded(run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert call("sample", run, "-n", "20", "--seed", seed, "-o", tmp_path / f"{name}.csv").code == 0
    texts = [(tmp_path / f"{name}.csv").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]


def test_nothing_is_overwritten_unasked(run, tmp_path):
    for command in (["sample", run, "-n", "5"], ["score", run, tmp_path / "points.csv"], ["plot", run]):
        (tmp_path / "points.csv").write_text("phi,psi\n1,2\n")
        ending = "png" if command[0] == "plot" else "csv"
        target = tmp_path / f"kept.{ending}"
        target.write_text("precious")
        check_failure(call(*command, "-o", target), 74, "exists", "--overwrite")
        assert target.read_text() == "precious"
    assert call("sample", run, "-n", "5", "-o", tmp_path / "kept.csv", "--overwrite").code == 0
    assert len(table(tmp_path / "kept.csv")) == 5


def test_evaluate(run):
    done = call("evaluate", run)
    assert done.code == 0, done.err
    assert "NLL" in done.out
    assert "integral" in done.out
    record = json.loads(call("evaluate", run, "--split", "val", "--json").out)
    assert (record["split"], record["count"]) == ("val", 30)
    assert math.isfinite(record["nll"])


def test_evaluate_strict_turns_an_invalid_number_into_exit_code_1(run, monkeypatch):
    """A limit that no model meets makes the number invalid."""
    monkeypatch.setattr("manifold_gen.metrics.likelihood.INTEGRAL_SLACK", -1.0)
    done = call("evaluate", run, "--strict")
    assert done.code == 1
    assert "NO" in done.out


def test_plot(run, tmp_path):
    assert call("plot", run, "-o", tmp_path / "map.png", "-n", "100").code == 0
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    assert call("plot", run, "--training", "-o", tmp_path / "curves.pdf").code == 0
    assert (tmp_path / "curves.pdf").read_bytes()[:4] == b"%PDF"


def test_datasets():
    listed = json.loads(call("datasets", "--json").out)["datasets"]
    assert "ramachandran" in [source["name"] for source in listed]
    done = call("datasets", "ramachandran")
    assert done.code == 0, done.err
    for word in ("torus:2", "100,816", "Lovell", "sha256", "licence"):
        assert word in done.out
    check_failure(call("datasets", "ramachandrn"), 2, "did you mean")


def test_doctor():
    done = call("doctor", "--json")
    assert done.code == 0, done.out + done.err
    report = json.loads(done.out)
    assert report["self_test"]["passed"]
    assert report["versions"]["torch"] == torch.__version__
    assert {extra["name"]: extra["install"] for extra in report["extras"]}["plot"] == "pip install 'manifold-gen[plot]'"


def test_doctor_fails_where_the_self_test_does(monkeypatch):
    from manifold_gen import doctor

    broken = doctor.SelfTest(False, 0.1, "samples off the manifold")
    monkeypatch.setattr("manifold_gen.doctor.self_test", lambda: broken)
    done = call("doctor")
    assert done.code == 1
    assert "FAILED" in done.out


def test_context_travels_from_fit_to_score(tmp_path):
    """Labels in the user's file come out as labels again."""
    rng = np.random.default_rng(3)
    lines = [f"{40 * rng.standard_normal():.3f},{'helix' if i % 2 else 'sheet'}" for i in range(120)]
    data = tmp_path / "data.csv"
    data.write_text("phi,kind\n" + "\n".join(lines) + "\n")
    run = tmp_path / "run"
    done = call("fit", "--data", data, *OF_FILE, "--context", "kind", "--steps", "10", *SMALL, "--out", run, "-q")
    assert done.code == 0, done.err
    assert done.out == ""
    check_failure(call("sample", run, "-n", "4", "-o", tmp_path / "x.csv"), 2, "--context kind")
    check_failure(call("sample", run, "--context", "coil", "-o", tmp_path / "x.csv"), 2, "'coil'", "helix, sheet")
    assert call("sample", run, "-n", "4", "--context", "sheet", "-o", tmp_path / "x.csv").code == 0
    assert [row["kind"] for row in table(tmp_path / "x.csv")] == ["sheet"] * 4
    assert call("score", run, tmp_path / "x.csv", "-o", tmp_path / "s.csv").code == 0
    assert call("sample", run, "-n", "4", "--context", tmp_path / "x.csv", "-o", tmp_path / "y.csv").code == 0
    check_failure(call("sample", run, "-n", "3", "--context", tmp_path / "x.csv", "-o", tmp_path / "z.csv"), 66, "-n 4")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_the_run_and_it_can_be_resumed(angles, tmp_path, number, code):
    folder = tmp_path / "run"
    arguments = [
        "fit",
        "--data",
        angles,
        *OF_FILE,
        "--steps",
        "100000",
        *SMALL,
        "training.log_every=5",
        "--out",
        folder,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "manifold_gen", *map(str, arguments)],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").stat().st_size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "saved in" in err
    assert mg.load(folder).manifold.spec == "torus:2"


def test_strict_makes_failed_diagnostics_the_exit_code(angles, tmp_path):
    """A flow that nothing holds invertible does not pass."""
    settings = ["training.schedule=constant", "training.ema_decay=0", "training.keep=last", "model.reconstruction=0"]
    given = ["fit", "--data", angles, *OF_FILE, *SMALL, "--steps", "25", "--lr", "0.3", *settings]
    done = call(*given, "--out", tmp_path / "a", "--strict", "--json")
    record = json.loads(done.out)
    assert record["failures"] != []
    assert done.code == 1


def test_a_missing_extra_is_told_with_the_line_that_installs_it(run, tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None; from manifold_gen.cli import main; "
        f"sys.exit(main(['plot', {str(run)!r}, '-o', {str(tmp_path / 'x.png')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "pip install manifold-gen[plot]" in done.stderr.replace("'", "")
    assert "Traceback" not in done.stderr


def test_a_run_from_python_is_evaluated_on_a_file(angles, tmp_path, monkeypatch):
    """Its configuration names no file; the columns and units come from the model."""
    monkeypatch.chdir(tmp_path)
    data = mg.load_file(angles, "torus", units="degrees")
    flow = mg.FreeFormFlow(data.manifold, width=8, depth=1, waves=8)
    mg.fit(flow, data, mg.TrainingConfig(steps=3, batch_size=64, device="cpu"), out="run", quiet=True)
    check_failure(call("evaluate", "run"), 2, "'angles'")
    record = json.loads(call("evaluate", "run", "--data", angles, "--json").out)
    assert record["count"] == 30
    assert record["nll"] == pytest.approx(mg.evaluate_likelihood(flow, data.test).nll, abs=1e-9)
