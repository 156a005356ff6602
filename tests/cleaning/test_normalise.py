from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.normalise import normalise
from pipeline.records import text_id

ANY = (
    st.text()
    | st.text(
        st.sampled_from(
            "a e\u0301\u200b\u200d\ufeff\t\r\n\x0b\x85\u2028\u2029\x00\ud800\u00a0\u3000"
        )
    )
    # Bytes of UTF-8 read as Latin-1 or Windows-1252, whole and in pieces.
    | st.text(st.sampled_from("Ã©â€™œ¢Â\u00a0\u00ad\x80\x99\u200b a\x1b[1m"))
    | st.text("aéß€語😀", max_size=12).map(lambda text: text.encode().decode("latin-1"))
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two \t spaces ", "two spaces"),
        ("one\r\n\r\ntwo\r\rthree", "one\n\ntwo\n\nthree"),
        ("wrapped\nline", "wrapped line"),
        ("one\n \t\n\n\ntwo", "one\n\ntwo"),
        ("cafe\u0301", "caf\u00e9"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("seen" + "".join(chr(0xE0000 + ord(letter)) for letter in "hidden"), "seen"),
        ("bell\x07 and \x00null", "bell and null"),
        ("no\u00a0break", "no break"),
        ("paragraph\u2029mark", "paragraph\n\nmark"),
        ("half \ud83d pair", "half pair"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("", ""),
    ],
)
def test_texts_that_look_the_same_become_the_same(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(ANY)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(ANY)
def test_the_result_can_be_stored_and_has_an_id(text: str) -> None:
    normal = normalise(text)
    assert normal.encode("utf-8").decode("utf-8") == normal
    assert text_id(normal)


@given(st.lists(st.text("abc", min_size=1), max_size=5))
def test_paragraph_breaks_are_kept(paragraphs: list[str]) -> None:
    assert normalise("\n\n".join(paragraphs)).split("\n\n") == (paragraphs or [""])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("caf\u00c3\u00a9", "caf\u00e9"),
        ("the user\u00e2\u20ac\u2122s name", "the user\u2019s name"),
        ("twice: caf\u00c3\u0192\u00c2\u00a9", "twice: caf\u00e9"),
        # The second byte of "í" looks like a soft hyphen: mended before invisible ones go.
        ("M\u00c3\u00a9xico, pa\u00c3\u00adses", "M\u00e9xico, pa\u00edses"),
        ("of\ufb01ce and \ufb02ow", "office and flow"),
        ("\x1b[31mred\x1b[0m", "red"),
    ],
)
def test_what_a_wrong_decoding_broke_is_mended(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "text",
    ["\u201ccurly\u201d \u2018quotes\u2019", "&amp; and &lt; in a text on HTML",
     "\uff26\uff35\uff2c\uff2c",
     "na\u00efve \u00c0 la carte \u2013 d\u00e9j\u00e0 vu\u2026", "1 \u00d7 2 \u00b5m",
     "\u041f\u0440\u0438\u0432\u0435\u0442", "\u00c5ngstr\u00f6m",
     "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35"],
)  # fmt: skip
def test_what_is_only_unusual_stays(text: str) -> None:
    assert normalise(text) == text


@pytest.mark.parametrize(
    "part", ["\u00c3", "\u00c3\u00a9", "\u00e2\u20ac", "e\u0301", "\u00ad\u00c3", "\x1b["]
)
def test_time_grows_with_the_length_of_the_text_only(part: str) -> None:
    start = time.perf_counter()
    normalise(part * 100_000)
    assert time.perf_counter() - start < 10
