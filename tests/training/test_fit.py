"""What ``fit`` promises in one process."""

import io
import json
import math
import tomllib

import pytest
import torch
from toys import VonMises, torus_data

from manifold_gen.checkpoint import RunFolder, load
from manifold_gen.checkpoint.folder import STATE
from manifold_gen.data.base import Dataset, Split
from manifold_gen.errors import DataError, DivergenceError, RunFolderError, UsageError
from manifold_gen.manifolds import PoincareBall, Sphere, Torus
from manifold_gen.training import TrainingConfig, fit
from manifold_gen.training.inputs import precision_dtype
from manifold_gen.training.progress import Progress

QUICK = TrainingConfig(steps=40, batch_size=32, lr=0.05, eval_every=10, log_every=10, device="cpu")


def config(**changes):
    return TrainingConfig(**{**vars(QUICK), **changes})


def train(changes=None, out=None, model=None, data=None, **options):
    data = data or torus_data()
    model = model or VonMises(data.manifold)
    return fit(model, data, config(**(changes or {})), out, quiet=True, **options)


def test_maximum_likelihood_is_found():
    """The von Mises estimates are known: mean direction and A(κ) = mean resultant length, up to the small ridge."""
    data = torus_data(rows=2000)
    result = train({"steps": 600, "batch_size": 1600, "precision": "float64", "lr": 0.1, "keep": "last"}, data=data)
    loc, kappa = result.model.moments()
    x = data.train.x.double()
    resultant = torch.stack([x.cos().mean(0), x.sin().mean(0)])
    torch.testing.assert_close(loc, torch.atan2(resultant[1], resultant[0]), rtol=0, atol=1e-3)
    bessel_ratio = torch.special.i1e(kappa) / torch.special.i0e(kappa)
    torch.testing.assert_close(bessel_ratio, resultant.norm(dim=0), rtol=0, atol=2e-3)


def test_two_runs_are_equal_and_seeds_matter():
    weights = [train({"seed": seed}, model=VonMises(Torus(2), noise=0.1)).model.direction for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)


def test_run_folder_holds_everything(tmp_path):
    result = train(out=tmp_path / "run", diagnose=lambda model, data: Report())
    run = result.run
    kinds = {path.name for path in run.iterdir()}
    assert kinds == {
        "config.toml", "metrics.jsonl", "log.txt", "environment.json", "diagnostics.json", "manifest.json",
        "model.safetensors", "model.json", "checkpoints",
    }  # fmt: skip
    settings = tomllib.loads((run / "config.toml").read_text())
    assert settings["training"]["lr"] == 0.05
    assert settings["data"]["name"] == "toy"
    assert json.loads((run / "diagnostics.json").read_text()) == {"integral": 1.0}
    assert json.loads((run / "environment.json").read_text())["packages"]["torch"] == torch.__version__
    state = torch.load(run / STATE, weights_only=True)
    assert state["step"] == 40
    x = torus_data().test.x
    assert torch.equal(load(run).log_prob(x), result.model.log_prob(x))


class Report:
    def to_dict(self):
        return {"integral": 1.0}


def test_metrics_name_every_term(tmp_path):
    seen = []
    train(out=tmp_path / "run", callbacks=[seen.append])
    records = RunFolder(tmp_path / "run").read_metrics()
    assert records == seen
    train_lines = [record for record in records if record["split"] == "train"]
    assert [record["step"] for record in train_lines] == [10, 20, 30, 40]
    for record in train_lines:
        assert record["loss"] == pytest.approx(record["nll"] + record["ridge"], rel=1e-5)
        assert set(record) == {
            "step", "split", "loss", "nll", "ridge", "lr", "gradient_norm", "steps_per_second", "rows_per_second",
            "elapsed",
        }  # fmt: skip
        assert record["rows_per_second"] == pytest.approx(QUICK.batch_size * record["steps_per_second"])
    assert [record["step"] for record in records if record["split"] == "val"] == [10, 20, 30, 40]


def test_the_best_averaged_weights_are_kept_and_patience_stops():
    """A step size that throws the weights about: validation gets worse, and the earlier weights win."""
    changes = {"steps": 400, "lr": 3.0, "schedule": "constant", "patience": 3, "ema_decay": 0.0, "grad_clip": 0.0}
    data, seen = torus_data(), []
    result = train(changes, data=data, callbacks=[seen.append])
    values = {record["step"]: record["loss"] for record in seen if record["split"] == "val"}
    assert result.best_step == min(values, key=values.get)
    assert result.best_value == min(values.values())
    assert result.stopped_early
    assert result.step == result.best_step + 30
    with torch.no_grad():
        again = result.model.loss(data.val.x).mean()
    assert float(again) == pytest.approx(result.best_value, rel=1e-6)


def test_averaged_weights_follow_the_recursion():
    """Against the definition, from the weights that a callback sees after every step."""
    data, history = torus_data(), []
    model = VonMises(data.manifold)
    start = model.bias.detach().double()
    changes = {"steps": 15, "log_every": 1, "eval_every": 100, "ema_decay": 0.9, "keep": "last"}

    def watch(record):
        if record["split"] == "train":
            history.append(model.bias.detach().double())

    train(changes, model=model, data=data, callbacks=[watch])
    average = start
    for step, value in enumerate(history):
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * value
    torch.testing.assert_close(model.bias.detach().double(), average, rtol=1e-5, atol=1e-7)


