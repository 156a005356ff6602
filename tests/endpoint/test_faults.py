"""Every fault of the table does what it says: over a bare socket, and to the openai client."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import openai
import pytest

import tests.endpoint as package
from tests.endpoint.__main__ import table
from tests.endpoint.faults import FAULTS
from tests.endpoint.fixtures import Endpoint
from tests.endpoint.talking import KEY, Heard, ask, question, request, talk, with_schema

QUESTION: Final = question(logprobs=True, top_logprobs=8, **with_schema())
GOOD: Final = '{"score": 2}'  # two of four words are shared


class Expected(NamedTuple):
    """Billed how often, status (0: none), end of the connection, what the client gets."""

    billed: int
    status: int
    end: str
    client: str
    holds: Callable[[Heard], object]


def header(text: str) -> Callable[[Heard], object]:
    return lambda heard: f"\r\n{text}" in heard.head


def code(name: str | int | None) -> Callable[[Heard], object]:
    return lambda heard: json.loads(heard.body)["error"]["code"] == name


def says(text: str) -> Callable[[Heard], object]:
    return lambda heard: text.encode() in heard.body


def part(heard: Heard) -> object:
    return 0 < len(heard.body) < heard.length


def choice(holds: Callable[[Any], object]) -> Callable[[Heard], object]:
    return lambda heard: whole(heard) and holds(json.loads(heard.body)["choices"][0])


def content(text: str | None, finish: str = "stop") -> Callable[[Heard], object]:
    return choice(lambda one: (one["message"]["content"], one["finish_reason"]) == (text, finish))


def whole(heard: Heard) -> bool:
    return len(heard.body) == heard.length


def no_wait(heard: Heard) -> object:
    return "retry-after" not in heard.head


def dated(heard: Heard) -> object:
    moments = {
        name: parsedate_to_datetime(value)
        for name, _, value in (row.partition(": ") for row in heard.head.split("\r\n"))
        if name in ("date", "retry-after")
    }
    return 1 <= (moments["retry-after"] - moments["date"]).total_seconds() <= 3


def nan(one: Any) -> object:
    return all(
        math.isnan(entry["logprob"])
        for place in one["logprobs"]["content"]
        for entry in (place, *place["top_logprobs"])
    )


def refused(status: int, client: str, holds: Callable[[Heard], object]) -> Expected:
    return Expected(0, status, "open", client, holds)


def lost(billed: int, end: str, holds: Callable[[Heard], object], client: str = "") -> Expected:
    return Expected(billed, 0, end, client or "APIConnectionError", holds)


def spoilt(end: str, client: str, holds: Callable[[Heard], object] = part) -> Expected:
    return Expected(1, 200, end, client or "APIConnectionError", holds)


def answered(holds: Callable[[Heard], object], end: str = "open") -> Expected:
    return Expected(1, 200, end, "ChatCompletion", holds)


def in_head(heard: Heard) -> object:
    return heard.data and b"\r\n\r\n" not in heard.data


def in_chunk(heard: Heard) -> object:
    sizes = [row for row in heard.body.split(b"\r\n") if len(row) < 6]
    return len(sizes) == 2 and "chunked" in heard.head and heard.body[-2:] != b"\r\n"


def too_high(heard: Heard) -> object:
    return heard.length - len(heard.body) == 64


def too_low(heard: Heard) -> object:
    return heard.length == len(heard.body) // 2


def half_json(heard: Heard) -> object:
    return whole(heard) and heard.body.startswith(b"{") and not heard.body.endswith(b"}")


def declined(one: Any) -> object:
    return one["message"]["refusal"] and one["message"]["content"] is None


def sent_twice(heard: Heard) -> object:
    half = len(heard.data) // 2
    return heard.data[:half] == heard.data[half:] and heard.data.count(b"HTTP/1.1 200 OK") == 2


def silence(heard: Heard) -> object:
    return heard.data == b""


EXPECTED: Final[dict[str, Expected]] = {
    "rate_limited": refused(429, "RateLimitError", header("retry-after: 1")),
    "rate_limited_float": refused(429, "RateLimitError", header("retry-after: 0.5")),
    "rate_limited_ms": refused(429, "RateLimitError", header("retry-after-ms: 500")),
    "rate_limited_date": refused(429, "RateLimitError", dated),
    "rate_limited_long": refused(429, "RateLimitError", header("retry-after: 3600")),
    "rate_limited_reset": refused(429, "RateLimitError", header("x-ratelimit-reset-requests: 1s")),
    "rate_limited_words": refused(429, "RateLimitError", header("retry-after: soon")),
    "rate_limited_bare": refused(429, "RateLimitError", no_wait),
    "no_quota": refused(429, "RateLimitError", code("insufficient_quota")),
    "bad_request": refused(400, "BadRequestError", code(None)),
    "context_too_long": refused(400, "BadRequestError", code("context_length_exceeded")),
    "no_schema_support": refused(400, "BadRequestError", says("response_format")),
    "no_logprobs_support": refused(400, "BadRequestError", says("logprobs")),
    "wrong_key": refused(401, "AuthenticationError", says("sk-secr********ests")),
    "echoed_key": refused(401, "AuthenticationError", says(KEY)),
    "forbidden": refused(403, "PermissionDeniedError", code(None)),
    "model_not_found": refused(404, "NotFoundError", code("model_not_found")),
    "server_error": refused(500, "InternalServerError", code(None)),
    "bad_gateway": refused(502, "InternalServerError", says("<html>")),
    "unavailable": refused(503, "InternalServerError", no_wait),
    "unavailable_retry": refused(503, "InternalServerError", header("retry-after: 1")),
    "html_200": refused(200, "str", says("<html>")),
    "error_200": refused(200, "ChatCompletion", code(502)),
    "close_unread": lost(0, "closed", silence),
    "reset": lost(0, "reset", silence),
    "hang": lost(0, "open", silence, "APITimeoutError"),
    "not_http": lost(0, "closed", lambda heard: heard.data),
    "gateway_timeout": Expected(1, 504, "open", "InternalServerError", says("<html>")),
    "close_silent": lost(1, "closed", silence),
    "hang_in_body": spoilt("open", "APITimeoutError"),
    "cut_head": spoilt("closed", "", in_head),
    "cut_body": spoilt("closed", ""),
    "reset_in_body": spoilt("reset", ""),
    "cut_chunks": spoilt("closed", "", in_chunk),
    "promises_more": spoilt("open", "APITimeoutError", too_high),
    "promises_less": spoilt("open", "JSONDecodeError", too_low),
    "invalid_json": spoilt("open", "JSONDecodeError", half_json),
    "empty_body": spoilt("open", "JSONDecodeError", lambda heard: heard.length == 0),
    "gzip_garbage": spoilt("open", "", header("content-encoding: gzip")),
    "wrong_shape": answered(lambda heard: json.loads(heard.body) == {"result": "ok"}),
    "empty_choices": answered(lambda heard: json.loads(heard.body)["choices"] == []),
    "null_content": answered(content(None)),
    "empty_content": answered(content("")),
    "refusal": answered(choice(declined)),
    "content_filter": answered(content("", "content_filter")),
    "cut_off": answered(content(GOOD[: len(GOOD) // 2], "length")),
    "reasoning_only": answered(content("", "length")),
    "stale_answer": answered(content('{"score": 0}')),
    "scripted": answered(content("five, or so")),
    "no_usage": answered(lambda heard: "usage" not in json.loads(heard.body)),
    "no_logprobs": answered(choice(lambda one: one["logprobs"] is None)),
    "empty_logprobs": answered(choice(lambda one: one["logprobs"]["content"] == [])),
    "nan_logprobs": answered(choice(nan)),
    "out_of_scale": answered(content('{"score": 97}')),
    "not_a_number": answered(content('{"score": "similar"}')),
    "no_schema": answered(content("The score is 2 because of the words that they share.")),
    "slow": answered(content(GOOD)),
    "drip": answered(content(GOOD)),
    "extra_response": answered(sent_twice),
    "close_after": answered(content(GOOD), "closed"),
}  # fmt: skip
OPTIONS: Final[dict[str, dict[str, object]]] = {
    "drip": {"interval": 0.0},
    "slow": {"seconds": 0.05},
    "scripted": {"content": "five, or so"},
}


@pytest.fixture(scope="module")
def client(endpoint_process: Endpoint) -> Iterator[openai.OpenAI]:
    """A client with a connection of its own for each request."""
    with openai.OpenAI(
        api_key=KEY, base_url=endpoint_process.url, max_retries=0, timeout=1.5,
        default_headers={"connection": "close"},
    ) as made:  # fmt: skip
        yield made


def scripted(endpoint: Endpoint, name: str, **more: Any) -> None:
    """Make the next question meet the fault, after one about texts that share nothing."""
    endpoint.script({"rules": [{"fault": name, **OPTIONS.get(name, {}), "requests": [2], **more}]})
    endpoint.reset()
    assert "choices" in ask(endpoint.port, question("an apple", "his socket", **with_schema()))


def test_no_fault_is_left_out_here() -> None:
    assert list(EXPECTED) == list(FAULTS)


def test_the_docstring_shows_the_table() -> None:
    assert package.__doc__ is not None
    assert table() in package.__doc__


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_does_what_the_table_says(name: str, endpoint: Endpoint) -> None:
    expected = EXPECTED[name]
    scripted(endpoint, name)
    patience = 10.0 if expected.end != "open" else 1.0 if name == "drip" else 0.05
    heard = talk(endpoint.port, request(QUESTION), patience, silent=name == "hang")
    assert (heard.status, heard.end) == (expected.status, expected.end)
    assert expected.holds(heard), heard
    _, entry = endpoint.ledger()
    assert (entry["answered"], entry["billed"]) == (name, bool(expected.billed))
    assert FAULTS[name].billed == bool(expected.billed)
    assert (entry["prompt_tokens"] > 0) == bool(expected.billed)


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_fault_all_is_well_and_the_counts_add_up(
    name: str, endpoint: Endpoint, client: openai.OpenAI
) -> None:
    scripted(endpoint, name)
    try:
        outcome: object = client.chat.completions.create(**QUESTION)
    except (openai.OpenAIError, json.JSONDecodeError) as error:
        outcome = error
    assert type(outcome).__name__ == EXPECTED[name].client
    again = client.chat.completions.create(**QUESTION)
    assert again.choices[0].message.content == GOOD
    billed = EXPECTED[name].billed
    counts = endpoint.summary()
    assert counts["answered"] == {"good": 2, name: 1}
    assert (counts["asked"], counts["billed"]) == (3, 2 + billed)
    assert counts["billed_per_key_max"] == 1 + billed
    assert len(counts["keys_billed_twice"]) == len(counts["pairs_billed_twice"]) == billed


@pytest.mark.parametrize(
    "name", ["server_error", "hang", "close_silent", "invalid_json", "refusal", "slow"]
)
def test_a_rule_may_turn_the_billing_round(name: str, endpoint: Endpoint) -> None:
    turned = not EXPECTED[name].billed
    scripted(endpoint, name, billed=turned)
    talk(endpoint.port, request(QUESTION), silent=name == "hang")
    assert endpoint.ledger()[1]["billed"] is turned


def test_an_unread_request_cannot_be_billed(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="close_unread"):
        endpoint.script({"rules": [{"fault": "close_unread", "billed": True}]})
