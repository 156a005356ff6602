"""The page of an ablation, looked at in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flows import ablation
from pipeline.evaluation.resampling import Bootstrap
from pipeline.trials import table
from pipeline.trials.grid import OWN, Trial
from pipeline.trials.table import Row, Scored
from tests import browser as chromium
from tests.browser import Browser, Page

pytestmark = pytest.mark.skipif(chromium.FOUND is None, reason=chromium.REASON)

LEVELS = {
    "rank=4": ("rank", "4", 0.9),
    "rank=32": ("rank", "32", 0.5),
    "template=<b>": ("template", "A <b>bold</b> & 'quoted' one: {text}", 0.85),
    "epochs=90": ("epochs", "90", 0.0),
}


def found() -> ablation.Ablation:
    """Return an ablation with a better, two like and one failed setting, by two seeds."""
    generator = np.random.default_rng(4)
    common = np.random.default_rng(5).normal(size=240)  # what is hard for every model
    gold = np.repeat(np.linspace(0, 1, 6), 40)
    trials = [Trial(name=OWN)]
    trials += [Trial(name=name, factor=factor, level=level, changes={f"train.{factor}": level})
               for name, (factor, level, _) in LEVELS.items()]  # fmt: skip
    rows = [Row(trial=trial, pairs=640, seconds=95.4) for trial in trials]
    for split in table.SPLITS:
        noises = [0.9, *(noise for *_, noise in LEVELS.values() if noise)]
        made = [Scored(gold, gold + 0.5 * generator.normal(size=240),
                       gold + noise * (common + 0.2 * generator.normal(size=(2, 240))))
                for noise in noises]  # fmt: skip
        effects = table.effects(made, Bootstrap(300, 0.95, 1))
        for number, effect in enumerate(effects):
            rows[number] = rows[number].model_copy(update={split: effect})
    rows[-1] = Row(trial=trials[-1], failed="the loss is not a number at step 3 <script>")
    chosen, told = table.best(rows, 0.05, 0.02)
    return ablation.Ablation(
        domain="python-stdlib", name="python-stdlib-ablate-1", created="2026-11-24T16:00:00+00:00",
        command=ablation.Asked("d.yaml", [], ["rank,template", "epochs=90"], seeds=2)._asdict(),
        seeds=(13, 14), gold={"dev": 240, "test": 240}, confidence=0.95, resamples=300,
        allowed_loss=0.02, rows=tuple(rows), chosen=chosen.trial.name, told=told,
        versions={"python": "3.11.9", "torch": "2.13.0"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.started(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    opened = browser.open(ablation.write(found(), tmp_path) / "ablation.html")
    yield opened
    assert opened.complaints() == []
    assert all(url.startswith("file:") and url.endswith("ablation.html")
               for url in opened.requests())  # fmt: skip
    opened.close()


def shots(page: Page, name: str) -> None:
    """Keep what is shown where the environment names a folder, for people to look at."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(Path(folder) / name, whole=True)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "phone"), [(1200, False), (360, True)], ids=["wide", "phone"])
def test_the_page_fits_and_says_first_what_to_choose_and_by_what(
    page: Page, width: int, *, phone: bool, dark: bool
) -> None:
    page.size(width, 800, phone=phone, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.text(".says").startswith("Take rank=32: +0.")
    assert "Choose by the dev columns alone" in page.text("section")
    top = page.evaluate("document.querySelector('.says').getBoundingClientRect().bottom")
    assert top < 800
    shots(page, f"ablation-{width}{'-dark' if dark else ''}.png")


def test_every_row_is_drawn_with_its_interval_and_text_stays_text(page: Page) -> None:
    assert page.evaluate("document.querySelectorAll('svg').length") == 3
    assert page.evaluate("document.querySelectorAll('b, script').length") == 0
    assert "A <b>bold</b> & 'quoted' one: {text}" in page.text("main")
    assert "failed: the loss is not a number at step 3 <script>" in page.text("main")
    inside = (
        "[...document.querySelectorAll('svg line, svg circle')].every(one => {"
        "const box = one.getBBox(); return box.x >= 0 && box.x + box.width <= 120; })"
    )
    assert page.evaluate(inside)
