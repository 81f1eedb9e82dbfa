"""The report in a real browser: it opens from disk, asks for nothing, logs nothing, and fits a narrow screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import fake_results
import pytest

from manifold_gen.benchmark.report import write_report

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(_BROWSER is None, reason="there is no Chromium on this machine")

NARROW = 400
# what the page is asked once it has loaded; the answer is read from the dumped document
_PROBE = """<pre id="probe"></pre><script>addEventListener("load", () => {
  const found = {
    inner: innerWidth, scroll: document.documentElement.scrollWidth,
    requests: performance.getEntriesByType("resource").map((entry) => entry.name),
    scripts: document.scripts.length, broken: [...document.images].filter((image) => !image.naturalWidth).length,
    images: document.images.length, text: document.querySelector("main").innerText,
    tables: [...document.querySelectorAll("table")].map((table) => new Set(
      [...table.rows].map((row) => row.cells.length)).size),
  };
  document.getElementById("probe").textContent = JSON.stringify(found);
});</script>"""


def opened(path, tmp_path):
    """What the probe found, and the console's lines."""
    copy = tmp_path / f"probed-{path.name}"
    copy.write_text(path.read_text().replace("</body>", _PROBE + "</body>"))
    told = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={NARROW},2000", "--enable-logging=stderr"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    command = [_BROWSER, *told, *quiet, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    methods = ("free-form-flow", "free-form-flow-distilled", "flow-matching", "flow-map")
    fake_results.fill(folder, data=("earthquake", "ramachandran", fake_results.NASTY), methods=methods)
    return write_report(folder, folder)[0]


def test_it_opens_from_disk_alone_and_fits(page, tmp_path):
    found, console = opened(page, tmp_path)
    assert console == []
    assert found["requests"] == []
    assert found["inner"] == NARROW
    assert found["scroll"] <= NARROW
    assert (found["images"] > 6, found["broken"]) == (True, 0)
    assert set(found["tables"]) == {1}  # no row has a cell too many
    assert found["scripts"] == 1  # the probe's own
    assert fake_results.NASTY in found["text"]


def test_what_must_not_be_is_seen(page, tmp_path):
    broken = tmp_path / "broken.html"
    faults = '<img src="missing.png"><script>console.error("x")</script><p style="width:900px">wide</p></main>'
    broken.write_text(page.read_text().replace("</main>", faults))
    found, console = opened(broken, tmp_path)
    assert len(console) >= 1
    assert any(name.endswith("missing.png") for name in found["requests"])
    assert (found["scroll"] > NARROW, found["broken"], found["scripts"]) == (True, 1, 2)
