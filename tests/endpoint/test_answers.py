"""The model's answers: what is asked for comes back, and depends on the texts alone."""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoint.completions import PromptCache, complete
from tests.endpoint.fixtures import Endpoint
from tests.endpoint.model import GRADES, NOISE, Manner, chances, expected, overlap, texts_of
from tests.endpoint.talking import ask, question, with_schema

TEXTS = ("open the file and read it", "open a file to read it")


def answer(body: dict[str, Any], **manner: Any) -> dict[str, Any]:
    return complete(body, Manner(**manner), asked=0, cached=0)


def content(body: dict[str, Any], **manner: Any) -> str:
    text: str = answer(body, **manner)["choices"][0]["message"]["content"]
    return text


def of_schema(schema: dict[str, Any], message: str = "") -> Any:
    body = question(*TEXTS, **with_schema({"type": "object", "properties": schema}))
    if message:
        body["messages"] = [{"role": "user", "content": message}]
    return json.loads(content(body))


words = st.lists(st.sampled_from(["red", "green", "blue", "tree", "sky"]), min_size=1).map(" ".join)


@given(words, words)
def test_the_grade_is_the_overlap_of_words(first: str, second: str) -> None:
    one, two = set(first.split()), set(second.split())
    share = len(one & two) / len(one | two)
    grade = json.loads(content(question(first, second, **with_schema())))["score"]
    assert grade in GRADES
    assert abs(grade - 5 * share) <= 0.5 + 1e-9
    assert content(question(first, second)) == content(question(second, first)) == str(grade)


@given(words, words)
def test_log_probabilities_amount_to_the_expected_grade(first: str, second: str) -> None:
    body = question(first, second, logprobs=True, top_logprobs=20)
    (place,) = answer(body)["choices"][0]["logprobs"]["content"]
    likely = {entry["token"]: math.exp(entry["logprob"]) for entry in place["top_logprobs"]}
    assert sum(likely.values()) == pytest.approx(1)
    of_grades = {int(token): chance for token, chance in likely.items() if token.isdigit()}
    assert set(of_grades) == set(GRADES)
    found = sum(g * chance for g, chance in of_grades.items()) / sum(of_grades.values())
    assert found == pytest.approx(expected([first, second]))
    assert place["token"] == max(likely, key=likely.__getitem__)
    assert {token for token, _ in NOISE} == set(likely) - set(map(str, GRADES))


@pytest.mark.parametrize("top", [0, 1, 5])
def test_as_many_log_probabilities_come_as_were_asked_for_likeliest_first(top: int) -> None:
    body = question(logprobs=True, top_logprobs=top, **with_schema())
    choice = answer(body)["choices"][0]
    places = choice["logprobs"]["content"]
    assert "".join(place["token"] for place in places) == choice["message"]["content"]
    assert max(len(place["top_logprobs"]) for place in places) == top
    for place in places:
        found = [entry["logprob"] for entry in place["top_logprobs"]]
        assert found == sorted(found, reverse=True)
    assert answer(question())["choices"][0]["logprobs"] is None


def test_an_order_bias_cancels_in_the_mean_of_both_orders() -> None:
    plain = expected(TEXTS)
    one, two = expected(TEXTS, bias=0.4), expected(TEXTS[::-1], bias=0.4)
    assert one != pytest.approx(two, abs=0.1)
    assert (one + two) / 2 == pytest.approx(plain, abs=0.01)
    assert overlap(TEXTS) == overlap(TEXTS[::-1])


def test_samples_follow_the_distribution_and_repeat_with_their_seed() -> None:
    body = question(*TEXTS, temperature=1.0, n=2_000, seed=3)
    first = [choice["message"]["content"] for choice in answer(body)["choices"]]
    again = [choice["message"]["content"] for choice in answer(body)["choices"]]
    assert first == again
    likely = chances(overlap(TEXTS), len(GRADES))
    for grade, chance in zip(GRADES, likely, strict=True):
        assert first.count(str(grade)) / 2_000 == pytest.approx(chance / sum(likely), abs=0.04)
    assert len({content(body | {"seed": seed, "n": 1}) for seed in range(30)}) > 1


def test_a_schema_is_filled_whatever_it_asks_for() -> None:
    assert of_schema({"score": {"enum": ["A", "B"]}})["score"] in {"A", "B"}
    assert 1 <= of_schema({"score": {"type": "integer", "minimum": 1, "maximum": 9}})["score"] <= 9
    assert 0 <= of_schema({"confidence": {"type": "number"}})["confidence"] <= 1
    assert of_schema({"same": {"type": "boolean"}, "why": {"type": "string"}})["why"]
    assert of_schema({"kind": {"const": "x"}, "gone": {"type": "null"}}) == {
        "kind": "x", "gone": None,
    }  # fmt: skip
    assert of_schema({"score": {"anyOf": [{"type": "null"}, {"enum": [7]}]}}) == {"score": 7}
    assert of_schema({"score": {"type": ["null", "integer"], "maximum": 0}}) == {"score": 0}


