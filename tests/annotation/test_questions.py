"""From pairs to requests: what is asked, under which key, and what it can cost."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import prompts
from pipeline.annotation import questions
from pipeline.annotation.questions import Features, Topic, candidates, of_pair, ordered, question
from pipeline.annotation.scoring import OUTPUTS
from pipeline.chat.prices import Price
from pipeline.records import normalised, pair_id
from pipeline.sections import ChatSettings

FULL = Features(schema=True, logprobs=True)
PAIR = ("Open the file.", "Close the file.")
texts = st.text(max_size=30)


def settings(**more: Any) -> ChatSettings:
    return ChatSettings.model_validate({"model": "m", "base_url": "http://127.0.0.1:1/v1"} | more)


def body(
    pair: tuple[str, str] = PAIR, features: Features = FULL, longer: int = 1, **more: Any
) -> dict[str, Any]:
    chosen = settings(**more)
    messages = prompts.load(chosen.prompt).messages(**dict(of_pair(pair, 0, 0).values))
    return questions.body(chosen, messages, features, longer=longer)


@given(texts, texts)
def test_both_orders_are_asked_whichever_way_a_pair_is_given(first: str, second: str) -> None:
    assert ordered((first, second), 0) == ordered((second, first), 0)
    assert ordered((first, second), 1) == ordered((first, second), 0)[::-1]
    assert sorted(ordered((first, second), 0)) == sorted((first, second))


@given(texts, texts, st.sampled_from([0, 1]), st.integers(0, 3))
def test_a_pair_and_its_mirror_image_are_one_question(
    first: str, second: str, order: int, sample: int
) -> None:
    one = question("a", of_pair((first, second), order, sample))
    assert one == question("a", of_pair((second, first), order, sample))
    assert one.subject == pair_id(first, second)


@given(texts, texts, texts)
def test_other_texts_are_another_question(first: str, second: str, third: str) -> None:
    same = normalised(second) == normalised(third)
    one, other = (question("a", of_pair((first, text), 0, 0)).key for text in (second, third))
    assert (one == other) == same


def test_whatever_decides_the_answer_is_part_of_the_key() -> None:
    keys = {
        question(identity, of_pair(pair, order, sample), follow_up).key
        for identity, pair, order, sample, follow_up in product(
            ("a", "b"), (PAIR, ("Open", "Close")), (0, 1), range(3), ("", "repair x", "longer")
        )
    }
    assert len(keys) == 2 * 2 * 2 * 3 * 3


def test_parts_of_a_key_cannot_run_into_each_other() -> None:
    one = Topic("subject", "0 1", ())
    other = Topic("subject0", " 1", ())
    assert question("a", one).key != question("a", other).key
    assert question("ab", one).key != question("a", one._replace(subject="bsubject")).key


def test_keys_stay_as_they_are_since_answers_are_paid_for_under_them() -> None:
    key = question("annotator", of_pair(PAIR, 1, 2), "longer").key
    assert key == "b9804bbec2f36a34412a5dbe0e133b7e"


@pytest.mark.parametrize("name", ["yes", "no", "auto"])
def test_the_most_wanted_features_are_tried_first(name: str) -> None:
    choices = {"yes": [True], "no": [False], "auto": [True, False]}[name]
    assert [one.schema for one in candidates(settings(structured=name, logprobs="no"))] == choices
    assert [one.logprobs for one in candidates(settings(structured="no", logprobs=name))] == choices
    assert candidates(settings())[0] == FULL
    assert len(candidates(settings())) == 4


def test_a_prompt_is_asked_for_no_feature_that_it_has_no_use_for() -> None:
    assert not any(one.schema for one in candidates(settings(prompt="similarity-digit.v1")))
    assert not any(one.logprobs for one in candidates(settings(prompt="similarity-verbalised.v1")))


def test_a_pair_whose_texts_play_different_parts_is_asked_as_it_is() -> None:
    for pair in (PAIR, PAIR[::-1]):
        (order,) = questions.orders(pair, settings(prompt="relevance.v1"))
        assert ordered(pair, order) == pair
        assert questions.orders(pair, settings()) == [0, 1]
        assert questions.orders(pair, settings(orders=1)) == [0]


def test_a_body_says_all_that_was_chosen() -> None:
    made = body()
    assert made["model"] == "m"
    assert made["temperature"] == 0.0
    assert (made["logprobs"], made["top_logprobs"]) == (True, 20)
    assert made["response_format"]["json_schema"]["strict"] is True
    assert made["max_tokens"] == OUTPUTS["score"].max_tokens
    assert [message["role"] for message in made["messages"]] == ["system", "user"]


def test_what_was_not_chosen_is_not_in_it() -> None:
    made = body(features=Features(schema=False, logprobs=False), temperature=None)
    assert made.keys() == {"model", "messages", "max_tokens"}


def test_other_names_and_values_take_the_place_of_the_usual_ones() -> None:
    made = body(max_tokens_name="max_completion_tokens", max_tokens=77, longer=2,
                extra={"temperature": 1.5, "seed": 4, "service_tier": "flex"})  # fmt: skip
    assert made["max_completion_tokens"] == 154
    assert "max_tokens" not in made
    assert (made["temperature"], made["seed"], made["service_tier"]) == (1.5, 4, "flex")


def test_the_rubric_comes_first_and_is_the_same_for_every_pair() -> None:
    bodies = [json.dumps(body(pair)) for pair in (PAIR, ("x" * 300, "y"), ("你好", "世界"))]
    prefix = next(
        number for number, letters in enumerate(zip(*bodies, strict=False)) if len(set(letters)) > 1
    )
    system = body()["messages"][0]["content"]
    assert prefix > len(system)
    assert prefix > 0.8 * (len(bodies[0]) - sum(map(len, PAIR)) - 800)


@given(texts, texts, st.integers(1, 2))
def test_the_most_that_a_question_can_cost_is_more_than_its_characters_and_its_answer(
    first: str, second: str, longer: int
) -> None:
    request = body((first, second), longer=longer)
    topic = of_pair((first, second), 0, 0)
    made = questions.ask(question("a", topic), request, settings(), Price(1.0, 1_000.0))
    characters = sum(len(message["content"]) for message in request["messages"])
    answer = longer * OUTPUTS["score"].max_tokens
    assert made.reserve.tokens >= characters + answer
    assert made.reserve.usd >= characters + 1_000 * answer
    assert made.body is request


def test_an_answer_made_longer_by_hand_is_reserved_for() -> None:
    request = body(extra={"max_tokens": 5_000})
    made = questions.ask(question("a", of_pair(PAIR, 0, 0)), request, settings(), Price(0.0, 1.0))
    assert made.reserve.usd == 5_000
