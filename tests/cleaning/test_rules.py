from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cleaning.rules import RULES
from pipeline.sections import CleanSettings

SETTINGS = CleanSettings()
GOOD = "Return the number of items in the list."
# Each rule with a text that it, and no rule before it, refuses.
BAD = {"too_short": "Return the item", "too_many_symbols": "| 1 | 2 | 3.5 | == a + b ** c"}


def first_refusal(text: str) -> str:
    return next((reason for reason, rule in RULES.items() if rule(text, SETTINGS)), "")


def test_every_rule_has_a_text_that_it_refuses() -> None:
    assert set(BAD) == set(RULES)


@pytest.mark.parametrize("reason", sorted(RULES))
def test_a_rule_refuses_what_it_is_for_and_says_why(reason: str) -> None:
    assert first_refusal(BAD[reason]) == reason
    assert RULES[reason](BAD[reason], SETTINGS)
    assert RULES[reason](GOOD, SETTINGS) == ""


@given(st.text())
def test_rules_judge_any_text(text: str) -> None:
    assert first_refusal(text) in {"", *RULES}


def test_limits_come_from_the_settings() -> None:
    loose = CleanSettings(min_words=1, max_symbols=1.0)
    assert not any(rule(text, loose) for rule in RULES.values() for text in BAD.values())
    assert RULES["too_short"](GOOD, CleanSettings(min_words=9)) == "8 words"


def test_letters_of_every_script_are_letters() -> None:
    assert first_refusal("Возвращает число элементов в списке") == ""
    assert first_refusal("返回 列表 中 元素 的 数量") == ""
