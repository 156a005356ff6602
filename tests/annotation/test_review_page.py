"""The review page in a real browser: keys grade, nothing is lost, texts stay texts."""

from __future__ import annotations

import json
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.annotation.review import ReviewRow, as_csv, write_review
from pipeline.annotation.reviewed import Asked, read_review
from pipeline.records import pair_id
from tests import browser as chromium
from tests.browser import Browser, Page

pytestmark = pytest.mark.skipif(chromium.FOUND is None, reason=chromium.REASON)

HOSTILE = (
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'>",
    "</script><script>window.hit = 3</script>",
    "a\u2028b\u2029c \x00\x1b \\u003cb\\u003e &lt;i&gt; <!-- <b>bold</b>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} #{7} __proto__",
    "=HYPERLINK(\"http://example.org\";\"x\")",
    "javascript:alert(1) http://example.org/x.png",
    "\u202eright to left אבג",
)  # fmt: skip


def row(first: str, second: str, **fields: object) -> ReviewRow:
    values = {"pair_id": pair_id(first, second), "sentence1": first, "sentence2": second}
    return ReviewRow.model_validate(values | fields)


def plain(count: int = 5) -> list[ReviewRow]:
    said = {"likelihood": 0.9, "<b>tfidf</b>": 0.13, "silent": None}
    return [row(f"Open file {i}.", f"Open the file {i}!", scores=said) for i in range(count)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.started(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_review(plain(), tmp_path, title="Five pairs").page


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Page]:
    """A page without complaints and without a request but for itself, before and after."""
    opened = browser.open(path)
    opened.evaluate("localStorage.clear()")
    opened.go(path)
    yield opened
    assert opened.complaints() == []
    assert {address.split("#")[0] for address in opened.requests()} == {path.as_uri()}
    opened.close()


def where(page: Page) -> str:
    return page.text("#where")


def chosen(page: Page) -> list[str]:
    selector = "#grades [aria-pressed=true]"
    found: list[str] = page.evaluate(
        f"[...document.querySelectorAll('{selector}')].map(button => button.dataset.grade)"
    )
    return found


def downloaded(page: Page, kind: str) -> Path:
    page.click(f"#save-{kind}")
    return page.browser.downloaded()


def grades(page: Page) -> list[float | None]:
    lines = downloaded(page, "jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line)["score"] for line in lines]


def test_a_digit_grades_the_pair_and_shows_the_next(page: Page) -> None:
    assert where(page) == "Pair 1 of 5"
    assert page.text("#text-1") == "Open the file 0!"
    page.press("4")
    assert (where(page), page.text("#text-0")) == ("Pair 2 of 5", "Open file 1.")
    assert page.text("#status") == "Pair 1: grade 4"
    assert page.text("#counts") == "1 graded · 4 open"
    assert page.evaluate("document.getElementById('progress').value") == 1
    assert chosen(page) == []
    page.press("0", "5")
    assert grades(page) == [4, 0, 5]


def test_keys_that_are_no_grade_do_nothing(page: Page) -> None:
    page.press("6", "9", "x", " ", "Enter", "ArrowUp")
    page.press("3", modifiers=2)  # with Ctrl, which is the browser's
    page.press("3", autoRepeat=True)
    assert (where(page), page.text("#counts")) == ("Pair 1 of 5", "0 graded · 5 open")


def test_digits_above_others_on_the_keyboard_grade_without_shift(page: Page) -> None:
    page.press('"', code="Digit3")
    page.press("#", code="Digit3", modifiers=8)
    assert grades(page) == [3]


@pytest.mark.parametrize("key", ["ArrowLeft", "Backspace"])
def test_going_back_corrects_a_grade(page: Page, key: str) -> None:
    page.press("1", "2", key, key)
    assert (where(page), chosen(page)) == ("Pair 1 of 5", ["1"])
    page.press("5")
    assert page.text("#status") == "Pair 1: grade 5, was 1"
    assert (where(page), chosen(page)) == ("Pair 2 of 5", ["2"])
    page.press(key, key, key)
    assert where(page) == "Pair 1 of 5"
    assert grades(page) == [5, 2]


def test_buttons_do_what_keys_do(page: Page) -> None:
    page.click("#grades [data-grade='3']")
    page.click("[data-act=skip]")
    page.click("[data-act=next]")
    page.click("#grades [data-grade='1']")
    assert page.text("#counts") == "2 graded · 1 skipped · 2 open"
    page.click("[data-act=back]")
    assert (where(page), chosen(page)) == ("Pair 4 of 5", ["1"])
    page.click("[data-act=open]")
    assert where(page) == "Pair 5 of 5"
    page.click("[data-act=open]")
    assert where(page) == "Pair 3 of 5"


def test_skipping_takes_a_grade_back(page: Page) -> None:
    page.press("4", "4", "ArrowLeft", "s")
    assert (where(page), page.text("#counts")) == ("Pair 3 of 5", "1 graded · 1 skipped · 3 open")
    assert grades(page) == [4]


def test_a_note_is_typed_without_grading_and_kept_with_the_pair(page: Page) -> None:
    page.press("n")
    page.type("3 things, s and n")
    page.press("4", "Enter")
    assert where(page) == "Pair 1 of 5"
    page.press("2")
    assert page.evaluate("document.getElementById('note').value") == ""
    page.press("ArrowLeft")
    assert page.evaluate("document.getElementById('note').value") == "3 things, s and n4"
    assert json.loads(downloaded(page, "jsonl").read_text())["note"] == "3 things, s and n4"


def test_a_note_without_a_grade_is_downloaded_too(page: Page) -> None:
    page.press("n")
    page.type("cannot tell")
    page.press("Escape", "s")
    found = json.loads(downloaded(page, "jsonl").read_text())
    assert (found["score"], found["note"]) == (None, "cannot tell")


def test_what_annotators_said_is_hidden_until_graded_or_asked_for(page: Page, path: Path) -> None:
    assert page.text("#said") == ""
    assert "likelihood" not in page.text("body")
    page.press("4", "ArrowLeft")
    assert page.text("#said").split("\n") == [
        "You", "4", "likelihood", "4.5", "<b>tfidf</b>", "0.7", "silent", "no score",
    ]  # fmt: skip
    page.press("ArrowRight")
    assert page.text("#said") == ""
    page.press("a")
    assert page.text("#said").startswith("likelihood\n4.5")
    page.go(path)
    assert page.text("#said").startswith("likelihood\n4.5")
    page.press("a")
    assert page.text("#said") == ""


def test_help_opens_by_key_and_takes_the_keys(page: Page) -> None:
    page.press("?")
    assert page.evaluate("document.getElementById('help').open")
    assert "Grade the pair and go on" in page.text("#help")
    page.press("3")
    page.press("Escape")
    assert not page.evaluate("document.getElementById('help').open")
    assert page.text("#counts") == "0 graded · 5 open"


def test_closing_the_tab_loses_nothing(browser: Browser, page: Page, path: Path) -> None:
    page.press("1", "s", "3", "n")
    page.type("half a no")
    page.click("#reviewer")
    page.type("Ada")
    again = browser.open(path)
    assert where(again) == "Pair 4 of 5"
    assert again.evaluate("document.getElementById('note').value") == "half a no"
    assert again.evaluate("document.getElementById('reviewer').value") == "Ada"
    assert again.text("#counts") == "2 graded · 1 skipped · 2 open"
    assert grades(again) == [1, 3, None]
    again.press("ArrowRight", "0")
    page.wait("document.getElementById('counts').textContent.startsWith('3 graded')")
    assert grades(page) == [1, 3, None, 0]
    again.close()


def test_another_file_has_grades_of_its_own(browser: Browser, page: Page, tmp_path: Path) -> None:
    page.press("1", "2")
    other = browser.open(write_review(plain(3), tmp_path / "other").page)
    assert (where(other), other.text("#counts")) == ("Pair 1 of 3", "0 graded · 3 open")
    other.close()


@pytest.mark.parametrize(
    "kept", ["{", "3", "null", '{"at": 99, "answers": {"0": {"grade": 77}, "1": 4, "x": {}}}']
)
def test_damaged_state_is_not_taken_for_grades(page: Page, path: Path, kept: str) -> None:
    page.press("1")
    key = page.evaluate("Object.keys(localStorage)[0]")
    page.evaluate(f"localStorage.setItem({json.dumps(key)}, {json.dumps(kept)})")
    page.go(path)
    assert page.text("#counts") == "0 graded · 5 open"


def test_a_browser_that_keeps_nothing_says_so_and_still_grades(page: Page) -> None:
    page.evaluate("Storage.prototype.setItem = () => { throw new Error('full') }")
    page.press("4")
    assert "download them before you close the page" in page.text("#warning")
    assert grades(page) == [4]


def test_grades_given_before_are_where_it_starts(browser: Browser, tmp_path: Path) -> None:
    rows = [*plain(2), row("a", "b", score=2.5, note="so so")]
    page = browser.open(write_review(rows, tmp_path).page)
    assert page.text("#counts") == "1 graded · 2 open"
    page.press("5")
    assert grades(page) == [5, 2.5]
    page.close()


def test_after_the_last_pair_it_says_what_is_open(page: Page) -> None:
    page.press("1", "2", "ArrowRight", "4", "s")
    assert page.text("#end-title") == "That was the last pair"
    assert "3 graded · 1 skipped · 1 open" in page.text("#end-counts")
    assert page.evaluate("document.getElementById('pair').checkVisibility()") is False
    page.press("3", "s")
    page.click("#end [data-act=open]")
    assert where(page) == "Pair 3 of 5"
    page.press("3", "o")
    assert page.text("#end-title") == "Every pair is done"
    page.press("ArrowLeft")
    assert where(page) == "Pair 5 of 5"


def test_downloads_hold_exactly_the_grades_and_are_read_back(
    browser: Browser, tmp_path: Path
) -> None:
    rows = [row(text, f"{text}, in other words; =1+1") for text in HOSTILE]
    page = browser.open(write_review(rows, tmp_path).page)
    page.click("#reviewer")
    page.type("  Ada, B. ")
    page.press("Escape", *"50s2", "n")
    page.type('=note "quoted"; +x')
    page.press("Escape", "4", *"31")
    given = {0: 5, 1: 0, 3: 2, 4: 4, 5: 3, 6: 1}
    expected = [(rows[place].pair_id, grade / 5) for place, grade in given.items()]
    asked = Asked([entry.pair_id for entry in rows])
    for kind in ("jsonl", "csv"):
        path = downloaded(page, kind)
        assert re.fullmatch(rf"review-[0-9a-f]{{8}}-Ada-B\.{kind}", path.name)
        found = read_review(path, asked)
        assert [(a.pair_id, pytest.approx(a.score)) for a in found.answers] == expected
        assert {answer.annotator for answer in found.answers} == {"human:Ada, B."}
        assert found.answers[3].note == '=note "quoted"; +x'
        assert (found.refused, found.absent) == ([], [rows[2].pair_id])
    assert page.complaints() == []
    page.close()


def test_the_table_it_downloads_is_the_one_the_library_would_write(
    browser: Browser, tmp_path: Path
) -> None:
    rows = [row(text, text + "\n-x;\t@y", note=text, reviewer="Ada") for text in HOSTILE]
    graded = [entry.model_copy(update={"score": 3.0}) for entry in rows]
    page = browser.open(write_review(rows, tmp_path).page)
    page.click("#reviewer")
    page.type("Ada")
    page.press("Escape", *("3" * len(rows)))
    saved = downloaded(page, "csv").read_bytes().decode("utf-8-sig")
    assert saved == as_csv(graded)
    page.close()


def test_hostile_texts_are_shown_as_they_are_and_run_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    rows = [row(text, text + " more", scores={text: 0.5}, note=text) for text in HOSTILE]
    path = write_review(rows, tmp_path, title=HOSTILE[0]).page
    page = browser.open(path)
    page.press("a")
    for text in HOSTILE:
        assert page.evaluate("document.getElementById('text-0').textContent") == text
        assert page.evaluate("document.getElementById('text-1').textContent") == text + " more"
        assert page.evaluate("document.querySelector('#said span').textContent") == text
        assert page.evaluate("document.getElementById('note').value") == text
        page.press("ArrowRight")
    assert page.evaluate("document.querySelectorAll('img, script, #pair b, #pair i').length") == 2
    assert page.evaluate("typeof window.hit") == "undefined"
    assert page.evaluate("document.title") == HOSTILE[0]
    assert page.complaints() == []
    assert page.requests() == [path.as_uri()]
    page.close()


def test_nothing_that_gets_into_the_page_could_run_or_leave(browser: Browser, path: Path) -> None:
    """What the policy does should a text ever be taken for HTML after all."""
    page = browser.open(path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        refused = page.evaluate(
            "(async () => { const found = []; addEventListener('securitypolicyviolation', "
            "event => found.push(event.effectiveDirective)); "
            "const script = document.createElement('script'); "
            "try { script.text = 'window.hit = 1'; document.body.append(script); } catch {} "
            "try { document.body.innerHTML += '<img src=x>'; } catch {} "
            f"await fetch('{address}').catch(() => 0); "
            f"const image = new Image(); image.src = '{address}'; "
            "await new Promise(done => setTimeout(done, 100)); return found; })()"
        )
        assert select.select([server], [], [], 0.2)[0] == []
    assert {"require-trusted-types-for", "connect-src", "img-src"} <= set(refused)
    assert page.evaluate("typeof window.hit") == "undefined"
    assert len(page.complaints()) >= 3
    page.close()


@pytest.mark.parametrize(("width", "height", "phone"), [(1280, 860, False), (390, 844, True)])
def test_everything_fits_the_window(page: Page, width: int, height: int, *, phone: bool) -> None:
    page.size(width, height, phone=phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    low = page.evaluate(
        "Math.max(...[...document.querySelectorAll('#grades button')]"
        ".map(button => button.getBoundingClientRect().bottom))"
    )
    assert low <= height
    small = page.evaluate(
        "[...document.querySelectorAll('#grades button')]"
        ".filter(button => button.getBoundingClientRect().height < 44).length"
    )
    assert small == 0


def contrast(first: str, second: str) -> float:
    """WCAG's contrast of two colours as the browser tells them: "rgb(1, 2, 3)"."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_texts_can_be_read_by_day_and_by_night(page: Page, *, dark: bool) -> None:
    page.size(1280, 860, dark=dark)
    pairs = page.evaluate(
        "[['article', 'article p'], ['#grades button', '#grades span'], ['body', '#counts'], "
        "['body', '#said-hidden'], ['body', '#question'], ['kbd', 'kbd']]"
        ".map(([behind, text]) => [getComputedStyle(document.querySelector(behind))"
        ".backgroundColor, getComputedStyle(document.querySelector(text)).color])"
    )
    assert all(contrast(*pair) >= 4.5 for pair in pairs), pairs
    assert (contrast(pairs[0][0], "rgb(255, 255, 255)") > 10) == dark


def test_every_control_has_a_name_and_focus_can_be_seen(page: Page) -> None:
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "progressbar", "searchbox"}
    found = [node for node in tree if node.get("role", {}).get("value") in roles]
    assert len(found) > 12
    assert [node for node in found if not node.get("name", {}).get("value")] == []
    page.press("Tab")
    style = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"document.activeElement.id + {style}.outlineStyle") == "help-opensolid"
    live = "[...document.querySelectorAll('[aria-live], [role=status]')].map(e => e.id)"
    assert page.evaluate(live) == ["where", "status"]
