"""What ``load`` gives back, and everything it refuses."""

import ast
import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors_bytes

import manifold_gen
from manifold_gen import models, seeds
from manifold_gen.checkpoint import load, manifest, read_description, save_model
from manifold_gen.checkpoint.folder import MODEL, STATE, WEIGHTS, state_bytes, state_from_bytes
from manifold_gen.errors import CheckpointError, RunFolderError, UsageError
from manifold_gen.manifolds import Product, Sphere, Torus
from manifold_gen.models.base import GenerativeModel
from manifold_gen.training import TrainingConfig, fit

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from toys import VonMises, torus_data


@pytest.fixture
def saved(tmp_path):
    model = VonMises(Torus(2), width=3, seed=4)
    return save_model(tmp_path / "run", model, data={"name": "toy", "format": {"units": "degrees"}}, progress=0.7)


def points(dtype=torch.float32):
    return torus_data().test.x.to(dtype)


def test_a_loaded_model_scores_identically(tmp_path, dtype):
    model = VonMises(Torus(2), width=3, seed=4).to(dtype)
    again = load(save_model(tmp_path / "run", model, progress=0.7))
    assert torch.equal(again.log_prob(points(dtype)), model.log_prob(points(dtype)))
    assert again.hyperparameters == model.hyperparameters
    assert again.progress == 0.7
    assert not again.training
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_a_model_may_be_named_by_a_file_of_its_folder(saved):
    assert torch.equal(load(saved / WEIGHTS).direction, load(saved).direction)


def test_the_description_keeps_what_is_known_of_the_data(saved):
    content = read_description(saved)
    assert content["data"] == {"name": "toy", "format": {"units": "degrees"}}
    assert content["manifold"] == "torus:2"
    assert content["class"] == "toys:VonMises"


def test_a_product_manifold_survives(tmp_path):
    model = Anchor(Product(Sphere(2), Torus(1)))
    again = load(save_model(tmp_path / "run", model))
    assert again.manifold.spec == model.manifold.spec
    assert again.manifold.shape == model.manifold.shape


class Anchor(GenerativeModel):
    def __init__(self, manifold):
        super().__init__(manifold)
        self.hyperparameters = {}
        self.point = torch.nn.Parameter(torch.zeros(manifold.shape))

    def losses(self, x, context=None, auxiliary=None):
        return {"distance": (x - self.point).square().flatten(1).sum(1)}

    def sample(self, n, context=None, generator=None):
        return self.manifold.projx(self.point.expand(n, *self.manifold.shape))


def flip_a_bit(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def zipped(data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", data)
    return buffer.getvalue()


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "bit": flip_a_bit,
    "text": lambda data: b"hello, this is text\n",
    "zip": zipped,
    "pickle": lambda data: pickle.dumps({"weights": [1.0]}),
    "torch": lambda data: state_bytes({"weights": torch.ones(3)}),
}


@pytest.mark.parametrize("name", [WEIGHTS, MODEL, manifest.NAME])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_kind_of_error(saved, name, damage):
    path = saved / name
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    if (name, damage) == (manifest.NAME, "one byte short"):  # the closing newline: nothing is lost
        assert load(saved)
        return
    with pytest.raises(CheckpointError) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert any(remedy in str(caught.value) for remedy in ("restore it", "give the folder", "use the version"))


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "torch"])
def test_weights_that_the_manifest_accepts_are_still_read_with_care(saved, damage):
    """As when somebody replaced the file and its digest."""
    data = DAMAGE[damage]((saved / WEIGHTS).read_bytes())
    if damage != "bit":
        manifest.update(saved, {WEIGHTS: data})
        with pytest.raises(CheckpointError):
            load(saved)


@pytest.mark.parametrize("name", [WEIGHTS, MODEL, manifest.NAME])
def test_a_missing_file(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match="missing" if name != manifest.NAME else "not a run folder"):
        load(saved)


def test_paths_that_are_no_run_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for path, message in [
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "notes.txt", "is a file, not a run folder"),
        (tmp_path, "is not a run folder"),
        ("https://example.org/run", "is a URL"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            load(path)


def replace_description(folder, **changes):
    content = {**json.loads((folder / MODEL).read_bytes()), **changes}
    manifest.update(folder, {MODEL: json.dumps(content).encode()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "has format_version 99, this manifold-gen reads 1"),
        ({"format_version": None}, "no format_version"),
        ({"class": "no.such.module:Thing"}, "cannot be built: model 'no.such.module:Thing'"),
        ({"class": "json:JSONDecoder"}, "cannot be built"),
        ({"manifold": "klein:2"}, "cannot be built"),
        ({"hyperparameters": {"depth": 3}}, "cannot be built"),
        ({"hyperparameters": None}, "cannot be built"),
        ({"dtype": "int7"}, "cannot be built"),
        ({"hyperparameters": {"width": 5}}, r"1 tensors differ, first direction: the file has \(2, 6\)"),
    ],
)
def test_a_description_of_another_model(saved, changes, message):
    replace_description(saved, **changes)
    with pytest.raises(CheckpointError, match=message):
        load(saved)


