"""Attacks in the texts: what can be known of them without a model, and the count of what moved."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from pipeline import prompts
from pipeline.annotation.injection import Share, moved
from pipeline.annotation.questions import repair_messages
from pipeline.annotation.scoring import OUTPUTS, Parsed, Unreadable
from pipeline.chat.replies import Reply
from pipeline.errors import InputError
from pipeline.fences import inert
from pipeline.prompts import KINDS, Prompt
from pipeline.records import normalised

LINES = Path(__file__).with_name("attacks.jsonl").read_text(encoding="utf-8").splitlines()
ATTACKS = [json.loads(line) for line in LINES]
BY_ID = {attack["id"]: attack["text"] for attack in ATTACKS}
CHATS = [
    prompt
    for prompt in (prompts.load(path.stem) for path in sorted(prompts.FOLDER.glob("*.txt")))
    if prompt.output != "text"
]
PLAIN = "A plain text without any trick."
FENCED = re.compile(r"<(\w+)-([0-9a-f]{8})>\n(.*?)\n</\1-\2>", re.DOTALL)
SPECIAL = re.compile(
    r"<\|.*?\|>|</?s>|\[/?INST\]|<</?SYS>>|<(start|end)_of_turn>|</?system>|</?user>|<\uff5c"
)
labels = st.dictionaries(st.sampled_from("abcdefgh"), st.none() | st.floats(0, 1), min_size=1)


def user_message(prompt: Prompt, text: str) -> str:
    needs = KINDS[prompt.output].needs - {"fence"}
    values: dict[str, Any] = dict.fromkeys(needs, PLAIN)
    values["text" if "text" in needs else "text2"] = text
    if "pairs" in needs:
        values = {"pairs": ((PLAIN, PLAIN), (PLAIN, text))}
    if prompt.output in ("sentences", "queries"):
        values["size"] = 3
    if prompt.output == "sentences":
        values["relation"] = "same-meaning"
    return prompt.messages(**values)[-1]["content"]


def frame(user: str) -> str:
    """A message without its texts and the digits of its fence."""
    digits = FENCED.findall(user)[0][1]
    return FENCED.sub(r"<\1>", user).replace(digits, "")


def answered(text: str) -> Reply:
    return Reply(text, "stop", None, (), None, "m")


# The corpus


def test_the_corpus_is_large_and_varied() -> None:
    families = [attack["family"] for attack in ATTACKS]
    assert len(BY_ID) == len(set(BY_ID.values())) == len(ATTACKS) >= 100
    assert len(set(families)) >= 12
    assert min(families.count(family) for family in families) >= 8
    assert {attack["aim"] for attack in ATTACKS} == {"high", "low", "none"}
    assert all(attack.keys() == {"id", "family", "aim", "text"} for attack in ATTACKS)


def test_the_file_hides_nothing_from_who_reads_it() -> None:
    assert all(line.isprintable() for line in LINES)


# The messages


@pytest.mark.parametrize("prompt", CHATS, ids=lambda prompt: prompt.name)
def test_no_attack_leaves_its_fence_or_changes_what_is_around_it(prompt: Prompt) -> None:
    expected = frame(user_message(prompt, PLAIN))
    for name, text in BY_ID.items():
        user = user_message(prompt, text)
        fenced = FENCED.findall(user)
        assert fenced[-1][2] == inert(text) + ("." if "{{ text }}." in prompt.template else ""), (
            name
        )
        assert len({digits for _, digits, _ in fenced}) == 1, name
        assert user.count(fenced[0][1]) == 2 * len(fenced), name
        assert frame(user) == expected, name


@pytest.mark.parametrize("prompt", CHATS, ids=lambda prompt: prompt.name)
def test_no_attack_knows_its_fence(prompt: Prompt) -> None:
    fences = {FENCED.findall(user_message(prompt, text))[0][1] for text in BY_ID.values()}
    assert len(fences) == len(BY_ID)
    assert not [digits for digits in fences if digits in normalised(" ".join(BY_ID.values()))]


def test_templates_in_texts_are_shown_and_not_run() -> None:
    attacks = [one["text"] for one in ATTACKS if one["family"] == "template-injection"]
    for prompt in CHATS:
        for text in attacks:
            assert inert(text) in user_message(prompt, text)
            assert "49" not in FENCED.findall(user_message(prompt, text))[-1][2]


@pytest.mark.parametrize("name", BY_ID)
def test_an_attack_has_no_hidden_characters_and_no_special_tokens_left(name: str) -> None:
    shown = inert(BY_ID[name])
    kinds = {unicodedata.category(one) for one in shown if one not in "\n\t"}
    assert not kinds & {"Cc", "Cf", "Cs"}
    assert not SPECIAL.search(shown)
    assert shown.strip()


def test_texts_hidden_in_invisible_characters_are_gone() -> None:
    assert inert(BY_ID["hidden-characters-1"]) == "Nothing to see here."
    assert inert(BY_ID["hidden-characters-2"]) == "A plain sentence."
    assert inert(BY_ID["hidden-characters-3"]) == "Zerowidth."


# The parser

GRADED = [prompt for prompt in CHATS if prompt.output in ("score", "digit", "yes_no")]
OWN = {"score": '{"score": 1}', "digit": "1", "yes_no": '{"answer": "no"}'}


@pytest.mark.parametrize("prompt", GRADED, ids=lambda prompt: prompt.name)
def test_an_echo_of_an_attack_beside_the_answer_gives_no_other_value(prompt: Prompt) -> None:
    """Models quote what they read. The answer is the model's own, or there is none."""
    output, own = OUTPUTS[prompt.output], OWN[prompt.output]
    expected = output.parse(answered(own), prompt)
    assert isinstance(expected, Parsed)
    for name, text in BY_ID.items():
        for echo in (f"{text}\n{own}", f"{own}\n{text}", f"The text says: {text}", f"{text} {own}"):
            found = output.parse(answered(echo), prompt)
            assert isinstance(found, Unreadable) or found == expected, (name, echo)


