from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sentences import first_and_rest, lead, sentences

PROSE = st.lists(
    st.sampled_from(
        ["Return it", "see x", "e.g.", "(No.)", '"Yes!"', ". ", "! ", "? ", " ", "\n", "\n\n", "A"]
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One thing. Another thing! A third?", ["One thing.", "Another thing!", "A third?"]),
        ("See os.path for more. Then go.", ["See os.path for more.", "Then go."]),
        ("Use a file, e.g. The one here. Done.", ["Use a file, e.g. The one here.", "Done."]),
        ("(Closed here.) Next one.", ["(Closed here.)", "Next one."]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("Answer yes or no. Then go on.", ["Answer yes or no.", "Then go on."]),
        ("A heading\n\nThe text", ["A heading", "The text"]),
        ("Ends with e.g.\n\nA new paragraph.", ["Ends with e.g.", "A new paragraph."]),
        ("Broken over\ntwo lines. Second.", ["Broken over two lines.", "Second."]),
        ("Version 3.11 is out. 3.12 too.", ["Version 3.11 is out.", "3.12 too."]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_a_text_is_cut_into_its_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text() | PROSE)
def test_no_word_is_lost_or_added(text: str) -> None:
    assert " ".join(sentences(text)).split() == text.split()


@given(st.text() | PROSE, st.integers(1, 50))
def test_a_lead_is_the_beginning_and_never_too_long(text: str, limit: int) -> None:
    words = lead(text, limit).split()
    assert words == text.split()[: len(words)]
    assert len(words) <= limit
    assert bool(words) == bool(text.split())


def test_a_lead_ends_with_a_whole_sentence_where_one_fits() -> None:
    assert lead("One two three. Four five. Six.", 5) == "One two three. Four five."
    assert lead("One two three. Four five. Six.", 4) == "One two three."
    assert lead("One two three. Four five. Six.", 2) == "One two"


@given(st.text() | PROSE)
def test_the_first_sentence_and_the_rest_do_not_overlap(text: str) -> None:
    first, rest = first_and_rest(text, 1_000)
    assert f"{first} {rest}".split() == text.split()


def test_a_text_full_of_abbreviations_takes_time_in_proportion_to_its_length() -> None:
    start = time.perf_counter()
    assert len(sentences("E.g. A " * 16_000)) == 1
    assert time.perf_counter() - start < 5
