"""What the README shows runs as it stands."""

import re

from blocks import ROOT, blocks, run_python

README = ROOT / "README.md"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python(README, "readme")


def test_every_make_target_and_command_of_the_readme_exists():
    from manifold_gen.cli import manifold_gen

    shell = "".join(code for language in ("sh", "console", "bash") for _, code in blocks(README, language))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert shell, "the README shows no shell commands"
    for target in re.findall(r"\bmake ([a-z]+)", shell):
        assert target in targets, f"make {target}"
    for name in re.findall(r"\bmanifold-gen ([a-z]+)", shell):
        assert name in manifold_gen.commands, f"manifold-gen {name}"


def test_every_file_that_the_readme_links_to_exists():
    text = README.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text) + re.findall(r'src="(?!https?://)([^"]+)"', text):
        assert (ROOT / link).exists(), link