def test_a_schema_may_refer_to_its_definitions() -> None:
    schema = {"$defs": {"Grade": {"enum": [8]}}, "properties": {"score": {"$ref": "#/$defs/Grade"}}}
    assert json.loads(content(question(**with_schema(schema)))) == {"score": 8}


def test_several_pairs_get_one_score_each() -> None:
    pairs = [("red sky", "red sky"), ("red sky", "a tree"), *[("blue sky", "red sky")] * 3]
    message = "\n".join(f"<a>{one}</a> <b>{two}</b>" for one, two in pairs)
    item = {"type": "object", "properties": {"id": {"type": "integer"}, "score": {"enum": [0, 1]}}}
    plain = of_schema({"scores": {"type": "array", "items": {"enum": [0, 1, 2, 3]}}}, message)
    assert plain == {"scores": [3, 0, 1, 1, 1]}
    numbered = of_schema({"scores": {"type": "array", "items": item}}, message)["scores"]
    assert [one["id"] for one in numbered] == [1, 2, 3, 4, 5]
    assert [one["score"] for one in numbered][:2] == [1, 0]
    few = of_schema({"scores": {"type": "array", "maxItems": 2, "items": item}}, message)
    assert len(few["scores"]) == 2


@pytest.mark.parametrize("message", [
    "<text-8f>one text</text-8f>\nand\n<text-9a id='2'>5 < 6, another</text-9a>",
    'First:\n"""one text"""\nSecond:\n"""5 < 6, another"""',
    "Text 1: one text\nText 2: 5 < 6, another",
])  # fmt: skip
def test_texts_are_found_in_the_usual_fences(message: str) -> None:
    assert texts_of(message) == ("one text", "5 < 6, another")


def test_a_pattern_of_the_script_finds_texts_in_other_fences() -> None:
    assert texts_of("[[one]] [[two]]", r"\[\[(.*?)\]\]") == ("one", "two")
    assert texts_of("just this") == ()


@pytest.mark.parametrize(("style", "start"), [
    ("bare", "2"), ("json", '{"score": 2}'), ("fenced", '```json\n{"score": 2}\n```'),
    ("prose", "The score is 2 because"),
])  # fmt: skip
def test_an_answer_without_a_schema_has_a_style(style: str, start: str) -> None:
    assert content(question(*TEXTS), style=style).startswith(start)


def test_an_endpoint_may_ignore_what_it_cannot_do() -> None:
    body = question(*TEXTS, logprobs=True, **with_schema())
    assert content(body, schemas=False) == "2"
    assert answer(body, logprobs=False)["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut_off_at_its_limit(name: str) -> None:
    whole = answer(question(**with_schema()))
    spent = whole["usage"]["completion_tokens"]
    assert answer(question(**{name: spent}, **with_schema()))["choices"] == whole["choices"]
    short = answer(question(**{name: spent - 1}, **with_schema()))
    assert short["usage"]["completion_tokens"] == spent - 1
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["choices"][0]["message"]["content"] == '{"score": 2'


def test_the_start_of_a_long_prompt_is_cached_in_steps_of_128_tokens() -> None:
    def body(end: str) -> dict[str, Any]:
        return {"messages": [{"content": "rubric " * 1_000}, {"role": "user", "content": end}]}

    cache = PromptCache()
    assert cache.hit(body("one"), 1024) == 0
    assert cache.hit(body("two"), 1024) == 7_000 // 4 // 128 * 128
    assert cache.hit(body("two"), 4096) == 0
    assert cache.hit({"messages": [{"content": "short"}]}, 1024) == 0


def test_usage_is_told_as_openai_tells_it(endpoint: Endpoint) -> None:
    long = question()
    long["messages"][0]["content"] = "rubric " * 1_000
    first, second = ask(endpoint.port, long)["usage"], ask(endpoint.port, long)["usage"]
    assert first["prompt_tokens_details"] == {"cached_tokens": 0}
    assert second["prompt_tokens_details"]["cached_tokens"] >= 1_024
    assert second["prompt_tokens"] == first["prompt_tokens"] > 1_750
    assert second["total_tokens"] == second["prompt_tokens"] + 1
    assert sum(entry["prompt_tokens"] for entry in endpoint.ledger()) == 2 * first["prompt_tokens"]
    endpoint.script({"model": {"usage": False}})
    assert "usage" not in ask(endpoint.port, long)
    assert endpoint.ledger()[2]["prompt_tokens"] == first["prompt_tokens"]


def test_the_openai_client_reads_every_part(endpoint: Endpoint) -> None:
    with openai.OpenAI(api_key="k", base_url=endpoint.url, max_retries=0) as client:
        made = client.chat.completions.create(
            **question(*TEXTS, logprobs=True, top_logprobs=6, n=2, temperature=1, seed=1)
        )
        assert [one.id for one in client.models.list()] == ["overlap"]
    assert made.usage is not None
    assert made.usage.completion_tokens == 2
    for choice in made.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        assert len(choice.logprobs.content[0].top_logprobs) == 6
