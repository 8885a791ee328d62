"""The report in headless Chromium: it loads nothing, fits a phone, and can be read in both colour schemes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic")
VIEWPORTS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}

SECTIONS = [
    *("headline", "curves", "confusion", "classes", "calibration", "thresholds", "wrong", "labels", "balance"),
    *("augmentations", "arguments", "environment"),
]

CONTRAST = """() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || ["SCRIPT", "STYLE", "title", "desc"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const [a, b] = [rgb(element instanceof SVGElement ? style.fill : style.color), background(element)].map(luminance);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${element.tagName}.${element.getAttribute("class") ?? ""}`;
    found[name] = Math.min(found[name] ?? 21, ratio);
  }
  return found;
}"""
"""Least contrast of text by kind of element, as WCAG 2.1 defines it."""


LINES_OF_WORDS = """codes => codes.map(code => [...code.childNodes].filter(n => n.nodeType === 3).map(text => {
  const range = document.createRange();
  range.selectNodeContents(text);
  return new Set([...range.getClientRects()].map(rect => rect.top)).size;
}))"""
"""Over how many lines each word of a name goes."""


def unavailable(reason: str) -> NoReturn:
    """Skip the test; in CI, where all that it needs is installed, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = next((path for path in map(shutil.which, BROWSERS) if path), None) or unavailable("no chromium here")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("the package playwright is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Any]]:
    """Open a file: `visit(path, "phone", "dark")`. It must load nothing else and keep the console empty."""
    visits: list[tuple[Any, str, list[str], list[str]]] = []

    def start(file: Path, viewport: str = "desktop", scheme: str = "light", **options: Any) -> Any:
        context = chromium.new_context(viewport=VIEWPORTS[viewport], color_scheme=scheme, **options)
        tab, requests, complaints = context.new_page(), [], []
        visits.append((context, file.as_uri(), requests, complaints))
        context.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(file.as_uri())
        return tab

    yield start
    for context, address, requests, complaints in visits:
        context.close()
        assert [url for url in requests if not url.startswith("data:image/webp;")] == [address]
        assert complaints == []


@pytest.fixture(params=["multiclass", "multilabel"])
def report(request, score, report_of, tmp_path) -> Path:
    """A page of awkward names, on disk."""
    from lightly_train.report.page import page

    names = ["cat", "<script>alert(1)</script>", "a very long name of a class " * 5, "חתול", "猫", "x" * 90]
    scored = score(names, 200, task=request.param, skill=2.5)
    frozen = attrs.evolve(report_of(scored), title="<b>run</b> " + "y" * 100, notes=("Of an even sample.",))
    path = tmp_path / "report.html"
    path.write_text(page(frozen), encoding="utf-8")
    return path


@pytest.fixture(params=["phone-light", "phone-dark", "desktop-light", "desktop-dark"])
def way(request) -> tuple[str, str]:
    """A viewport and a colour scheme."""
    viewport, _, scheme = request.param.partition("-")
    return viewport, scheme


def test_the_page_is_whole_and_fits(visit, report, way, tmp_path):
    tab = visit(report, *way)
    shown = tab.eval_on_selector_all("main > section", "sections => sections.map(s => s.id)")
    multilabel = "thresholds" in shown
    assert shown == [name for name in SECTIONS if multilabel or name != "thresholds"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= VIEWPORTS[way[0]]["width"]
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    folder = Path(os.environ.get("REPORT_SCREENSHOTS", tmp_path))
    name = f"{'multilabel' if multilabel else 'multiclass'}-{'-'.join(way)}.png"
    picture = tab.screenshot(full_page=True, path=folder / name)
    assert len(picture) > 50_000


def test_all_text_has_a_contrast_of_at_least_four_and_a_half(visit, report, way):
    tab = visit(report, *way)
    for details in tab.query_selector_all("details"):
        details.evaluate("element => element.open = true")
    found = tab.evaluate(CONTRAST)
    assert len(found) > 20
    assert {name: round(ratio, 2) for name, ratio in found.items() if ratio < 4.5} == {}


def test_names_of_arguments_are_broken_between_words_on_a_phone(visit, report_of, score, tmp_path):
    from lightly_train.report.page import page

    names = ("save_checkpoint_args.save_every_num_steps", "gradient_accumulation_steps", "early_stopping_args.patience")
    rows = tuple((name, "a value of some length " * 3, "a reason of some length " * 3) for name in names)
    path = tmp_path / "report.html"
    path.write_text(page(attrs.evolve(report_of(score(["a", "b"], 40)), arguments=rows)), encoding="utf-8")
    tab = visit(path, "phone")
    lines = tab.locator("#arguments tbody th code").evaluate_all(LINES_OF_WORDS)
    assert [len(words) for words in lines] == [7, 3, 4]
    assert [sum(words) for words in lines] == [7, 3, 4]


def test_every_drawing_has_a_name_and_a_description(visit, report):
    drawings = visit(report).get_by_role("img").all()
    assert len(drawings) > 10
    for drawing in drawings:
        named = drawing.get_attribute("alt") or drawing.locator("desc").first.text_content()
        assert len(named) > 10


def test_a_table_is_sorted_by_the_column_that_is_clicked(visit, report):
    tab = visit(report)
    table = tab.locator("#classes table")
    column = "rows => rows.map(row => parseFloat(row.cells[2].textContent))"
    button = table.get_by_role("button", name="Images")
    for order, expected in (("ascending", 1), ("descending", -1)):
        button.click()
        assert table.locator("th[aria-sort]").get_attribute("aria-sort") == order
        values = table.locator("tbody tr").evaluate_all(column)
        assert (np.diff(values) * expected >= 0).all()
        assert len(values) == 6


def test_without_scripts_everything_is_there(visit, report):
    tab = visit(report, java_script_enabled=False)
    assert tab.locator("main > section h2").count() >= 11
    assert tab.locator("#classes tbody tr").count() == 6


def test_a_link_at_the_top_leads_to_its_section(visit, report):
    tab = visit(report, reduced_motion="reduce")
    tab.get_by_role("link", name="Class balance").click()
    assert tab.evaluate("document.querySelector('#balance h2').getBoundingClientRect().top") < 900


def test_the_browser_refuses_a_script_that_is_not_ours(chromium, report):
    """The content security policy is what stands behind the escaping."""
    text = report.read_text(encoding="utf-8")
    changed = report.with_name("changed.html")
    changed.write_text(text.replace("</main>", "<script>document.title = 'taken'</script></main>"), encoding="utf-8")
    tab = chromium.new_context().new_page()
    refused = []
    tab.on("console", lambda message: refused.append(message.text))
    tab.goto(changed.as_uri())
    assert tab.title() != "taken"
    assert any("Content Security Policy" in text for text in refused)
    tab.context.close()
