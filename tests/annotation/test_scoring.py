"""From a reply to a value: expected grades against a slow witness, and no value without a grade."""

from __future__ import annotations

import json
import math
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import prompts
from pipeline.annotation.questions import repair_messages
from pipeline.annotation.scoring import (
    LEAST_MASS,
    OUTPUTS,
    Parsed,
    Result,
    Scores,
    Unreadable,
    Written,
)
from pipeline.chat.replies import REASONS, Reply, TokenLogprob, Unusable, read
from pipeline.prompts import Prompt

NAMES = sorted(path.stem for path in prompts.FOLDER.glob("*.txt"))
CHATS = [name for name in NAMES if prompts.load(name).output != "text"]
SCORE, DIGIT = prompts.load("similarity.v1"), prompts.load("similarity-digit.v1")
CHANCES, YES_NO = prompts.load("similarity-verbalised.v1"), prompts.load("duplicate-question.v1")
SENTENCES, LEVELS = prompts.load("synonym-antonym.v1"), prompts.load("graded-variants.v1")

probabilities = st.lists(st.floats(0.001, 1.0), min_size=6, max_size=6)


def reply(text: str, tokens: tuple[TokenLogprob, ...] = ()) -> Reply:
    return Reply(text, "stop", None, tokens, None, "m")


def parse(prompt: Prompt, text: str, tokens: tuple[TokenLogprob, ...] = ()) -> Result:
    return OUTPUTS[prompt.output].parse(reply(text, tokens), prompt)


def spoken(pieces: list[str], at: int, top: dict[str, float]) -> tuple[TokenLogprob, ...]:
    """Tokens of which the one at ``at`` has ``top`` as probabilities, its own among them."""
    likely = tuple((text, math.log(chance)) for text, chance in top.items())
    return tuple(
        TokenLogprob(piece, dict(likely)[piece] if number == at else -0.01,
                     likely if number == at else ((piece, -0.01), ("5", -9.0), ("0", -9.0)))
        for number, piece in enumerate(pieces)
    )  # fmt: skip


# Hard grades


@pytest.mark.parametrize("grade", range(6))
@pytest.mark.parametrize(
    "form",
    [
        '{"score": %d}', '{"score":%d}', ' {\n  "score" : %d\n}\n', '{"score": "%d"}',
        '{"score": %d.0}', '{"reason": "both say so", "score": %d}',
        '```json\n{"score": %d}\n```', '```\n{"score": %d}```', "```\n%d\n```",
        "<think>3? 5? maybe 1.</think>\n%d",
        "%d", " %d\n", "%d.", "**%d**", '"%d"', "Score: %d", "score = %d", "**Score:** %d",
        "Score: **%d**", "The score is %d.", "Final answer: %d", "%d/5", "Grade: %d out of 5",
        "评分：%d", "%d分", "答案为 %d。",  # noqa: RUF001
    ],
)  # fmt: skip
def test_a_grade_is_read_in_every_form_that_says_nothing_else(form: str, grade: int) -> None:
    assert parse(SCORE, form % grade) == Parsed(grade / 5)


