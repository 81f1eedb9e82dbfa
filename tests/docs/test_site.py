"""The site builds without a warning, and says nothing about the command line that is not so."""

import re
import subprocess
import sys

import pytest
from blocks import ROOT

import manifold_gen

PAGES = sorted((ROOT / "docs").glob("*.md"))


def test_the_site_builds_without_a_warning_and_documents_the_public_names(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", tmp_path / "doctrees"]
    done = subprocess.run([*command, ROOT / "docs", tmp_path / "html"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    for name in public_names():
        assert re.search(rf'id="manifold_gen\.(\w+\.)*{name}"', api), f"{name} is not on the page"


def public_names():
    """What the package offers by name, but for plain values."""
    packages = ("data", "distributions", "manifolds", "metrics", "models", "plotting", "testing", "training")
    modules = [manifold_gen, *(getattr(manifold_gen, package) for package in packages)]
    names = {name for module in modules for name in module.__all__}
    return sorted(name for name in names if not name.startswith("__") and (not name.isupper() or name == "SO3"))


def commands():
    from manifold_gen.cli import manifold_gen

    return manifold_gen.commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_and_flag_on_a_page_exists(page):
    known = commands()
    for line in page.read_text(encoding="utf-8").splitlines():
        for name, rest in re.findall(r"manifold-gen ([a-z]+)\b([^`#|]*)", line):
            assert name in known, f"{page.name}: manifold-gen {name}"
            below = [known[name], *getattr(known[name], "commands", {}).values()]
            options = [option for command in below for option in command.params]
            flags = {flag for option in options for flag in (*option.opts, *option.secondary_opts)}
            for flag in re.findall(r"(?<=\s)(--?[a-z][a-z-]*)", rest):
                assert flag in flags | {"--help"}, f"{page.name}: manifold-gen {name} {flag}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_on_a_page_exists(page):
    from manifold_gen.models import resolve
    from manifold_gen.training import TrainingConfig

    flow = resolve("free-form-flow").__init__.__annotations__
    known = {"training": set(TrainingConfig.__dataclass_fields__), "model": set(flow)}
    own = {"components"}  # hyperparameters of the model that a page defines itself
    for section, name in re.findall(
        r"\b(training|model)\.(?!json|safetensors)([a-z_]+)(?:=|`)", page.read_text(encoding="utf-8")
    ):
        assert name in known[section] | own, f"{page.name}: {section}.{name}"
