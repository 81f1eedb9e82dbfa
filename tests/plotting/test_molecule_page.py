"""The page of molecules in a real browser: it opens from disk, asks for nothing, logs nothing, turns, zooms, fits."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest
import torch
from molecule_cases import ALL, NOWHERE, VERDICTS, WATER

from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.errors import DataError, UsageError
from manifold_gen.plotting.molecule_page import molecule_page

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(_BROWSER is None, reason="there is no Chromium on this machine")

NASTY = "</title><script>alert('x')</script> & \"café\""
NARROW = 400
# A window is never narrower than 500 px, a frame is; the events are those of a person, the answers are read from the
# dumped document. A digest of the canvas stands for what is seen.
_AROUND = """<!DOCTYPE html><meta charset="utf-8"><pre id="probe"></pre><script>
const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const digest = (canvas) => {
  Object.assign(copy.canvas, { width: canvas.width, height: canvas.height });
  copy.drawImage(canvas, 0, 0);
  const bytes = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0, inked = 0;
  for (let i = 0; i < bytes.length; i++) { sum = (sum * 31 + bytes[i]) | 0; inked += i % 4 == 3 && bytes[i] > 0; }
  return [sum, inked];
};
function probe(page) {
  const doc = page.document, canvas = doc.getElementById("view"), seen = {}, said = [];
  const pointer = (kind, x, y) => canvas.dispatchEvent(
    new page.PointerEvent(kind, { pointerId: 1, clientX: x, clientY: y, bubbles: true }));
  const drag = (x, y) => {
    pointer("pointerdown", 100, 100); pointer("pointermove", 100 + x, 100 + y); pointer("pointerup", 0, 0);
  };
  const wheel = (delta) => canvas.dispatchEvent(new page.WheelEvent("wheel", { deltaY: delta, cancelable: true }));
  const key = (name) => doc.dispatchEvent(new page.KeyboardEvent("keydown", { key: name, cancelable: true }));
  const note = (name) => { seen[name] = digest(canvas); };
  const words = () => ["place", "formula", "verdict"].map((id) => doc.getElementById(id).textContent);
  note("first"); drag(60, 20); note("dragged"); drag(-60, -20); note("back");
  pointer("pointermove", 300, 300); note("hovered");
  wheel(-200); note("near"); wheel(200); wheel(400); note("far");
  canvas.dispatchEvent(new page.MouseEvent("dblclick")); note("reset");
  do { said.push(words()); doc.getElementById("next").click(); } while (said.length < 9 && words()[0] !== said[0][0]);
  note("round");
  doc.getElementById("previous").click(); note("last"); key("ArrowRight"); note("key"); key("ArrowUp"); note("tilted");
  const all = [...doc.querySelectorAll("[src], [href], [srcset]")];
  document.getElementById("probe").textContent = JSON.stringify({
    seen, said, inner: page.innerWidth, scroll: doc.documentElement.scrollWidth, title: doc.title,
    heading: doc.querySelector("h1").textContent,
    requests: page.performance.getEntriesByType("resource").map((entry) => entry.name),
    outside: all.map((e) => e.getAttribute("src") || e.getAttribute("href") || "").filter((a) => !/^data:/.test(a)),
    smallest: Math.min(
      ...[...doc.querySelectorAll("body *")].map((e) => parseFloat(page.getComputedStyle(e).fontSize))),
    ground: page.getComputedStyle(doc.body).backgroundColor, ink: page.getComputedStyle(doc.body).color,
  });
}</script>
<iframe onload="probe(this.contentWindow)" style="border:0" height="900" width="WIDTH" srcdoc="PAGE"></iframe>
"""


def opened(path, tmp_path, scheme):
    """What the probe found, and the console's lines."""
    around = tmp_path / "around.html"
    around.write_text(_AROUND.replace("WIDTH", str(NARROW)).replace("PAGE", html.escape(path.read_text())))
    told = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--no-first-run"]
    quiet = ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"]
    light = f"--blink-settings=preferredColorScheme={scheme}"  # 0 dark, 1 light
    command = [_BROWSER, *told, *quiet, light, "--dump-dom", around.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return molecule_page(ALL, tmp_path_factory.mktemp("page") / "molecules.html", NASTY)


@needs_browser
def test_it_opens_from_disk_alone_and_can_be_turned(page, tmp_path):
    found, console = opened(page, tmp_path, scheme=1)
    assert console == []
    assert (found["requests"], found["outside"]) == ([], [])
    assert (found["title"], found["heading"]) == (NASTY, NASTY)
    assert found["inner"] == NARROW
    assert found["scroll"] <= NARROW
    assert found["smallest"] >= 12
    seen = found["seen"]
    assert seen["first"][1] > 1000  # pixels with something on them
    assert seen["dragged"] != seen["first"]
    assert seen["hovered"] == seen["back"]  # a pointer that is up turns nothing
    assert seen["far"][1] < seen["back"][1] < seen["near"][1]
    assert seen["reset"] == seen["round"] == seen["key"] == seen["first"]
    assert seen["last"] != seen["first"]
    assert seen["tilted"] != seen["key"]


@needs_browser
def test_every_molecule_is_shown_with_its_verdict(page, tmp_path):
    found, console = opened(page, tmp_path, scheme=0)
    assert console == []
    said = [f"fails the strict check: {v}" if v else "passes the strict check" for v in VERDICTS[:-1]]
    names = ["1: H2O", "2: CH4", "3: HO", "4: H4O2", "5: H4O"]
    assert found["said"] == [
        [f"{i} of 5", name, verdict] for i, (name, verdict) in enumerate(zip(names, said, strict=True), start=1)
    ]
    # dark where the reader wants it dark
    assert (found["ground"], found["ink"]) == ("rgb(22, 24, 27)", "rgb(236, 236, 236)")


@needs_browser
def test_what_must_not_be_is_seen(page, tmp_path):
    broken = tmp_path / "broken.html"
    faults = (
        '<img src="http://127.0.0.1:9/x.png"><script>console.error("x")</script><p style="width:900px">wide</p></main>'
    )
    text = (
        page.read_text()
        .replace("</main>", faults)
        .replace("turned(0.01 * dx", "turned(0 * dx")
        .replace("0.01 * dy", "0")
    )
    broken.write_text(text)
    found, console = opened(broken, tmp_path, scheme=1)
    assert len(console) >= 1
    assert found["requests"] == found["outside"] == ["http://127.0.0.1:9/x.png"]
    assert found["scroll"] > NARROW
    assert found["seen"]["dragged"] == found["seen"]["first"]


def test_what_the_script_reads(page):
    data = re.search(r'<script type="application/json" id="molecules">(.*?)</script>', page.read_text())[1]
    water = json.loads(data)[0]
    assert (water["atoms"], water["bonds"], water["wrong"]) == (["O", "H", "H"], [[0, 1, 1], [0, 2, 1]], [])
    x = torch.tensor(water["places"]).reshape(3, 3)
    assert torch.allclose(torch.cdist(x, x), torch.cdist(WATER[0], WATER[0]), atol=2e-3)


def test_it_is_turned_but_never_mirrored(tmp_path):
    """A chiral cloud keeps its handedness: the signed volume of four of its atoms."""
    for seed in range(4):
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed)).double() * 3
        path = molecule_page(Molecules.join([(x, torch.tensor([6, 7, 8, 9, 1]))]), tmp_path / "x.html")
        y = torch.tensor(json.loads(re.search(r'id="molecules">(.*?)</script>', path.read_text())[1])[0]["places"])
        before, after = (torch.linalg.det((c[1:4] - c[0]).double()) for c in (x, y.reshape(5, 3)))
        assert torch.isclose(before, after, rtol=0.01)


def test_refusals(tmp_path):
    with pytest.raises(UsageError, match=r"\.html"):
        molecule_page(ALL, tmp_path / "x.png")
    with pytest.raises(DataError, match="none of 1"):
        molecule_page(Molecules.join([NOWHERE]), tmp_path / "x.html")