UNREADABLE = {
    "": "no_grade",
    "I cannot say.": "no_grade",
    "four": "no_grade",
    "４": "no_grade",  # noqa: RUF001
    "4 or 5": "several_grades",
    "4-5": "several_grades",
    "3.5/5": "several_grades",
    "I'd say 3.5/5?": "several_grades",
    "4/6": "several_grades",
    "Score: 4\nScore: 2": "several_grades",
    "3.5": "not_a_grade",
    "4,5": "not_a_grade",
    "6": "out_of_scale",
    "-1": "out_of_scale",
    "100": "out_of_scale",
    "4?": "not_alone",
    "I think that 4 fits": "not_alone",
    "The texts agree on the whole. Score: 4": "not_alone",
    "Score: 4 " + "!" * 100: "not_alone",
    "Score:" + " " * 100 + "4": "not_alone",
    '{"score": 6}': "out_of_scale",
    '{"score": -1}': "out_of_scale",
    '{"score": 3.5}': "not_a_grade",
    '{"score": "4 or 5"}': "several_grades",
    '{"score": [4]}': "not_alone",
    '{"score": true}': "no_grade",
    '{"score": null}': "no_grade",
    '{"score": NaN}': "no_grade",
    '{"score": 1e400}': "no_grade",
    '{"score": {}}': "no_grade",
    '{"score": 4': "broken_json",
    '{"score": 4}}': "broken_json",
    '{"score": 4} because': "broken_json",
    '{"score": 4}{"score": 4}': "broken_json",
    "{'score': 4}": "broken_json",
    '{"score": 4,}': "broken_json",
    '{"score": ' + "4" * 5000 + "}": "broken_json",
    '{"score": 4, "score": 4}': "repeated_key",
    '{"score": 4, "score": 1}': "repeated_key",
    '{"first": {"score": 1}, "score": 4}': "several_grades",
    '{"grade": 4}': "wrong_shape",
    '{"result": {"score": 4}}': "wrong_shape",
    "{}": "wrong_shape",
    '[{"score": 4}]': "not_alone",
    'Here: {"score": 4}': "not_alone",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_not_clearly_one_grade_has_a_reason_and_no_value(text: str) -> None:
    assert parse(SCORE, text) == Unreadable(UNREADABLE[text])


@pytest.mark.parametrize("scale", [(0, 1), (1, 5), (0, 9), (1, 10), (0, 100)])
def test_the_ends_of_every_scale_are_zero_and_one(scale: tuple[int, int]) -> None:
    prompt = SCORE.model_copy(update={"scale": scale})
    low, high = scale
    assert parse(prompt, str(low)) == parse(prompt, f'{{"score": {low}}}') == Parsed(0.0)
    assert parse(prompt, str(high)) == parse(prompt, f"{high}/{high}") == Parsed(1.0)
    assert parse(prompt, str(high + 1)) == Unreadable("out_of_scale")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"answer": "yes"}', Parsed(1.0)), ('{"answer": "No"}', Parsed(0.0)),
        ("Yes.", Parsed(1.0)), ("**no**", Parsed(0.0)), ("Answer: yes", Parsed(1.0)),
        ("是", Parsed(1.0)), ("答案：否。", Parsed(0.0)),  # noqa: RUF001
        ("yes and no", Unreadable("several_grades")), ("maybe", Unreadable("no_grade")),
        ("Yes, they are", Unreadable("not_alone")), ("yesterday", Unreadable("no_grade")),
        ('{"answer": true}', Unreadable("no_grade")), ('{"answer": 1}', Unreadable("no_grade")),
        ('{"score": "yes"}', Unreadable("wrong_shape")),
    ],
)  # fmt: skip
def test_yes_is_one_and_no_is_zero(text: str, expected: Result) -> None:
    assert parse(YES_NO, text) == expected


# Soft grades


def slow_expectation(chances: dict[int, float]) -> tuple[float, float]:
    """Mean and variance of the grade on a scale of 0 to 1, in exact arithmetic."""
    exact = {Fraction(grade, 5): Fraction(chance) for grade, chance in chances.items()}
    total = sum(exact.values())
    mean = sum(place * chance for place, chance in exact.items()) / total
    square = sum(place**2 * chance for place, chance in exact.items()) / total
    return float(mean), float(square - mean**2)


@given(probabilities, st.floats(0.0, 0.49))
def test_the_value_is_the_expected_grade_of_the_grades_alone(
    weights: list[float], elsewhere: float
) -> None:
    chances = [weight / sum(weights) * (1 - elsewhere) for weight in weights]
    top = {str(grade): chance for grade, chance in enumerate(chances)}
    found = parse(DIGIT, "3", spoken(["3"], 0, top | {"The": elsewhere or 1e-9, "\n": 1e-9}))
    mean, variance = slow_expectation(dict(enumerate(chances)))
    assert isinstance(found, Parsed)
    assert found.value == pytest.approx(mean, abs=1e-9)
    assert found.spread == pytest.approx(math.sqrt(max(variance, 0)), abs=1e-7)
    assert found.confidence is not None
    assert 0 <= found.confidence <= 1 - elsewhere + 1e-9


TOP = {"3": 0.2, "4": 0.6, "5": 0.1, "x": 0.1}
MEAN = (3 * 0.2 + 4 * 0.6 + 5 * 0.1) / 0.9 / 5


