"""The page in a browser: width, sorting, switches and themes, without errors."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.reporting.html.site import write_site
from switchhead_lab.reporting.selection import recorded_sweeps

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")
HEADS = {"model": "dense-h2", "quality": {"kind": "not_worse", "margin": 1.0}, "max_seeds": 3}

# Errors are counted from before the page's own script on; findings go to the page around it, since
# a headless window is never as narrow as a phone.
CATCH = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
console.error = (...words) => errors.push(words.join(" "));
</script>"""
PROBE = """<script>
addEventListener("load", () => {
  const $ = (selector) => document.querySelector(selector);
  const seen = (selector) => [...document.querySelectorAll(selector)]
    .filter((one) => one.getClientRects().length).length;
  const colour = () => getComputedStyle(document.body).backgroundColor;
  const found = {};
  found.width = innerWidth;
  found.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  found.light = colour();
  $("#theme").click();
  found.dark = colour();
  const heading = [...document.querySelectorAll(".comparison th")]
    .find((one) => one.textContent === "validation perplexity");
  const column = heading.cellIndex;
  const values = () => [...document.querySelectorAll(".comparison tbody tr")]
    .map((row) => row.cells[column].dataset.v);
  heading.querySelector("button").click();
  found.falling = values();
  found.order = [heading.getAttribute("aria-sort")];
  heading.querySelector("button").click();
  found.rising = values();
  found.order.push(heading.getAttribute("aria-sort"));
  found.figures = {}; found.costs = {};
  for (const one of ["all", "published", "equations", "executed"]) {
    $(`#by-${one}`).click();
    found.figures[one] = [seen("figure"), seen(`figure.c-${one}`)];
    found.costs[one] = [seen("thead .c"), seen(`thead .c-${one}`)];
  }
  $(".comparison td a.v[data-r]").click();
  found.runs = document.querySelectorAll("#inspector .run").length;
  found.shown = $("#inspector").matches(":popover-open");
  $("#inspector").hidePopover();
  const drawn = $(".plot a.v");
  drawn.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
  found.drawn = $("#inspector").matches(":popover-open");
  found.errors = errors;
  parent.postMessage(found, "*");
});
</script>"""
AROUND = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<script>addEventListener("message", (event) => {
  const shown = document.createElement("pre");
  shown.textContent = JSON.stringify(event.data);
  document.body.append(shown);
});</script>
<iframe src="probed.html" style="width:390px;height:800px;border:0"></iframe>"""


@pytest.fixture
def page(home: Path, make_writer) -> Path:
    writer = make_writer(claims=[HEADS])
    writer.fill_models()
    writer.fill_study()
    writer.write()
    lab = find_workspace(home)
    return write_site(lab, recorded_sweeps(lab.runs_dir))


def dump(path: Path, *options: str) -> str:
    """Return a page's elements after its scripts."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *options]
    command += [f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@pytest.fixture
def found(page: Path) -> dict[str, Any]:
    """Return what a script finds in the page at the width of a phone."""
    text = page.read_text(encoding="utf-8")
    probed = text.replace("<head>", f"<head>{CATCH}", 1).replace("</body>", f"{PROBE}</body>")
    (page.parent / "probed.html").write_text(probed, encoding="utf-8")
    around = page.parent / "around.html"
    around.write_text(AROUND, encoding="utf-8")
    message = re.search(r"<pre>(.*?)</pre>", dump(around))
    assert message is not None, "the page's script ended with an error"
    data: dict[str, Any] = json.loads(message[1])
    return data


def test_the_page_works_at_the_width_of_a_phone(found: dict[str, Any]) -> None:
    assert found["errors"] == []
    assert (found["width"], found["overflow"]) == (390, 0)
    assert found["light"] != found["dark"]
    falling = [float(value) for value in found["falling"]]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == 4
    assert found["rising"] == found["falling"][::-1]
    assert found["order"] == ["descending", "ascending"]


def test_costs_and_figures_follow_the_convention(found: dict[str, Any]) -> None:
    """Three figures; three costs in the main table and three in that of costs."""
    for convention in ("published", "equations", "executed"):
        assert found["figures"][convention] == [3, 3]
        assert found["costs"][convention] == [6, 6]
    assert found["figures"]["all"][0] == 3
    assert found["costs"]["all"][0] == 3 + 9


def test_numbers_and_points_show_their_runs(found: dict[str, Any]) -> None:
    assert found["runs"] >= 2
    assert found["shown"]
    assert found["drawn"]


def test_the_theme_follows_the_system(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    colour = "document.title = getComputedStyle(document.body).backgroundColor"
    page.write_text(text.replace("</body>", f"<script>{colour}</script></body>"), encoding="utf-8")
    dark = "--blink-settings=preferredColorScheme=0"
    titles = [re.search("<title>(.*?)</title>", dump(page, *one)) for one in ((), (dark,))]
    light, dark_one = (title[1] for title in titles if title is not None)
    assert light != dark_one


def test_without_scripts_everything_is_readable(page: Path) -> None:
    """Without its script the page is the same; only sorting and the list beside a number go."""
    text = re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    shown = dump(page)
    assert "35.50 ± 0.50" in shown
    assert 'id="theme" hidden' in shown