def test_biases_are_not_decayed():
    from manifold_gen.training.step import build_optimiser

    optimiser = build_optimiser(VonMises(Torus(2)), config(weight_decay=0.5))
    decay = {p.dim(): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decay == {2: 0.5, 1: 0.0}


def test_gradients_are_clipped():
    """One plain step moves the weights by lr times the clipped norm."""
    data = torus_data()
    model = VonMises(data.manifold)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    changes = {"steps": 1, "optimiser": "sgd", "schedule": "constant", "lr": 0.5, "grad_clip": 0.01, "ema_decay": 0.0,
               "weight_decay": 0.0}  # fmt: skip
    train(changes, model=model, data=data)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.5 * 0.01, rel=1e-4)


def test_divergence_names_step_term_and_row_and_keeps_the_checkpoint(tmp_path):
    data = torus_data(rows=200)
    row = int(data.train.x[:, 0].argmax())
    model = VonMises(data.manifold, breaks_at=0.5)
    with pytest.raises(DivergenceError, match=rf"step 20: .*terms: nll.* at training rows \[{row}\]"):
        train({"batch_size": 1000, "checkpoint_every": 7}, tmp_path / "run", model, data)
    assert torch.load(tmp_path / "run" / STATE, weights_only=True)["step"] == 14
    assert load(tmp_path / "run").log_prob(data.test.x).isfinite().all()


def test_an_infinite_gradient_is_a_divergence():
    class Kink(VonMises):
        def losses(self, x, context=None, auxiliary=None):
            return {"root": (self.bias - self.bias.detach()).clamp_min(0).sqrt().sum().expand(len(x))}

    with pytest.raises(DivergenceError, match="norm of its gradient is"):
        train(model=Kink(Torus(2)))


def test_last_batch_smaller_data_and_no_validation_rows():
    data = torus_data(rows=100)
    empty = Split(data.val.x[:0])
    result = train({"batch_size": 512}, data=Dataset("toy", data.manifold, data.train, empty, data.test))
    assert result.best_value is None
    assert result.step == result.best_step == 40


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda x: 1.1 * x,
            r"40 of 40 rows have a point off sphere:2 \(largest deviation 0.\d+.*toy train row 0.*project",
        ),
        (lambda x: torch.cat([x[:3], 0 * x[3:4], x[4:]]), "1 of 40 rows have a zero vector.*toy train row 3"),
        (lambda x: x.half(), "float16, which keeps 2 to 3 digits"),
    ],
)
def test_points_off_the_manifold_are_refused_before_the_first_step(spoil, message):
    sphere = Sphere(2)
    x = sphere.random_uniform(40, generator=torch.Generator().manual_seed(1))
    data = Dataset("toy", sphere, Split(spoil(x)), Split(x[:4]), Split(x[:4]))
    with pytest.raises(DataError, match=message):
        train(model=VonMises(sphere), data=data)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (lambda d: Dataset("toy", Sphere(2), d.train, d.val, d.test), UsageError, "the model lives on torus:2"),
        (lambda d: Dataset("toy", d.manifold, Split(d.train.x[:0]), d.val, d.test), DataError, "0 training rows"),
        (lambda d: Dataset("toy", d.manifold, Split(d.train.x[:, :1]), d.val, d.test), DataError, "shape"),
        (lambda d: Dataset("toy", d.manifold, Split(d.train.x.log()), d.val, d.test), DataError, "rows of points"),
        (
            lambda d: Dataset("toy", d.manifold, Split(d.train.x, d.test.x), d.val, d.test),
            DataError,
            "320 points but 40 rows of context",
        ),
    ],
)
def test_bad_data_is_refused_before_anything_is_written(tmp_path, data, error, message):
    with pytest.raises(error, match=message):
        fit(VonMises(Torus(2)), data(torus_data()), QUICK, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_an_existing_folder_is_kept_unless_told(tmp_path):
    train(out=tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="exists and is not empty; choose another folder"):
        train(out=tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    train({"seed": 5}, tmp_path / "run", model=VonMises(Torus(2), noise=0.1), overwrite=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before


def test_precision_follows_the_manifold():
    assert precision_dtype("auto", Torus(2)) == torch.float32
    assert precision_dtype("auto", PoincareBall(2)) == torch.float64
    assert precision_dtype("float32", PoincareBall(2)) == torch.float32
    assert train({"precision": "float64"}).model.direction.dtype == torch.float64


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_live_line_and_others_plain_ones(monkeypatch):
    clock = iter(range(0, 1000))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    for stream in (Terminal(), io.StringIO()):
        progress = Progress(10, stream=stream)
        for step in range(1, 4):
            progress.step(step, 0.5)
        progress.line("kept")
        progress.close()
        text = stream.getvalue()
        if stream.isatty():
            assert text.count("\r") == 4
            assert "step 3/10  loss 0.5000" in text
            assert "left" in text
            assert text.rstrip().endswith("kept")
        else:
            assert text == "kept\n"


def test_quiet_prints_nothing(capsys):
    train()
    out = capsys.readouterr()
    assert out.out == out.err == ""
    fit(VonMises(Torus(2)), torus_data(), QUICK)
    assert "step 40/40  val  loss" in capsys.readouterr().err


def test_validation_uses_the_same_noise_at_every_call():
    seen = []
    changes = {"lr": 1e-30, "ema_decay": 0.0, "weight_decay": 0.0}
    train(changes, model=VonMises(Torus(2), noise=1.0), callbacks=[seen.append])
    values = {record["loss"] for record in seen if record["split"] == "val"}
    assert len(values) == 1
    assert all(math.isfinite(value) for value in values)