@pytest.mark.parametrize(
    ("pieces", "form"),
    [
        (["4"], "%s"), ([" 4"], " %s"), (["Score", ":", " 4"], " %s"),
        (['{"', "score", '":', " ", "4", "}"], "%s"), (['{"', "score", '":', " 4", "}"], " %s"),
        (['{"score": ', "4}"], "%s}"), (['{"score"', ": 4", "}"], ": %s"),
        (['{"', 'score', '":"', "4", '"}'], "%s"), (['{"score":', '"4"', "}"], '"%s"'),
        (["```", "json", "\n", '{"score": ', "4", "}\n", "```"], "%s"),
        (["<think>", "4", " or 5", "</think>", "\n\n", "4"], "%s"),
        (["", "", "评", "分:", "4", "", "分"], "%s"), (["**", "4", "**", "<|im_end|>"], "%s"),
        (["4", "", "<|eot_id|>"], "%s"), (['{"n": "', "4", '", "score": ', "4", "}"], "%s"),
    ],
)  # fmt: skip
def test_the_token_with_the_grade_is_found_wherever_it_is(pieces: list[str], form: str) -> None:
    owner = max(number for number, piece in enumerate(pieces) if "4" in piece)
    top = {form % name: chance for name, chance in TOP.items()}
    text = "".join(piece for piece in pieces if not piece.startswith("<|"))
    found = parse(SCORE, text, spoken(pieces, owner, top))
    assert isinstance(found, Parsed)
    assert found.value == pytest.approx(MEAN)


def test_the_spellings_of_a_grade_count_together() -> None:
    top = {"4": 0.3, " 4": 0.2, "4}": 0.1, "2": 0.4}
    found = parse(DIGIT, "4", spoken(["4"], 0, top))
    assert found == parse(DIGIT, "4", spoken(["4"], 0, {"4": 0.6, "2": 0.4}))


def test_confidence_falls_with_mass_elsewhere_and_with_doubt() -> None:
    sure = parse(DIGIT, "4", spoken(["4"], 0, {"4": 1.0}))
    assert sure == Parsed(0.8, 1.0, 0.0)
    elsewhere = parse(DIGIT, "4", spoken(["4"], 0, {"4": 0.7, "The": 0.3}))
    assert elsewhere == Parsed(0.8, pytest.approx(0.7), 0.0)
    even = parse(DIGIT, "4", spoken(["4"], 0, {str(grade): 1 / 6 for grade in range(6)}))
    assert even == Parsed(pytest.approx(0.5), pytest.approx(0.0), pytest.approx(0.341565))
    torn = parse(YES_NO, "yes", spoken(["yes"], 0, {"yes": 0.5, " No": 0.5}))
    assert torn == Parsed(pytest.approx(0.5), pytest.approx(0.0), pytest.approx(0.5))


def test_no_value_where_the_model_was_about_to_say_something_else() -> None:
    under, over = LEAST_MASS - 0.01, LEAST_MASS + 0.01
    for text in ("4", '{"score": 4}'):
        pieces = ["4"] if text == "4" else ['{"score": ', "4", "}"]
        at = pieces.index("4")
        found = parse(SCORE, text, spoken(pieces, at, {"4": under, "The": 1 - under}))
        assert found == Unreadable("no_mass_on_grades", repairable=False)
        assert isinstance(parse(SCORE, text, spoken(pieces, at, {"4": over, "The": 0.4})), Parsed)


def test_an_answer_that_is_unlikely_itself_counts_as_much_as_it_is_likely() -> None:
    """At a temperature above 0 the grade that is said need not be among the likeliest."""
    tokens = (TokenLogprob("1", math.log(0.02), (("4", math.log(0.7)), ("5", math.log(0.2)))),)
    found = parse(DIGIT, "1", tokens)
    assert isinstance(found, Parsed)
    assert found.value == pytest.approx((0.02 * 1 + 0.7 * 4 + 0.2 * 5) / 0.92 / 5)


def test_without_alternatives_the_grade_stands_with_its_own_probability() -> None:
    assert parse(DIGIT, "4", (TokenLogprob("4", math.log(0.3), ()),)) == Parsed(
        0.8, pytest.approx(0.3)
    )


