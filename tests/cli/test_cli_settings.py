"""Configuration files, flags and overrides are one schema."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from calling import call, check_failure

from manifold_gen.commands.flags import SETTING_FLAGS
from manifold_gen.commands.settings import FitSettings, data_options, model_options, training_options
from manifold_gen.configuration import Setting, coerced, parse_value, settings_of
from manifold_gen.errors import UsageError


def printed(*arguments):
    done = call("fit", "--print-config", *arguments)
    assert done.code == 0, done.err
    return tomllib.loads(done.out)


def test_printed_configuration_is_a_configuration_file(tmp_path):
    """What --print-config says, -c reads, and it says the same again."""
    first = printed("--steps", "1e3", "model.width=32", "--set", "training.betas=0.8,0.9", "--split-seed", "4")
    assert first["training"]["steps"] == 1000
    assert first["model"]["width"] == 32
    assert first["training"]["betas"] == [0.8, 0.9]
    assert first["data"] == {"name": "ramachandran", "split_seed": 4}
    file = tmp_path / "settings.toml"
    file.write_text(call("fit", "--print-config", "--steps", "1000", "model.width=32", "--split-seed", "4").out)
    second = printed("-c", file, "training.betas=0.8,0.9")
    assert second == first


def test_later_settings_win(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[training]\nsteps = 10\nlr = 1\nseed = 3\nbatch_size = 4\n")
    training = printed("-c", file, "--lr", "2", "--seed", "5", "--set", "training.seed=6", "training.batch_size=7")
    assert [training["training"][key] for key in ("steps", "lr", "seed", "batch_size")] == [10, 2.0, 6, 7]


def test_json_configuration():
    done = call("fit", "--print-config", "--json", "--lr", "5e-4")
    assert json.loads(done.out)["training"]["lr"] == 5e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["training.stpes=3"], ["training.stpes", "did you mean training.steps?"]),
        (["modle.width=3"], ["'modle'", "did you mean model?"]),
        (["model.widht=3"], ["model.widht", "did you mean model.width?"]),
        (["--split", "distinct"], ["data.split", "data.split_seed"]),
        (["--units", "degrees"], ["data.units"]),
        (["--steps", "3.5"], ["training.steps is 3.5", "an integer"]),
        (["--steps", "many"], ["'many'", "an integer"]),
        (["--lr", "-1"], ["training.lr", "above 0"]),
        (["training.compile=maybe"], ["true or false"]),
        (["training.betas=0.9"], ["training.betas", "a list"]),
        (["training.schedule=onecycle"], ["onecycle", "one-cycle"]),
        (["ramachandran"], ["section.name=value"]),
        (["--model", "free-form-flwo"], ["free-form-flow"]),
        (["--data", "ramachandrn"], ["did you mean 'ramachandran'?"]),
        (["--name", "../x"], ["'../x'", "letters"]),
        (["--name", "x", "--out", "runs/y"], ["--out", "give one"]),
    ],
)
def test_wrong_settings_are_usage_errors(arguments, words):
    check_failure(call("fit", "--print-config", *arguments), 2, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training\n", ["not valid TOML", "line 1"]),
        ("[training]\nstpes = 3\n", ["did you mean training.steps?"]),
        ("training = 3\n", ["expected a table", "[training]"]),
        ("out = 'runs/x'\n", ["'out'", "data, model, training"]),
        ("[training]\nsteps = true\n", ["training.steps is True", "an integer"]),
    ],
)
def test_wrong_configuration_files(tmp_path, text, words):
    file = tmp_path / "settings.toml"
    file.write_text(text)
    check_failure(call("fit", "-c", file, "--print-config"), 2, *words)


def test_missing_configuration_file(tmp_path):
    check_failure(call("fit", "-c", tmp_path / "none.toml"), 66, "none.toml", "check the path")


def test_dry_run_shows_settings_and_data_and_writes_nothing(tmp_path, monkeypatch, angles):
    monkeypatch.chdir(tmp_path)
    given = ["fit", "--data", angles, "--manifold", "torus", "--units", "degrees", "--out", "runs/x", "--dry-run"]
    done = call(*given)
    assert done.code == 0, done.err
    assert "[training]" in done.out
    assert "240 train, 30 val, 30 test" in done.out
    assert "torus:2" in done.out
    record = json.loads(call(*given, "--json").out)
    assert record["data"]["rows"] == {"train": 240, "val": 30, "test": 30}
    assert record["settings"]["training"]["steps"] == training_options()["steps"].default
    assert list(tmp_path.iterdir()) == []


def test_every_flag_sets_something_that_exists():
    """The table of flags and the schema cannot drift apart."""
    known = {setting.key for setting in [*training_options().values(), *data_options("x.csv").values()]}
    known |= {"data.name", "model.name"}
    known |= {setting.key for setting in data_options("volcano").values()}
    assert [flag for flag, (key, _, _) in SETTING_FLAGS.items() if key not in known] == []


def test_every_hyperparameter_of_the_model_can_be_set():
    """Only what a file cannot hold may be missing from the schema."""
    import inspect

    from manifold_gen.models.free_form_flow import FreeFormFlow

    arguments = set(inspect.signature(FreeFormFlow).parameters) - {"manifold"}
    assert set(model_options("free-form-flow")) == arguments


def test_a_manifold_and_its_representations_may_hold_commas(tmp_path):
    rows = "lat,lon,a\n" + "".join(f"{i},{2 * i},{0.1 * i}\n" for i in range(20))
    (tmp_path / "a,b.csv").write_text(rows)
    options = ["--data", tmp_path / "a,b.csv", "--manifold", "sphere:2 x torus:1", "--representation", "latlon,angles"]
    assert "sphere:2 x torus:1" in call("fit", *options, "--dry-run").out
    np.savetxt(tmp_path / "frames.csv", np.eye(4)[:, :2].reshape(1, 8).repeat(5, 0), delimiter=",")
    options = ["--data", tmp_path / "frames.csv", "--manifold", "geoopt.CanonicalStiefel:4,2"]
    done = call("fit", *options, "--dry-run")
    assert done.code == 0, done.err
    assert "geoopt.CanonicalStiefel:4,2 (dimension 5)" in done.out


def test_a_file_needs_its_manifold():
    check_failure(call("fit", "--data", "mine.csv", "--dry-run"), 2, "data.manifold", "--manifold")


def setting(annotation):
    return Setting("section.name", annotation, None)


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("1e3", int, 1000),
        ("3", float, 3.0),
        ("none", int | None, None),
        ("true", bool, True),
        ("cosine", str, "cosine"),
        ("phi,psi", list[str], ["phi", "psi"]),
        ("phi", list[str], ["phi"]),
        ("2,3", list[str], ["2", "3"]),
        ("0.9,0.99", tuple[float, float], (0.9, 0.99)),
        ("b", Literal["a", "b"], "b"),
        ("7", int | str, 7),
        ("seven", int | str, "seven"),
        ("'1,2'", str, "1,2"),
        ("geoopt.CanonicalStiefel:4,2", str, "geoopt.CanonicalStiefel:4,2"),
        ("latlon,ambient", str | None, "latlon,ambient"),
        ("phi,psi", list[str] | None, ["phi", "psi"]),
        ("x/y.csv", str | Path, "x/y.csv"),
    ],
)
def test_texts_become_the_type_of_their_setting(text, annotation, value):
    result = coerced(parse_value(text), setting(annotation))
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation"),
    [("1.5", int), ("true", int), ("1", bool), ("a", float), ("c", Literal["a", "b"]), ("1,2,3", tuple[int, int])],
)
def test_texts_of_another_type_are_refused(text, annotation):
    with pytest.raises(UsageError, match=r"section\.name is"):
        coerced(parse_value(text), setting(annotation))


def test_what_no_file_can_hold_is_no_setting():
    def build(manifold: object, width: int = 3, base: object = None, hook: dict[str, int] | None = None): ...

    assert list(settings_of(build, "model")) == ["width"]


def test_a_constructor_that_hands_options_on_has_the_settings_it_inherits():
    class Parent:
        def __init__(self, manifold: object, *, width: int = 3, rate: float = 0.5) -> None: ...

    class Child(Parent):
        def __init__(self, manifold: object, *, rate: float = 0.1, depth: int = 2, **options: object) -> None: ...

    class Closed(Parent):
        def __init__(self, manifold: object, *, depth: int = 2) -> None: ...

    class Beside:
        options_of = Child

        def __init__(self, manifold: object, *, stages: int = 4, **options: object) -> None: ...

    assert {name: s.default for name, s in settings_of(Child, "model").items()} == {"rate": 0.1, "depth": 2, "width": 3}
    assert list(settings_of(Closed, "model")) == ["depth"]
    assert list(settings_of(Beside, "model")) == ["stages", "rate", "depth", "width"]


def test_settings_of_a_run_started_from_python_are_read():
    """``fit`` called from Python notes the manifold under [model]; the data set knows it anyway."""
    settings = FitSettings.from_tables({"model": {"name": "free-form-flow", "manifold": "torus:2", "width": 8}})
    assert settings.model == {"name": "free-form-flow", "width": 8}
