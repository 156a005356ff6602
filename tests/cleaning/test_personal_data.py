from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.personal_data import PATTERNS, mask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+x@mail.example.org.", "Write to [email]."),
        ("<a_b@example.co.uk>, (c-d@x.io)", "<[email]>, ([email])"),
        ("Call +49 (0) 30 1234-5678 now", "Call [phone] now"),
        ("Call +1.202.555.0143.", "Call [phone]."),
        ("Call +442079460958", "Call [phone]"),
    ],
)
def test_personal_data_is_masked(text: str, expected: str) -> None:
    assert mask(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    ["user@host is not an address", "@decorator.name", "a @ b.c", "x+1234567 is a sum",
     "offset +0000 and +01:00", "2026-11-22 08:18:18", "version 3.11.7.1234", "C++ 20 2023 1234",
     "numbers 12345678 and 1 2 3 4 5 6 7 8"],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert mask(text) == (text, Counter())


def test_what_was_masked_is_counted_by_kind() -> None:
    text = "a@example.org, b@example.org or +49 30 12345678"
    assert mask(text)[1] == {"email": 2, "phone": 1}


@given(st.text() | st.text("a.@+1 -()"))
def test_masking_twice_masks_nothing_more(text: str) -> None:
    assert mask(mask(text)[0])[1] == Counter()


@pytest.mark.parametrize("kind", sorted(PATTERNS))
@pytest.mark.parametrize("part", ["a", "a.", "a@", "+1 ", "a@a.", "1-", "+1("])
def test_time_grows_with_the_length_of_the_text_only(kind: str, part: str) -> None:
    start = time.perf_counter()
    PATTERNS[kind].sub("", part * 50_000)
    assert time.perf_counter() - start < 5