@pytest.mark.parametrize("pieces", [["5"], ["Score", ": 3"], ["sco", "re:4"], ["score", ":4x"], []])
def test_tokens_that_are_not_the_answer_leave_it_as_it_is(pieces: list[str]) -> None:
    tokens = tuple(TokenLogprob(piece, -0.1, (("0", -0.1), ("1", -3.0))) for piece in pieces)
    assert parse(SCORE, "score:4", tokens) == Parsed(0.8)


def test_on_a_scale_beyond_nine_a_token_may_be_half_a_grade() -> None:
    prompt = SCORE.model_copy(update={"scale": (0, 10)})
    assert parse(prompt, "1", spoken(["1"], 0, {"1": 0.9, "2": 0.1})) == Parsed(0.1)
    assert parse(prompt, "10", spoken(["1", "0"], 0, {"1": 0.9, "0": 0.1})) == Parsed(1.0)


# Stated probabilities


@given(probabilities, st.sampled_from([1, 100]))
def test_stated_probabilities_give_their_expected_grade(weights: list[float], whole: int) -> None:
    chances = {grade: weight / sum(weights) for grade, weight in enumerate(weights)}
    text = json.dumps({str(grade): chance * whole for grade, chance in chances.items()})
    found = parse(CHANCES, text)
    mean, variance = slow_expectation(chances)
    assert found == Parsed(
        pytest.approx(mean),
        found.confidence,
        pytest.approx(math.sqrt(variance), abs=1e-7),  # type: ignore[union-attr]
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"4": 0.5}, "not_a_distribution"), ({"4": 0.9, "5": 0.3}, "not_a_distribution"),
        ({"4": 0}, "not_a_distribution"), ({"4": -0.1, "5": 1.1}, "not_a_probability"),
        ({"4": math.nan}, "not_a_probability"), ({"4": math.inf}, "not_a_probability"),
        ({"4": True}, "not_a_probability"), ({"4": "1"}, "not_a_probability"),
        ({"4": 10**400}, "not_a_probability"), ({"6": 0}, "wrong_shape"),
    ],
)  # fmt: skip
def test_what_is_no_distribution_over_the_grades_has_a_reason(
    changes: dict[str, Any], reason: str
) -> None:
    stated = {str(grade): 0 for grade in range(6)} | {"4": 1} | changes
    assert parse(CHANCES, json.dumps(stated)) == Unreadable(reason)
    assert parse(CHANCES, '{"4": 1}') == Unreadable("wrong_shape")
    assert parse(CHANCES, "4") == Unreadable("wrong_shape")


def test_stated_probabilities_may_miss_their_sum_by_a_rounding() -> None:
    third = {"0": 0.0, "1": 0.0, "2": 0.0, "3": 0.33, "4": 0.33, "5": 0.33}
    found = parse(CHANCES, json.dumps(third))
    assert isinstance(found, Parsed)
    assert found.value == pytest.approx(0.8)


# Texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"sentences": ["foo", " bar "]}', Written(("foo", "bar"))),
        ('["foo", "bar"]', Written(("foo", "bar"))),
        ('```json\n{"sentences": ["foo"]}\n```', Written(("foo",))),
        ('1. "foo"\n2. “bar”\n3. foo "bar"', Written(("foo", "bar", 'foo "bar"'))),
        ('{"sentences": ["half \\ud83d"]}', Written(("half ?",))),
        ('{"queries": ["foo"]}', Unreadable("wrong_shape")),
        ('{"sentences": ["foo", 1]}', Unreadable("wrong_shape")),
        ('{"sentences": "foo"}', Unreadable("wrong_shape")),
        ('{"sentences": []}', Unreadable("no_texts")),
        ('{"sentences": ["foo", " "]}', Unreadable("no_texts")),
        ('{"sentences": ["foo"', Unreadable("broken_json")),
        ("I'm sorry, I cannot do that.", Unreadable("no_texts")),
        ("1. foo\n\n1. bar", Unreadable("several_lists")),
    ],
)
def test_texts_are_read_from_json_and_from_lists(text: str, expected: Result) -> None:
    assert parse(SENTENCES, text) == expected


