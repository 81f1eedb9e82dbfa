"""The package as it is installed and imported."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import manifold_gen as mg

ROOT = Path(__file__).resolve().parent.parent


def run_python(code, cwd=ROOT):
    """Run code in a fresh interpreter and return what it printed."""
    arguments = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_leaves_global_state_alone():
    """Importing everything changes no random state, default type, thread count, warning filter or backend."""
    out = run_python(
        """
        import os, random, warnings
        import numpy, torch, matplotlib

        def state():
            return {
                "torch": torch.get_rng_state().tolist(),
                "numpy": [str(part) for part in numpy.random.get_state()],
                "random": random.getstate(),
                "dtype": torch.get_default_dtype(),
                "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
                "deterministic": torch.are_deterministic_algorithms_enabled(),
                "print": (torch._tensor_str.PRINT_OPTS.precision, str(numpy.get_printoptions())),
                "backend": matplotlib.rcParams._get_backend_or_none(),
                "rc": dict(matplotlib.rcParams.copy()),
                "environment": {k: v for k, v in os.environ.items()},
                "error": numpy.geterr(),
            }

        # what the requirements themselves do on import is theirs; the filters of ours are compared by module
        import geoopt, scipy.special, scipy.stats, safetensors.torch, pooch
        before, filters = state(), list(warnings.filters)
        import manifold_gen as mg
        for name in mg.__all__:
            getattr(mg, name)
        import manifold_gen.cli, manifold_gen.doctor, manifold_gen.plotting, manifold_gen.testing
        after = state()
        print([key for key in before if before[key] != after[key]] + [f for f in warnings.filters if f not in filters])
        """
    )
    assert out.strip() == "[]"


def test_import_is_light():
    """The package itself imports no library; names are found when they are used."""
    out = run_python(
        """
        import sys
        import manifold_gen
        print([name for name in ("torch", "numpy", "geoopt", "click", "matplotlib") if name in sys.modules])
        print(manifold_gen.Sphere(2))
        print("torch" in sys.modules)
        """
    )
    assert out.split() == ["[]", "sphere:2", "True"]


@pytest.mark.parametrize("name", mg.__all__)
def test_public_names_resolve(name):
    assert getattr(mg, name) is not None
    assert name in dir(mg)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Spere'"):
        _ = mg.Spere


def test_versions_agree():
    """The version is written in one place and repeated in the citation and the changelog."""
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE).group(1) == mg.__version__
    assert f"## {mg.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_requirements_are_open_and_constraints_exact():
    """torch>=2.6 in the metadata, numpy capped in one extra alone, every tested version pinned by number."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "torch>=2.6" in project["dependencies"]
    capped = [extra for extra, needs in project["optional-dependencies"].items() if "numpy<2.4" in needs]
    assert capped == ["geomstats"]
    assert not any(need.startswith("numpy<") for need in project["dependencies"])
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert "torch==2.13.0" in lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []


def test_every_requirement_is_pinned():
    """Whatever the project asks for directly has a version in ``constraints.txt``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {re.match(r"[A-Za-z0-9_-]+", need).group(0).lower().replace("_", "-") for need in wanted}
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names - pinned == {"manifold-gen"}


@pytest.fixture(scope="module")
def wheel_folder(tmp_path_factory):
    """The wheel, built from the checkout and unpacked by pip into an empty folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("manifold_gen", "datasets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    for command in (
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source)],
        [
            *pip,
            "install",
            "--no-deps",
            "--no-index",
            "--target",
            str(folder / "site"),
            "manifold-gen",
            "-f",
            str(folder),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
    return folder / "site"


def test_wheel_carries_the_bundled_data(wheel_folder, tmp_path):
    """Installed from the wheel alone, away from the checkout, the default data set loads."""
    out = run_python(
        f"""
        import sys
        sys.path[:0] = [{str(wheel_folder)!r}]
        import manifold_gen as mg
        assert mg.__file__.startswith({str(wheel_folder)!r}), mg.__file__
        data = mg.load_dataset("ramachandran")
        print(len(data.train) + len(data.val) + len(data.test), data.manifold)
        """,
        cwd=tmp_path,
    )
    assert out.split() == ["100816", "torus:2"]


def test_wheel_holds_the_package_and_nothing_else(wheel_folder):
    """Every subpackage is in the wheel, and neither tests nor an importable ``datasets`` come with it."""
    top = {path.name for path in wheel_folder.iterdir() if not path.name.endswith(".dist-info")}
    assert top <= {"manifold_gen", "bin"}
    ours = {path.parent.relative_to(ROOT) for path in (ROOT / "manifold_gen").rglob("*.py")}
    theirs = {path.parent.relative_to(wheel_folder) for path in (wheel_folder / "manifold_gen").rglob("*.py")}
    assert ours <= theirs
    assert (wheel_folder / "manifold_gen" / "py.typed").exists()
    assert not (ROOT / "datasets" / "__init__.py").exists()
