from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.normalise import normalise
from pipeline.records import text_id

ANY = st.text() | st.text(
    st.sampled_from("a e\u0301\u200b\u200d\ufeff\t\r\n\x0b\x85\u2028\u2029\x00\ud800\u00a0\u3000")
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