def test_ten_items_and_more_keep_their_beginnings() -> None:
    items = tuple(f"item {number}" for number in range(1, 25))
    text = "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
    assert parse(SENTENCES, text) == Written(items)


def test_levels_come_from_high_to_low_each_once() -> None:
    words = {str(level): f"text {level}" for level in (3, 0, 5, 1, 4, 2)}
    expected = Written(
        tuple(f"text {level}" for level in (5, 4, 3, 2, 1, 0)), (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
    )
    assert parse(LEVELS, json.dumps(words)) == expected
    assert parse(LEVELS, "\n".join(f"{one}: {text}" for one, text in words.items())) == expected
    assert parse(LEVELS, "\n\n".join(f"Level {one}: {words[one]}" for one in words)) == expected
    del words["3"]
    assert parse(LEVELS, json.dumps(words)) == Unreadable("wrong_levels")
    assert parse(LEVELS, json.dumps(words | {"3": 3})) == Unreadable("wrong_shape")
    assert parse(LEVELS, json.dumps(words | {"3": ""})) == Unreadable("no_texts")
    assert parse(LEVELS, "3: foo\n3: bar") == Unreadable("repeated_key")


# How it is asked


def validates(value: Any, schema: dict[str, Any]) -> bool:
    """The part of JSON schema that is used, in the plainest way."""
    if schema["type"] == "object":
        known = schema["properties"]
        assert schema["additionalProperties"] is False
        return list(value) == schema["required"] == list(known) and all(
            validates(value[name], known[name]) for name in known
        )
    if schema["type"] == "array":
        return all(validates(one, schema["items"]) for one in value)
    types = {"integer": int, "number": (int, float), "string": str}
    return isinstance(value, types[schema["type"]]) and value in schema.get("enum", [value])


VALID: dict[str, list[Any]] = {
    "score": [{"score": grade} for grade in range(6)],
    "distribution": [{str(grade): float(grade == 4) for grade in range(6)}],
    "yes_no": [{"answer": "yes"}, {"answer": "no"}],
    "sentences": [{"sentences": ["foo", "bar"]}],
    "graded_sentences": [{str(level): "foo" for level in range(6)}],
    "queries": [{"queries": ["foo"]}],
    "scores": [{"1": grade, "2": 0, "3": 5} for grade in range(6)],
}


@pytest.mark.parametrize("name", CHATS)
def test_what_the_schema_allows_can_be_read(name: str) -> None:
    prompt = prompts.load(name)
    wanted = OUTPUTS[prompt.output].schema(prompt, 3)
    if wanted is None:
        assert prompt.output == "digit"
        return
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["strict"] is True
    schema = wanted["json_schema"]["schema"]
    high = prompt.scale[1] if prompt.scale else 5
    for value in VALID[prompt.output]:
        if prompt.output == "score":
            assert validates(value, schema) == (value["score"] <= high)
        else:
            assert validates(value, schema)
        read_back = parse(prompt, json.dumps(value))
        assert isinstance(read_back, Unreadable) == (value.get("score", 0) > high)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_answer_is_allowed_few_tokens_but_enough(kind: str) -> None:
    longest = max((json.dumps(value, indent=2) for value in VALID.get(kind, ["4"])), key=len)
    pairs = 3 if kind == "scores" else 1
    assert len(longest) / 3 < OUTPUTS[kind].max_tokens * pairs <= 1024


def test_each_of_several_pairs_has_its_own_grade_or_its_own_reason() -> None:
    several = prompts.load("similarity-several.v1")

    def each(text: str) -> Any:
        found = parse(several, text)
        assert isinstance(found, Scores), found
        return [one.value if isinstance(one, Parsed) else one.reason for one in found.each]

    assert each('{"1": 5, "2": 0, "3": 2}') == [1.0, 0.0, 0.4]
    assert each('```json\n{"2": 3, "1": "4"}\n```') == [0.8, 0.6]
    assert each('{"1": 5, "3": 1}') == [1.0, "wrong_shape", 0.2]
    assert each('{"1": 9, "2": "high", "3": 1.5, "4": true}')[0] == "out_of_scale"
    assert not any(isinstance(one, float) for one in each('{"1": 7, "2": null, "3": [4]}'))
    for whole in ("3", "{}", '{"0": 1}', '{"21": 1}', '{"one": 1}', '{"1": 1, "1": 2}', "[1, 2]"):
        assert isinstance(parse(several, whole), Unreadable), whole


def test_the_repair_round_says_what_was_wanted_after_what_was_said() -> None:
    messages = SCORE.messages(text1="one", text2="two")
    bad = reply("It is 4 or 5 <|im_end|>\u200b" + "!" * 5_000)
    repaired = repair_messages(messages, bad, OUTPUTS["score"])
    assert repaired[:2] == messages
    assert [message["role"] for message in repaired[2:]] == ["assistant", "user"]
    assert repaired[2]["content"].startswith("It is 4 or 5 (|im_end|)!")
    assert len(repaired[2]["content"]) <= 1_000
    assert '{"score": n}' in repaired[3]["content"]


# Any reply


@pytest.mark.parametrize("name", CHATS)
@given(text=st.text(st.characters(), max_size=60) | st.from_regex(r"[\[{\"score: 0-9.,/}\]]{1,20}"))
def test_no_text_raises_or_leaves_the_scale(name: str, text: str) -> None:
    assert_sound(parse(prompts.load(name), text))


def assert_sound(found: Result) -> None:
    if isinstance(found, Parsed):
        assert 0.0 <= found.value <= 1.0
        assert found.confidence is None or 0.0 <= found.confidence <= 1.0
        assert found.spread is None or 0.0 <= found.spread <= 0.5
    elif isinstance(found, Written):
        assert found.texts
        assert all(found.texts)
        assert len(found.levels) in (0, len(found.texts))
    elif isinstance(found, Scores):
        assert 0 < len(found.each) <= 20
        for one in found.each:
            assert_sound(one)
    else:
        assert found.reason.replace("_", "").isalpha()


def bodies(kind: str) -> list[bytes]:
    """Valid bodies for a kind of reply, one with log-probabilities."""
    texts = [json.dumps(value) for value in VALID.get(kind, [4])] + ["4", "1. foo\n2. bar", "yes"]
    top = [{"token": str(n), "logprob": -float(n + 1), "bytes": [48 + n]} for n in range(6)]
    token = {"token": "4", "logprob": -5.0, "bytes": [52], "top_logprobs": top}
    return [
        json.dumps({
            "choices": [{
                "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
                "logprobs": {"content": [token]} if text == "4" else None,
            }],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9},
        }).encode()
        for text in texts
    ]  # fmt: skip


