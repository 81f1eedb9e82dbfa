"""The code on the pages runs, in a folder of its own, as one program a page."""

import pytest
import torch
from blocks import ROOT, run_python


@pytest.mark.parametrize("page", ["extending", "models", "molecules", "tutorial"])
def test_the_code_on_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = torch.get_default_dtype()
    run_python(ROOT / "docs" / f"{page}.md", f"page_{page}")
    assert torch.get_default_dtype() == default
