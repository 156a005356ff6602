"""The report in a real browser: on a phone and a screen, light and dark, nothing cut or faint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from pipeline.export import report
from tests import browser as chromium
from tests.browser import Browser, Page

if TYPE_CHECKING:
    from tests.export.conftest import Artifacts

pytestmark = pytest.mark.skipif(chromium.FOUND is None, reason=chromium.REASON)

PHONE, SCREEN = 360, 1_200
READABLE: Final = 4.5  # WCAG 2.2, success criterion 1.4.3, level AA
LARGEST: Final = 1_000_000  # bytes of a report

# Every element that shows text of its own, with the contrast of that text to what lies behind it
# (WCAG 2.2: relative luminance of sRGB, (L1 + 0.05) / (L2 + 0.05)); half-clear backgrounds blended.
CONTRASTS = """
(() => {
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = c => c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const over = (top, below) => {
    const a = top[3] === undefined ? 1 : top[3];
    return [0, 1, 2].map(i => a * top[i] + (1 - a) * below[i]);
  };
  const behind = element => {
    if (!element) return [255, 255, 255];
    const own = parts(getComputedStyle(element).backgroundColor);
    return own[3] === 0 ? behind(element.parentElement)
                        : over(own, own[3] < 1 ? behind(element.parentElement) : own);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter(n => n.nodeType === 3 && n.data.trim());
    if (!own.length || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), inside = element.closest("svg");
    const ground = behind(inside ? inside.parentElement : element);
    const ink = over(parts(inside ? style.fill : style.color), ground);
    const [one, two] = [light(ink), light(ground)].sort((a, b) => b - a);
    found.push([own[0].data.trim().slice(0, 40), (one + 0.05) / (two + 0.05)]);
  }
  return found;
})()
"""
# What reaches over the right edge of the page or of its own table, tables that scroll left out.
CUT = """
[...document.querySelectorAll("body *")].filter(element => {
  const box = element.getBoundingClientRect(), scrolls = element.closest(".scroll");
  return box.width && !(scrolls && scrolls !== element) && box.right > innerWidth + 0.5;
}).map(element => element.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.started(tmp_path_factory.mktemp("browser")) as running:
        yield running


class Written(NamedTuple):
    """A report, and the seconds of a processor that it took."""

    path: Path
    seconds: float


@pytest.fixture(scope="module")
def written_once(artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder, start = tmp_path_factory.mktemp("run"), time.process_time()
    path = report.write(artifacts.run, artifacts.references, artifacts.store, folder)
    return Written(path, time.process_time() - start)


@pytest.fixture(scope="module")
def path(written_once: Written) -> Path:
    return written_once.path


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Page]:
    """The report, open; nothing is complained of and nothing else asked for."""
    opened = browser.open(path)
    yield opened
    assert opened.complaints() == []
    assert {address.split("#")[0] for address in opened.requests()} == {path.as_uri()}
    opened.close()


def all_open(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.parametrize("width", [320, PHONE, 768, SCREEN])
def test_nothing_reaches_over_the_edge_of_the_page(page: Page, width: int) -> None:
    page.size(width, 800, phone=width < 768)
    all_open(page)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_every_text_stands_out_from_what_lies_behind_it(
    page: Page, width: int, *, dark: bool
) -> None:
    page.size(width, 800, phone=width == PHONE, dark=dark)
    all_open(page)
    found: list[tuple[str, float]] = page.evaluate(CONTRASTS)

    assert len(found) > 400
    assert [(text, round(ratio, 2)) for text, ratio in found if ratio < READABLE] == []


@pytest.mark.parametrize("verdict", ["ship", "inconclusive", "regress"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_verdict_is_readable(page: Page, verdict: str, *, dark: bool) -> None:
    page.size(SCREEN, 800, dark=dark)
    page.evaluate(f"document.querySelector('.verdict').className = 'verdict {verdict}'")
    found: list[tuple[str, float]] = page.evaluate(CONTRASTS)

    assert min(ratio for _, ratio in found) >= READABLE


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_what_is_drawn_stands_out_too(page: Page, *, dark: bool) -> None:
    page.size(SCREEN, 800, dark=dark)
    page.evaluate("""["base", "adapted", "second", "third", "ink"].forEach(name => {
        const one = document.body.appendChild(document.createElement("p"));
        one.style = `color: var(--${name}); background: var(--card)`;
        one.textContent = "drawn " + name; })""")
    drawn = {text: ratio for text, ratio in page.evaluate(CONTRASTS) if text.startswith("drawn ")}

    assert len(drawn) == 5
    assert min(drawn.values()) >= READABLE, drawn


def test_the_screenshots_differ_by_theme_and_are_not_empty(page: Page, tmp_path: Path) -> None:
    shots = {}
    for name, width, dark in (("phone", PHONE, False), ("light", SCREEN, False),
                              ("dark", SCREEN, True)):  # fmt: skip
        page.size(width, 800, phone=width == PHONE, dark=dark)
        place = tmp_path / f"{name}.png"
        page.screenshot(place)
        shots[name] = place.read_bytes()

    assert len(set(shots.values())) == 3
    assert min(len(shot) for shot in shots.values()) > 10_000


def test_on_a_phone_a_figure_stands_beside_its_name(page: Page) -> None:
    page.size(PHONE, 800, phone=True)
    shown = page.text("#sets table.stack tr.first")

    assert shown.split()[:6] == ["gold", "domain,", "420", "pairs", "Spearman's", "ρ"]
    label = "getComputedStyle(document.querySelector('#sets td[data-label]'), '::before').content"
    assert page.evaluate(label) == '"base"'
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#sets thead')).display") == "none"
    )
    page.size(SCREEN, 800)
    assert page.evaluate(label) == "none"


def test_every_plot_says_what_it_shows(page: Page) -> None:
    labels: list[str] = page.evaluate(
        "[...document.querySelectorAll('svg')].map(svg => svg.getAttribute('aria-label'))"
    )

    assert len(labels) == len(set(labels)) == 13
    assert any(label.startswith("Differences with their intervals. gold, ") for label in labels)
    assert any("Old thresholds do not carry over" in label for label in labels)
    unnamed = "[...document.querySelectorAll('.scroll')].filter(x => !x.getAttribute('aria-label'))"
    assert page.evaluate(f"{unnamed}.length") == 0


def test_every_part_in_the_contents_is_there_in_that_order(page: Page) -> None:
    wanted = page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
    there = page.evaluate("[...document.querySelectorAll('section[id]')].map(x => x.id)")
    titles = page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.textContent)")
    heads = page.evaluate("[...document.querySelectorAll('section[id] h2')].map(x => x.innerText)")

    assert wanted == there
    assert titles == heads
    page.click("nav a[href='#saturation']")
    page.wait("document.getElementById('saturation').getBoundingClientRect().top < 60")


def test_it_prints_whole(page: Page) -> None:
    page.call("Emulation.setEmulatedMedia", {"media": "print"})
    page.size(794, 1_123)  # A4 at 96 dots an inch; this resets the medium to the screen's features
    page.call("Emulation.setEmulatedMedia", {"media": "print"})
    hidden: Any = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(x => x.scrollWidth > x.clientWidth + 1"
        " && getComputedStyle(x).overflowX !== 'visible').length"
    )

    assert hidden == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert page.call("Page.printToPDF", {"printBackground": False})["data"].startswith("JVBERi0")


def test_a_report_is_small_and_quick(written_once: Written) -> None:
    assert written_once.seconds < 3
    assert written_once.path.stat().st_size < LARGEST