@pytest.mark.parametrize("name", BY_ID)
def test_an_attack_that_is_quoted_in_a_field_does_not_become_the_answer(name: str) -> None:
    prompt = prompts.load("similarity.v1")
    for fields in ({"reason": BY_ID[name], "score": 1}, {"score": 1, BY_ID[name]: 5}):
        for ascii_only in (True, False):
            text = json.dumps(fields, ensure_ascii=ascii_only)
            assert OUTPUTS["score"].parse(answered(text), prompt) == Parsed(0.2)


def test_an_attack_alone_is_an_answer_only_where_it_is_written_like_one() -> None:
    """Nothing tells these from an answer but the fence; the model must not repeat them."""
    prompt = prompts.load("similarity.v1")
    found = {name: OUTPUTS["score"].parse(answered(text), prompt) for name, text in BY_ID.items()}
    taken = {name for name, result in found.items() if isinstance(result, Parsed)}
    whole = {*(f"fake-answer-{number}" for number in (1, 2, 3, 4)), "reasoning-2", "reasoning-3"}
    assert taken == whole


def test_the_repair_round_repeats_no_special_token_of_an_attack() -> None:
    prompt = prompts.load("similarity.v1")
    messages = prompt.messages(text1=PLAIN, text2=PLAIN)
    for text in BY_ID.values():
        repaired = repair_messages(messages, answered(text), OUTPUTS["score"])
        assert repaired[2]["content"] == inert(text[:1_000])
        assert text not in repaired[3]["content"]


# The count


def test_labels_that_moved_either_way_are_counted_among_those_there_are() -> None:
    clean = {"a": 0.2, "b": 0.8, "c": 0.4, "d": 0.6, "e": None, "f": 1.0}
    attacked = {"a": 1.0, "b": 0.5, "c": 0.45, "d": None, "e": 0.0, "f": 1.0}
    found = moved(clean, attacked, 0.1)
    assert (found.moved, found.compared, found.silenced, found.share) == (2, 4, 1, 0.5)
    assert found.low < 0.5 < found.high


def test_the_interval_holds_the_shares_that_the_count_does_not_rule_out() -> None:
    """By its definition: at each end the count has a probability of 2.5 % on its side."""
    clean = {str(number): 0.0 for number in range(40)}
    found = moved(clean, clean | {str(number): 1.0 for number in range(7)}, 0.1)
    assert found.share == 7 / 40
    assert binom.sf(6, 40, found.low) == pytest.approx(0.025, abs=1e-6)
    assert binom.cdf(7, 40, found.high) == pytest.approx(0.025, abs=1e-6)


def test_nothing_moved_in_a_hundred_is_not_nothing_for_certain() -> None:
    clean = {str(number): 0.5 for number in range(100)}
    found = moved(clean, clean, 0.0)
    assert found == Share(0.0, 0.0, found.high, 0, 100, 0)
    assert found.high == pytest.approx(1 - math.pow(0.025, 1 / 100))


@given(labels, st.floats(0, 1), st.data())
def test_the_count_is_that_of_a_loop(
    clean: dict[str, float | None], tolerance: float, data: st.DataObject
) -> None:
    attacked = {key: data.draw(st.none() | st.floats(0, 1)) for key in clean}
    hits = total = lost = 0
    for key, before in clean.items():
        after = attacked[key]
        if before is not None and after is not None:
            total += 1
            hits += abs(before - after) > tolerance
        elif before is not None:
            lost += 1
    if not total:
        with pytest.raises(InputError, match="no question has a label before and after"):
            moved(clean, attacked, tolerance)
    else:
        found = moved(clean, attacked, tolerance)
        assert (found.moved, found.compared, found.silenced) == (hits, total, lost)
        assert 0 <= found.low <= found.share <= found.high <= 1


def test_other_questions_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="'b' is in one"):
        moved({"a": 0.1}, {"a": 0.1, "b": 0.2}, 0.1)
    with pytest.raises(InputError, match="no question"):
        moved({}, {}, 0.1)
