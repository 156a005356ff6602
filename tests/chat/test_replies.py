"""The bytes of a chat completion: an answer or a reason, whatever they are."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chat import replies
from pipeline.chat.replies import Reply, TokenLogprob, UnreadableError, Unusable, Usage, read

USAGE = {
    "prompt_tokens": 500, "completion_tokens": 7, "total_tokens": 507,
    "prompt_tokens_details": {"cached_tokens": 384},
}  # fmt: skip
MESSAGE = {"role": "assistant", "content": '{"score": 4}', "refusal": None}
CHOICE = {"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}
COMPLETION = {"id": "x", "model": "m-1", "choices": [CHOICE], "usage": USAGE}

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def completion(**choice: Any) -> bytes:
    return json.dumps(COMPLETION | {"choices": [CHOICE | choice]}).encode()


def said(**message: Any) -> bytes:
    return completion(message=MESSAGE | message)


def with_logprobs(*content: Any, text: str = "4") -> bytes:
    message = MESSAGE | {"content": text}
    return completion(message=message, logprobs={"content": list(content), "refusal": None})


def entry(token: str, logprob: Any = -0.5, **fields: Any) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), **fields}


def test_a_usual_answer_is_read() -> None:
    usage = Usage(prompt_tokens=500, completion_tokens=7, cached_tokens=384)
    assert read(completion()) == Reply('{"score": 4}', "stop", None, (), usage, "m-1")
    assert read(b"\xef\xbb\xbf\n " + completion() + b"\n") == read(completion())


BODIES = {
    b"": "empty_body",
    b" \r\n ": "empty_body",
    b"<!DOCTYPE html><html><body>502</body></html>": "html",
    b"\n<?xml version='1.0'?>": "html",
    b"upstream connect error": "not_json",
    b'data: {"choices": []}\n\ndata: [DONE]': "not_json",
    completion()[:-1]: "not_json",
    completion()[:40]: "not_json",
    completion() * 2: "not_json",
    b"\x1f\x8b\x08\x00garbage": "not_json",
    b"\xff\xfe\x00": "not_json",
    b"[" * 100_000: "not_json",
    b'{"a":' * 100_000: "not_json",
    b'{"usage": ' + b"9" * 5_000 + b"}": "not_json",
    b"null": "not_json",
    b"[]": "not_json",
    b'"{}"': "not_json",
    b"{}": "no_choices",
    b'{"choices": null}': "no_choices",
    b'{"choices": []}': "no_choices",
    b'{"choices": {"0": 1}}': "no_choices",
    b'{"error": {"message": "overloaded"}, "choices": []}': "error_body",
    b'{"choices": [null]}': "empty",
    b'{"choices": [{}]}': "empty",
    b'{"choices": [{"message": "4"}]}': "empty",
    json.dumps({"choices": [CHOICE, CHOICE]}).encode(): "several_choices",
}


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_that_is_no_completion_has_a_reason(body: bytes) -> None:
    assert read(body) == Unusable(BODIES[body])


CALL = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
ANSWERS = {
    "no content": (said(content=None), "empty"),
    "empty content": (said(content=""), "empty"),
    "white space": (said(content=" \n\t"), "empty"),
    "no parts": (said(content=[]), "empty"),
    "a number": (said(content=4), "not_text"),
    "an object": (said(content={"score": 4}), "not_text"),
    "an image": (said(content=[{"type": "image_url", "image_url": {}}]), "not_text"),
    "text and an image": (
        said(content=[{"type": "text", "text": "4"}, {"type": "image_url"}]), "not_text"
    ),
    "a part that is a string": (said(content=["4"]), "not_text"),
    "a part whose text is none": (said(content=[{"type": "text", "text": 4}]), "not_text"),
    "a refusal": (said(content=None, refusal="I cannot."), "refused"),
    "a refusal beside an answer": (said(refusal="I cannot."), "refused"),
    "a refusal as a part": (said(content=[{"type": "refusal", "refusal": "No."}]), "refused"),
    "a filter": (completion(finish_reason="content_filter"), "content_filter"),
    "a filter that refuses": (
        completion(finish_reason="content_filter", message={"refusal": "No."}), "content_filter"
    ),
    "cut off": (completion(finish_reason="length"), "cut_off"),
    "cut off before it began": (
        completion(finish_reason="length", message=MESSAGE | {"content": ""}), "cut_off"
    ),
    "a tool": (said(content=None, tool_calls=CALL), "tool_call"),
    "a tool beside an answer": (said(tool_calls=CALL), "tool_call"),
    "a function": (said(content="", function_call={"name": "f"}), "tool_call"),
    "no end": (completion(finish_reason=None), "unfinished"),
    "an end of a strange type": (completion(finish_reason=["stop"]), "unfinished"),
    "an end of a strange kind": (completion(finish_reason="insufficient_resource"), "unfinished"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_cannot_be_used_has_a_reason_and_was_paid_for(case: str) -> None:
    body, reason = ANSWERS[case]
    assert read(body) == Unusable(reason, Usage(500, 7, 384))


def test_every_reason_occurs_in_these_tests() -> None:
    assert {*BODIES.values(), *(reason for _, reason in ANSWERS.values())} == replies.REASONS


def test_an_answer_in_parts_is_their_text() -> None:
    reply = read(
        said(content=[{"type": "text", "text": '{"sc'}, {"type": "text", "text": 'ore"}'}])
    )
    assert isinstance(reply, Reply)
    assert reply.text == '{"score"}'


def test_no_tool_calls_are_no_tool_calls() -> None:
    for nothing in (None, []):
        assert isinstance(read(said(tool_calls=nothing, function_call=None)), Reply)


@pytest.mark.parametrize("finish", ["stop", "eos_token", "end_turn"])
def test_a_complete_answer_ends_by_several_names(finish: str) -> None:
    reply = read(completion(finish_reason=finish))
    assert isinstance(reply, Reply)
    assert reply.finish_reason == finish


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None), ([], None), ({}, None), ("500", None),
        ({"prompt_tokens": 5}, None),
        ({"prompt_tokens": 5, "completion_tokens": "7"}, None),
        ({"prompt_tokens": True, "completion_tokens": 7}, None),
        ({"prompt_tokens": 5.0, "completion_tokens": 7}, None),
        ({"prompt_tokens": -5, "completion_tokens": 7}, None),
        ({"prompt_tokens": 10**12, "completion_tokens": 7}, None),
        ({"prompt_tokens": math.inf, "completion_tokens": 7}, None),
        ({"prompt_tokens": 5, "completion_tokens": 0}, Usage(5, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": 3}, Usage(5, 7, 0)),
        (USAGE | {"prompt_tokens_details": {"cached_tokens": None}}, Usage(500, 7, 0)),
        (USAGE | {"prompt_tokens_details": {"cached_tokens": 900}}, Usage(500, 7, 500)),
    ],
)  # fmt: skip
def test_usage_that_is_no_count_is_unknown_and_not_zero(
    usage: object, expected: Usage | None
) -> None:
    found = read(json.dumps(COMPLETION | {"usage": usage}).encode())
    assert found.usage == expected
    assert isinstance(found, Reply)
    assert read(json.dumps({"usage": usage}).encode()) == Unusable("no_choices", expected)


def test_half_a_surrogate_pair_is_replaced_so_that_the_text_can_be_stored() -> None:
    reply = read(said(content="4 \ud83d\ude00 \ud83d!"))
    assert isinstance(reply, Reply)
    assert reply.text == "4 😀 ?!"


def test_bytes_that_are_not_utf8_do_not_lose_the_answer() -> None:
    reply = read(said(content="4 and ä").replace(b"\\u00e4", b"\xe4"))
    assert isinstance(reply, Reply)
    assert reply.text == "4 and \ufffd"


# Log-probabilities


def test_log_probabilities_are_read_with_their_alternatives() -> None:
    top = [entry("4", -0.1), entry("5", -2.5)]
    reply = read(with_logprobs(entry("4", -0.1, top_logprobs=top)))
    assert isinstance(reply, Reply)
    assert reply.tokens == (TokenLogprob("4", -0.1, (("4", -0.1), ("5", -2.5))),)


def test_the_pieces_of_a_character_add_up_to_it() -> None:
    """As OpenAI sends them: a token that is no text shows its bytes as an escape."""
    pieces = [
        {"token": "\\xe5", "bytes": [0xE5], "logprob": -1.0},
        {"token": "\\x88\\x86", "bytes": [0x88, 0x86], "logprob": -1.0},
        entry("4"), {"token": "<|end|>", "bytes": None, "logprob": -1.0},
    ]  # fmt: skip
    reply = read(with_logprobs(*pieces, text="分4"))
    assert isinstance(reply, Reply)
    assert [token.token for token in reply.tokens] == ["", "分", "4", "<|end|>"]


@pytest.mark.parametrize(
    "content",
    [
        [None], ["4"], [4], [[]], [{}], [{"token": "4"}], [{"logprob": -1.0}],
        [entry("4"), entry("x", "much")], [entry("4", None)], [entry("4", 0.7)],
        [entry("4", math.nan)], [entry("4", 10**400)], [entry("4") | {"token": 4}],
        [entry("4") | {"bytes": [300]}], [entry("4") | {"bytes": ["4"]}],
        [entry("4", top_logprobs=[None])], [entry("4", top_logprobs=[entry("4", 3.0)])],
        [entry("4", top_logprobs=7)],
    ],
)  # fmt: skip
def test_log_probabilities_that_cannot_be_read_do_not_lose_the_answer(content: list[Any]) -> None:
    reply = read(with_logprobs(*content))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.tokens) == ("4", ())


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": 4}, [], "x", 3])
def test_no_log_probabilities_are_no_tokens(logprobs: object) -> None:
    reply = read(completion(logprobs=logprobs))
    assert isinstance(reply, Reply)
    assert reply.tokens == ()


def test_impossible_tokens_and_roundings_above_zero_are_probabilities() -> None:
    reply = read(with_logprobs(entry("4", 1e-6), entry("a", -math.inf), entry("b", -9999.0)))
    assert isinstance(reply, Reply)
    assert [token.logprob for token in reply.tokens] == [0.0, -math.inf, -9999.0]


# Any bytes


@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes) -> None:
    found = read(body)
    assert isinstance(found, Unusable)
    assert found.reason in replies.REASONS


@given(st.data())
def test_no_value_in_any_place_raises(data: st.DataObject) -> None:
    body = json.loads(with_logprobs(entry("4", top_logprobs=[entry("4")])))
    place: Any = body
    while True:
        keys = list(range(len(place))) if isinstance(place, list) else sorted(place)
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(anything)
            break
        place = place[key]
    found = read(json.dumps(body).encode())
    if isinstance(found, Unusable):
        assert found.reason in replies.REASONS
    else:
        assert found.text.encode()
        assert all(token.logprob <= 0 for token in found.tokens)


# The text of an answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" 4 \n", "4"),
        ('```json\n{"score": 4}\n```', '{"score": 4}'),
        ('```\n{"score": 4}\n```\n', '{"score": 4}'),
        ("<think>3 or 4? 4.</think>\n\n4", "4"),
        ("<think>a</think> no </think>4", "no </think>4"),
        ("<think>and on and on", ""),
        ("3</think>4", "3</think>4"),
        ("```", ""),
        ("``", "``"),
        ("Score:\n```json\n4\n```", "Score:\n```json\n4\n```"),
    ],
)
def test_reasoning_and_a_code_fence_around_all_of_it_are_not_the_answer(
    text: str, answer: str
) -> None:
    assert replies.answer_of(text) == answer


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1', "broken_json"), ('{"a": 1}}', "broken_json"), ("{'a': 1}", "broken_json"),
        ("[" * 100_000, "broken_json"), ("9" * 5_000, "broken_json"), ("", "broken_json"),
        ('{"a": 1, "a": 1}', "repeated_key"), ('[{"b": {"a": 1, "a": 2}}]', "repeated_key"),
    ],
)  # fmt: skip
def test_json_is_never_mended(text: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        replies.json_of(text)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=6))
def test_the_token_of_a_character_is_the_one_that_it_is_in(pieces: list[str]) -> None:
    tokens = [TokenLogprob(piece, -float(number), ()) for number, piece in enumerate(pieces)]
    whole = "".join(pieces)
    owners = [number for number, piece in enumerate(pieces) for _ in piece]
    found = [replies.token_at(tokens, whole, position) for position in range(len(whole))]
    assert found == [tokens[owner] for owner in owners]
    assert replies.token_at(tokens, whole + "x", 0) is None


def test_tokens_of_the_reasoning_and_of_the_end_do_not_shift_the_answer() -> None:
    pieces = ["<think>", "4 or 3", "</think>", "\n", "3", "<|end|>"]
    tokens = [TokenLogprob(piece, -1.0, ((piece, -1.0),)) for piece in pieces]
    assert replies.token_at(tokens, "3", 0) == tokens[4]


LISTS = {
    "1. foo\n2. bar": ["foo", "bar"],
    "Here you are:\n\n1) foo\n\n2) bar\n\nI hope that this helps!": ["foo", "bar"],
    "\n".join(f"{n}. item {n}" for n in range(1, 13)): [f"item {n}" for n in range(1, 13)],
    "  1.foo\n  2.bar": ["foo", "bar"],
    "1. foo\nand more of it\n2. bar": ["foo and more of it", "bar"],
    "1. The year\n2020. was it\n2. bar": ["The year 2020. was it", "bar"],
    "1. 2020 was hot\n2. 3.5 is more": ["2020 was hot", "3.5 is more"],
    "1.5 litres\n1. foo": ["foo"],
    "1、你好\n2、再见": ["你好", "再见"],
    "1\uff1a你好\n2\uff0e再见": ["你好", "再见"],
    "- foo\n- bar\n* baz": ["foo", "bar", "baz"],
    "1. foo\n   - why\n2. bar": ["foo - why", "bar"],
    "2. bar\n3. baz": [],
    "I cannot help with that.": [],
    "": [],
}


@pytest.mark.parametrize("text", LISTS, ids=range(len(LISTS)))
def test_the_items_of_a_list(text: str) -> None:
    assert replies.listed(text) == LISTS[text]


def test_two_lists_are_not_one() -> None:
    with pytest.raises(UnreadableError, match="several_lists"):
        replies.listed("Same:\n1. foo\n2. bar\n\nOpposite:\n1. baz")


@given(st.lists(st.from_regex(r"[A-Za-z][a-z ]{0,10}[a-z]", fullmatch=True), min_size=1))
def test_a_numbered_list_is_read_as_it_was_written(items: list[str]) -> None:
    text = "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
    assert replies.listed(text) == items


def test_levels_are_found_by_their_names() -> None:
    text = "Level 2: foo\n**1**: bar\nand on\n- 0. baz\n7: none"
    assert replies.levelled(text, {"0", "1", "2"}) == {
        "2": "foo", "1": "bar and on", "0": "baz 7: none"
    }  # fmt: skip
    with pytest.raises(UnreadableError, match="repeated_key"):
        replies.levelled("1: foo\n1: bar", {"0", "1"})


def test_reading_a_long_answer_takes_no_longer_than_its_length_allows() -> None:
    """A pattern that went back and forth over these would take minutes."""
    start = time.process_time()
    for piece in (" ", "1", "1. ", "-", "*", "\n", "1\n", "- 1 ", '"', "[", "* _"):
        text = piece * (200_000 // len(piece))
        assert sum(map(len, replies.listed(text))) <= len(text)
        assert replies.levelled(text + "\n0: end", {"0"}).get("0", "end")
    assert time.process_time() - start < 10