PIECES = [
    b"-", b"9", b"1e9", b".5", b"6", b'"', b"\\", b"{", b"}", b"]", b",", b"null", b"NaN", b"true",
    b"\xff", b"\x00", b"length", b"score", b"\\ud800", b"99999999999999999999", b" or 5", b"%",
]  # fmt: skip


def mutated(body: bytes, draw: random.Random) -> bytes:
    """The body with one to four parts cut out, put in, doubled or replaced."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(body) + 1)
        end = min(len(body), start + draw.choice([0, 0, 1, 1, 2, 8, 40]))
        piece = draw.choice([b"", b"", draw.choice(PIECES), body[start:end] * 2, draw.randbytes(2)])
        body = body[:start] + piece + body[end:]
    return body


def test_ten_thousand_damaged_answers_give_no_value_out_of_scale() -> None:
    draw = random.Random(13)
    chats = [prompts.load(name) for name in CHATS]
    valid = {prompt.output: bodies(prompt.output) for prompt in chats}
    ends = {"value": 0, "unreadable": 0, "unusable": 0}
    for _ in range(10_000):
        prompt = draw.choice(chats)
        found = read(mutated(draw.choice(valid[prompt.output]), draw))
        if isinstance(found, Unusable):
            assert found.reason in REASONS
            ends["unusable"] += 1
            continue
        result = OUTPUTS[prompt.output].parse(found, prompt)
        assert_sound(result)
        if isinstance(result, Parsed) and prompt.scale and result.confidence is None:
            assert result.value in [grade / prompt.scale[1] for grade in range(6)]
        ends["unreadable" if isinstance(result, Unreadable) else "value"] += 1
    assert min(ends.values()) > 500, ends
