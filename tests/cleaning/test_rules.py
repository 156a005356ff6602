from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.normalise import normalise
from pipeline.cleaning.rules import LAYOUT, RULES, refusal
from pipeline.sections import CleanSettings
from pipeline.words import count_words

SETTINGS = CleanSettings(languages=("en",), max_words=300)
GOOD = "Return the number of items in the list."
LIST = "Set the options.\n\n- Open the file for reading.\n- Close it.\n- Write.\n- Read more.\n"
# Each rule with a text that it, and no rule before it, refuses.
BAD = {
    "mostly_list": "Home\n* About us\n- Products\n1. Contact\nLog in\nSearch the site",
    "duplicate_lines": "Only what is said once counts here.\n" * 2 + "Nothing else.",
    "too_short": "Return",
    "too_long": " ".join(f"word{'abcdefghij'[n % 10] * (n // 10)}" for n in range(301)),
    "mostly_numbers": "extraordinarily 1 2 misunderstandings 3 4 5",
    "too_many_symbols": "| 1 | 2 | 3.5 | == a + b ** c",
    "repetition": "Buy one of these and save a lot. " * 3,
    "language": "Die Verbindung wurde geschlossen, bevor alle Daten angekommen waren.",
}


def first_refusal(text: str, settings: CleanSettings = SETTINGS) -> str:
    found = refusal(text, normalise(text), settings)
    return found.reason if found else ""


def test_every_rule_has_a_text_that_it_refuses() -> None:
    assert set(BAD) == {*LAYOUT, *RULES}


@pytest.mark.parametrize("reason", sorted(BAD))
def test_a_rule_refuses_what_it_is_for_and_says_why(reason: str) -> None:
    rule = (LAYOUT | RULES)[reason]
    assert first_refusal(BAD[reason]) == reason
    assert refusal(BAD[reason], normalise(BAD[reason]), SETTINGS)[1] == rule(BAD[reason], SETTINGS)  # type: ignore[index]
    assert rule(GOOD, SETTINGS) == ""


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        LIST,
        "Roses are red\nViolets are blue\nSugar is sweet",
        "One line here.\nOne line there.\n\n\n\n",
        "Returns True if the element has an attribute. Otherwise, returns False if it has none.",
        "In 1998, 14 of 20 patients were treated, and 6 were not.",
    ],
)
def test_texts_worth_pairing_pass(text: str) -> None:
    assert first_refusal(text) == ""


@given(st.text() | st.text("a1 .\n-"))
def test_rules_judge_any_text(text: str) -> None:
    assert first_refusal(text) in {"", *LAYOUT, *RULES}


def test_limits_come_from_the_settings() -> None:
    loose = CleanSettings(
        min_words=1, max_symbols=1.0, max_list=1.0, max_duplicate_lines=1.0, max_numbers=1.0,
        max_repetition=1.0,
    )  # fmt: skip
    assert {first_refusal(text, loose) for text in BAD.values()} == {""}
    assert RULES["too_short"](GOOD, CleanSettings(min_words=9)) == "8 words"


def test_letters_of_every_script_are_letters() -> None:
    assert first_refusal("Возвращает число элементов в списке", CleanSettings()) == ""
    assert first_refusal("返回 列表 中 元素 的 数量", CleanSettings()) == ""
    assert first_refusal("返回列表中元素的数量", CleanSettings()) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("two  words", 2), ("naïve café", 2), ("返回列表", 4), ("API返回 x", 4), ("สวัสดี", 6)],
)
def test_words_are_runs_of_letters_or_characters_of_scripts_without_spaces(
    text: str, words: int
) -> None:
    assert count_words(text) == words


def test_what_is_said_once_is_no_repetition_and_twice_is_half() -> None:
    once = "Each of these nine words is said just once"
    assert RULES["repetition"](once, CleanSettings(max_repetition=0.0)) == ""
    assert RULES["repetition"](f"{once} {once}", CleanSettings()) == "50% repeated"
    assert RULES["repetition"](f"{once} {once}", CleanSettings(max_repetition=0.5)) == ""


def test_time_grows_with_the_length_of_the_text_only() -> None:
    start = time.perf_counter()
    for part in ("a ", "a\n", "- ", "1.", "语", "\n", "!", "(a) "):
        refusal(part * 100_000, part * 100_000, CleanSettings(languages=("en",)))
    assert time.perf_counter() - start < 20
