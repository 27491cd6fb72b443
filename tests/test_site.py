"""The built site in a browser, at the widths of a desktop and of a phone.

The tests need docs/_build/html, which README tells how to build. Those that open the
pages need Chromium with ChromeDriver.
"""

import functools
import http.server
import re
import shutil
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs" / "_build" / "html"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if path.relative_to(SITE).parts[0] != "_static"
)

if not PAGES:
    pytest.skip("the site is not built, see README", allow_module_level=True)

FAULTS = """
const faults = [], width = window.innerWidth, root = document.documentElement;
if (root.scrollWidth > width)
    faults.push(`the page is ${root.scrollWidth} pixels wide`);
const style = getComputedStyle;
const shown = (x) => x.getClientRects().length && style(x).visibility !== "hidden";
const boxes = [...document.querySelectorAll(
    ".bd-header .navbar-brand, .bd-header li.nav-item, .bd-header button")]
    .filter(shown).map((x) => [x, x.getBoundingClientRect()]);
if (!boxes.some(([x]) => x.matches(".search-button, .search-button-field")))
    faults.push("no button opens the search");
for (const [x, a] of boxes) {
    if (a.left < 0 || a.right > width) faults.push(`outside: ${x.className}`);
    for (const [y, b] of boxes)
        if (x !== y && !x.contains(y) && !y.contains(x)
            && a.left < b.right - 1 && b.left < a.right - 1
            && a.top < b.bottom - 1 && b.top < a.bottom - 1)
            faults.push(`overlap: ${x.className} and ${y.className}`);
}
const scrolls = (x) => x && x !== root && x !== document.body
    && (["auto", "scroll"].includes(style(x).overflowX)
        || scrolls(x.parentElement));
for (const x of document.querySelectorAll("article *")) {
    const isCut = x.getBoundingClientRect().right > width + 1
        || (x.clientWidth && x.scrollWidth > x.clientWidth + 1);
    if (shown(x) && isCut && !x.closest("svg") && !scrolls(x))
        faults.push(`cut off: ${x.tagName} ${x.textContent.slice(0, 40)}`);
}
for (const picture of document.images)
    if (!picture.complete || !picture.naturalWidth)
        faults.push(`no picture: ${picture.src}`);
return faults;
"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    handler = functools.partial(QuietHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("Chromium and ChromeDriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as driver:
        yield driver


def test_summary_tables_have_the_main_methods():
    for page in sorted(SITE.glob("generated/*Encoder.html")):
        html = page.read_text(encoding="utf-8")
        table = re.search(r">Methods<.*?</table>", html, re.DOTALL)[0]
        for name in "fit", "transform", "inverse_transform", "set_output":
            assert f">{name}<" in table, page.name


def test_benchmarks_have_their_pictures():
    page = (ROOT / "docs" / "benchmarks.rst").read_text(encoding="utf-8")
    html = (SITE / "benchmarks.html").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. plot:: pictures\.py (\w+)$", page, re.MULTILINE)
    assert names
    assert re.findall(r"<img [^>]*/pictures_(\w+)\.png", html) == names


def test_the_example_of_readme():
    """README shows the means that the gallery prints, but for their last digits."""

    def means(text):
        line = re.compile(r"^(\S.*\S) +([\d.]+) \([\d.]+, [\d.]+\)$", re.MULTILINE)
        return {name: float(mean) for name, mean in line.findall(text)}

    example = SITE / "auto_examples" / "basics" / "plot_digits_pipeline.html"
    shown = means((ROOT / "README.md").read_text(encoding="utf-8"))
    found = means(re.sub("<.*?>", "", example.read_text(encoding="utf-8")))
    assert len(shown) == 5
    assert shown.keys() == found.keys()
    for name, mean in shown.items():
        assert abs(mean - found[name]) <= (1.5 if "codes of" in name else 0.015)
    assert found["accuracy, sparse codes"] >= found["accuracy, PCA"] - 0.02
    assert found["R2 of reconstructions"] >= 0.8
    assert found["active codes of 200"] <= 40


def set_width(browser, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.mark.parametrize("width", [1400, 400])
def test_pages_fit_and_have_no_errors(browser, address, width):
    set_width(browser, width)
    faults = {}
    for page in PAGES:
        browser.get(f"{address}/{page}")
        found = browser.execute_script(FAULTS)
        found += [
            entry["message"]
            for entry in browser.get_log("browser")
            if entry["level"] == "SEVERE"
        ]
        if found:
            faults[page] = found
    assert not faults


@pytest.mark.parametrize("width", [1400, 400])
def test_faults_are_found(browser, address, width):
    """What the test above looks for is found where it is."""
    set_width(browser, width)
    browser.get(f"{address}/index.html")
    assert browser.execute_script(FAULTS) == []
    browser.execute_script(
        "const wide = document.createElement('div');"
        "wide.style.width = '2000px'; wide.textContent = 'wide';"
        "document.querySelector('article').append(wide, new Image());"
        "document.querySelector('.navbar-brand').style.width = '1300px';"
        "document.querySelector('.navbar-brand').style.flexShrink = 0;"
    )
    found = " ".join(browser.execute_script(FAULTS))
    for fault in "pixels wide", "no picture", "outside":
        assert fault in found
