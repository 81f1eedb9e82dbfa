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
# A window is never narrower than 500 px, a frame is; what the page in it is asked is read from the dumped document.
_AROUND = """<!DOCTYPE html><meta charset="utf-8"><pre id="probe"></pre><script>function probe(page) {
  const all = [...page.document.querySelectorAll("[src], [href], [srcset]")];
  const found = {
    inner: page.innerWidth, scroll: page.document.documentElement.scrollWidth,
    requests: page.performance.getEntriesByType("resource").map((entry) => entry.name),
    outside: all.map((e) => e.getAttribute("src") || e.getAttribute("href") || "").filter((a) => !/^data:/.test(a)),
    scripts: page.document.scripts.length, images: page.document.images.length,
    broken: [...page.document.images].filter((image) => !image.naturalWidth).length,
    text: page.document.querySelector("main").innerText,
    tables: [...page.document.querySelectorAll("table")].map((table) => new Set(
      [...table.rows].map((row) => row.cells.length)).size),
  };
  document.getElementById("probe").textContent = JSON.stringify(found);
}</script>
<iframe onload="probe(this.contentWindow)" style="border:0" height="2000" width="WIDTH" srcdoc="PAGE"></iframe>
"""


def opened(path, tmp_path):
    """What the probe found, and the console's lines."""
    around = tmp_path / "around.html"
    page = html.escape(path.read_text())
    around.write_text(_AROUND.replace("WIDTH", str(NARROW)).replace("PAGE", page))
    told = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--no-first-run"]
    quiet = ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [_BROWSER, *told, *quiet, "--dump-dom", around.as_uri()]
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
    assert (found["requests"], found["outside"]) == ([], [])
    assert found["inner"] == NARROW
    assert found["scroll"] <= NARROW
    assert (found["images"] > 6, found["broken"]) == (True, 0)
    assert set(found["tables"]) == {1}  # no row has a cell too many
    assert found["scripts"] == 0
    assert fake_results.NASTY in found["text"]


def test_what_must_not_be_is_seen(page, tmp_path):
    broken = tmp_path / "broken.html"
    faults = (
        '<img src="http://127.0.0.1:9/x.png"><script>console.error("x")</script><p style="width:900px">wide</p></main>'
    )
    broken.write_text(page.read_text().replace("</main>", faults))
    found, console = opened(broken, tmp_path)
    assert len(console) >= 1
    assert found["requests"] == found["outside"] == ["http://127.0.0.1:9/x.png"]
    assert (found["scroll"] > NARROW, found["broken"], found["scripts"]) == (True, 1, 1)
