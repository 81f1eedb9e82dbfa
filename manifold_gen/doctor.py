"""Is this installation in order? Versions, devices, extras and a short self-test."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import time
from dataclasses import asdict, dataclass

import manifold_gen

REQUIRED = ("torch", "numpy", "scipy", "geoopt", "safetensors", "pooch", "click")
# extra: (module that shows that it is there, what it is for)
EXTRAS = {
    "plot": ("matplotlib", "figures"),
    "geomstats": ("geomstats", "spaces of geomstats"),
    "ode": ("torchdiffeq", "the adjoint equation of continuous flows"),
    "ray": ("ray", "benchmark cells on a cluster"),
    "molecules": ("rdkit", "QM9, molecule files and pictures"),
    "test": ("pytest", "the test suite"),
    "docs": ("sphinx", "the documentation"),
}
_SELF_TEST_STEPS = 40


@dataclass(frozen=True)
class Extra:
    """An optional set of libraries."""

    name: str
    purpose: str
    installed: bool

    @property
    def install(self) -> str:
        """The line that installs it."""
        return f"pip install 'manifold-gen[{self.name}]'"


@dataclass(frozen=True)
class SelfTest:
    """A small flow fitted, sampled and scored.

    Attributes:
        passed: whether everything that was computed is finite and on the manifold.
        seconds: how long it took.
        detail: what was seen.
    """

    passed: bool
    seconds: float
    detail: str


@dataclass(frozen=True)
class Report:
    """What ``examine`` found."""

    versions: dict[str, str]
    devices: list[str]
    threads: int
    extras: list[Extra]
    self_test: SelfTest

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            **asdict(self),
            "extras": [{**asdict(extra), "install": extra.install} for extra in self.extras],
        }


def examine() -> Report:
    """Look at the installation and run the self-test."""
    import torch

    return Report(versions(), devices(), torch.get_num_threads(), extras(), self_test())


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of what it requires.

    >>> versions()["manifold-gen"] == manifold_gen.__version__
    True
    """
    found = {name: importlib.metadata.version(name) for name in REQUIRED}
    return {"manifold-gen": manifold_gen.__version__, "python": platform.python_version(), **found}


def devices() -> list[str]:
    """``cpu`` and every CUDA device with its name."""
    import torch

    return ["cpu", *(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))]


def extras() -> list[Extra]:
    """The optional sets of libraries and whether they are there.

    >>> [extra.install for extra in extras() if extra.name == "plot"]
    ["pip install 'manifold-gen[plot]'"]
    """
    return [
        Extra(name, purpose, importlib.util.find_spec(module) is not None) for name, (module, purpose) in EXTRAS.items()
    ]


def self_test() -> SelfTest:
    """Fit a small flow to the bundled data for a few steps, sample it and score its samples, in about five seconds."""
    import torch

    from manifold_gen import seeds
    from manifold_gen.data import load_dataset
    from manifold_gen.models.free_form_flow import FreeFormFlow
    from manifold_gen.training import TrainingConfig, fit

    start = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dataset = load_dataset("ramachandran")
        model = FreeFormFlow(dataset.manifold, width=32)
    config = TrainingConfig(steps=_SELF_TEST_STEPS, batch_size=128, eval_every=_SELF_TEST_STEPS, device="cpu")
    fit(model, dataset, config, quiet=True)
    with torch.no_grad():
        points = model.sample(256, generator=seeds.generator(0))
        record = model.score(points)
    off = float((dataset.manifold.projx(points) - points).abs().max())
    shared = float(record.converged.double().mean())
    finite = bool(torch.isfinite(record.log_prob[record.converged]).all())
    detail = f"{_SELF_TEST_STEPS} steps, 256 samples at most {off:.1e} off the manifold, {shared:.0%} of them inverted"
    return SelfTest(finite and off < 1e-4 and shared > 0.5, time.monotonic() - start, detail)