def test_weights_that_are_not_finite(tmp_path):
    model = VonMises(Torus(2))
    with torch.no_grad():
        model.bias[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite in bias"):
        load(save_model(tmp_path / "run", model))


def test_a_tensor_too_many(saved):
    tensors = {**load(saved).state_dict(), "extra": torch.ones(2)}
    manifest.update(saved, {WEIGHTS: safetensors_bytes(tensors, {"progress": "1.0"})})
    with pytest.raises(CheckpointError, match=r"first extra: the file has \(2,\), the model none"):
        load(saved)


class Evil:
    def __init__(self, witness):
        self.witness = str(witness)

    def __reduce__(self):
        return os.mkdir, (self.witness,)


def test_nothing_in_a_file_is_executed(saved, tmp_path):
    witness = tmp_path / "executed"
    buffer = io.BytesIO()
    torch.save(Evil(witness), buffer)
    for data in (pickle.dumps(Evil(witness)), buffer.getvalue()):
        with pytest.raises(CheckpointError):
            state_from_bytes(data)
        for name in (WEIGHTS, MODEL, manifest.NAME):
            folder = shutil.copytree(saved, tmp_path / f"evil{len(data)}{name}")
            (folder / name).write_bytes(data)
            with pytest.raises(CheckpointError):
                load(folder)
        manifest.update(saved, {WEIGHTS: data})
        with pytest.raises(CheckpointError):
            load(saved)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Evil(witness)))
    assert witness.exists()  # the trap works where it is sprung


def test_every_torch_load_of_the_package_is_weights_only():
    def calls(path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "pickle.load", "pickle.loads"):
                yield node

    found = [node for path in Path(manifold_gen.__file__).parent.rglob("*.py") for node in calls(path)]
    assert found
    for node in found:
        assert ast.unparse(node.func) == "torch.load"
        assert ("weights_only", "True") in [(item.arg, ast.unparse(item.value)) for item in node.keywords]


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name not in ("bit", "one byte more")])
def test_a_damaged_training_state(damage):
    data = state_bytes({"format_version": 1, "step": 3, "weights": torch.ones(100)})
    with pytest.raises(CheckpointError):
        state_from_bytes(DAMAGE[damage](data))


def test_a_hyperparameter_that_is_no_plain_value(tmp_path):
    model = VonMises(Torus(2))
    model.hyperparameters["activation"] = torch.nn.SiLU()
    with pytest.raises(UsageError, match="VonMises cannot be saved"):
        save_model(tmp_path / "run", model)


class Unnamed(Torus):
    """Keeps the spec of its parent, so a load would give another manifold."""


class Unread(Torus):
    def __init__(self, n):
        super().__init__(n)
        self.spec = f"my-torus:{n}"


@pytest.mark.parametrize(("kind", "reason"), [(Unnamed, "is another manifold's"), (Unread, "unknown manifold")])
def test_a_manifold_that_could_not_be_rebuilt_is_refused_before_any_work(tmp_path, kind, reason):
    model = VonMises(kind(2))
    with pytest.raises(UsageError, match=f"{kind.__name__} cannot be saved.*{reason}.*:{kind.__name__}'"):
        save_model(tmp_path / "run", model)
    data = replace(torus_data(), manifold=model.manifold)
    with pytest.raises(UsageError, match="cannot be saved"):
        fit(model, data, TrainingConfig(steps=1), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_saving_keeps_what_is_there(saved):
    with pytest.raises(RunFolderError, match="exists and is not empty"):
        save_model(saved, VonMises(Torus(2)))
    save_model(saved, VonMises(Torus(3)), overwrite=True)
    assert load(saved).manifold.spec == "torus:3"


def test_the_same_weights_give_the_same_bytes(tmp_path):
    folders = [save_model(tmp_path / name, VonMises(Torus(2), width=3)) for name in "abcd"]
    assert len({(folder / WEIGHTS).read_bytes() for folder in folders}) == 1


def test_model_names():
    assert models.name_of(VonMises) == "toys:VonMises"
    assert models.resolve("toys:VonMises") is VonMises
    for name, message in [("free form", "no model is called"), ("toys:Nothing", "no class Nothing"),
                          ("absent_package:Model", "absent_package"), ("toys:torus_data", "no class")]:  # fmt: skip
        with pytest.raises(UsageError, match=message):
            models.resolve(name)


def test_saved_state_needs_no_code(saved):
    generator = seeds.generator(1)
    state = {"format_version": 1, "a": torch.randn(3, generator=generator), "b": [1, 2.5, "x", None], "c": {"d": True}}
    again = state_from_bytes(state_bytes(state))
    assert torch.equal(again.pop("a"), state.pop("a"))
    assert again == state
    assert not (saved / STATE).exists()
