"""The Batch API as the openai client meets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types import Batch

from tests.endpoint.fixtures import Endpoint
from tests.endpoint.talking import ask, numbered

IDS = [f"pair-{number}" for number in range(10)]


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=endpoint.url, max_retries=0) as made:
        yield made


def line(name: str, number: int) -> str:
    row = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps(row | {"body": numbered(number)}) + "\n"


def sent(client: openai.OpenAI, text: str = "") -> Batch:
    text = text or "".join(line(name, number) for number, name in enumerate(IDS))
    file = client.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
        metadata={"run": "one"},
    )  # fmt: skip


def polled(client: openai.OpenAI, batch: Batch, times: int = 9) -> tuple[list[str], Batch]:
    seen: list[str] = [batch.status]
    for _ in range(times):
        batch = client.batches.retrieve(batch.id)
        seen.append(batch.status)
    return seen, batch


def rows(client: openai.OpenAI, name: str | None) -> list[dict[str, Any]]:
    if name is None:
        return []
    return [json.loads(row) for row in client.files.content(name).text.splitlines()]


def test_a_batch_goes_its_way_and_answers_as_chat_does(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    endpoint.script({"batch": {"validating": 1, "in_progress": 2, "finalizing": 1}})
    seen, batch = polled(client, sent(client), 6)
    assert seen == [
        "validating", "validating", "in_progress", "in_progress", "finalizing", "completed",
        "completed",
    ]  # fmt: skip
    assert (batch.error_file_id, batch.metadata) == (None, {"run": "one"})
    assert batch.request_counts is not None
    assert batch.request_counts.completed == batch.request_counts.total == 10
    found = rows(client, batch.output_file_id)
    assert [row["custom_id"] for row in found] != IDS
    assert sorted(row["custom_id"] for row in found) == IDS
    for row in found:
        number = IDS.index(row["custom_id"])
        assert row["response"]["body"]["choices"] == ask(endpoint.port, numbered(number))["choices"]


def test_every_line_is_in_the_ledger_when_the_batch_ends(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    endpoint.script({"rules": [{"fault": "no_usage", "route": "batch_line", "requests": [3]}]})
    batch = sent(client)
    polled(client, batch, 2)
    assert endpoint.ledger("batch_line") == []
    polled(client, batch)
    entries = endpoint.ledger("batch_line")
    assert [entry["custom_id"] for entry in entries] == IDS
    assert endpoint.summary()["billed"] == 10
    assert entries[2]["answered"] == "no_usage"


def test_lines_that_fail_are_in_the_error_file(endpoint: Endpoint, client: openai.OpenAI) -> None:
    rules = [
        {"fault": "bad_request", "route": "batch_line", "contains": "another text 3"},
        {"fault": "bad_gateway", "route": "batch_line", "contains": "another text 5"},
        {"fault": "refusal", "route": "batch_line", "contains": "another text 7"},
    ]
    endpoint.script({"rules": rules, "batch": {"shuffle": False}})
    _, batch = polled(client, sent(client))
    good, bad = rows(client, batch.output_file_id), rows(client, batch.error_file_id)
    assert [row["custom_id"] for row in good] == [name for name in IDS if name[-1] not in "35"]
    assert [(row["custom_id"], row["response"]["status_code"]) for row in bad] == [
        ("pair-3", 400), ("pair-5", 502),
    ]  # fmt: skip
    assert good[5]["response"]["body"]["choices"][0]["message"]["refusal"]
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (8, 2)
    assert endpoint.summary()["billed"] == 8


def test_a_batch_of_failures_completes_without_an_output_file(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    endpoint.script({"rules": [{"fault": "server_error", "route": "batch_line"}]})
    _, batch = polled(client, sent(client))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(rows(client, batch.error_file_id)) == 10
    assert endpoint.summary()["billed"] == 0


def test_a_batch_may_expire_with_part_of_its_answers(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    endpoint.script({"batch": {"end": "expired", "answered": 0.3}})
    _, batch = polled(client, sent(client))
    assert batch.status == "expired"
    assert sorted(row["custom_id"] for row in rows(client, batch.output_file_id)) == IDS[:3]
    codes = [row["error"]["code"] for row in rows(client, batch.error_file_id)]
    assert codes == ["batch_expired"] * 7
    assert endpoint.summary()["billed"] == 3


def test_a_batch_is_cancelled_with_what_it_has(endpoint: Endpoint, client: openai.OpenAI) -> None:
    early, late = sent(client), sent(client)
    polled(client, late, 2)
    for batch, count in ((early, 0), (late, 5)):
        assert client.batches.cancel(batch.id).status == "cancelling"
        _, ended = polled(client, batch, 1)
        assert ended.status == "cancelled"
        assert len(rows(client, ended.output_file_id)) == count
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
    assert endpoint.summary()["billed"] == 5


@pytest.mark.parametrize(("text", "code"), [
    (line("a", 1) + line("a", 2), "duplicate_custom_id"),
    (line("a", 1) + "{\n", "invalid_json_line"),
    ("\n", "invalid_json_line"),
])  # fmt: skip
def test_a_file_that_is_no_input_fails_the_batch(
    text: str, code: str, endpoint: Endpoint, client: openai.OpenAI
) -> None:
    _, batch = polled(client, sent(client, text))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert code in [error.code for error in batch.errors.data]
    assert endpoint.summary()["asked"] == 0


def test_a_batch_may_fail_for_no_fault_of_the_file(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    endpoint.script({"batch": {"end": "failed"}})
    assert polled(client, sent(client))[1].status == "failed"


def test_the_output_may_repeat_leave_out_invent_and_break_lines(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    plan = {"duplicate": ["pair-2"], "leave_out": ["pair-4"], "unknown": 1, "broken_line": True}
    endpoint.script({"batch": plan})
    _, batch = polled(client, sent(client))
    assert batch.output_file_id is not None
    *good, last = client.files.content(batch.output_file_id).text.splitlines()
    with pytest.raises(json.JSONDecodeError):
        json.loads(last)
    names = sorted(json.loads(row)["custom_id"] for row in good)
    expected = [*IDS, "pair-2", "nobody-0"]
    expected.remove("pair-4")
    assert names == sorted(expected)
    assert endpoint.summary()["billed"] == 10


def test_batches_are_listed_newest_first(endpoint: Endpoint, client: openai.OpenAI) -> None:
    made = [sent(client).id for _ in range(5)]
    page = client.batches.list(limit=2)
    assert [batch.id for batch in page.data] == made[:2:-1]
    assert page.has_more
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]  # follows pages
    assert {batch.status for batch in client.batches.list()} == {"validating"}
    assert endpoint.summary()["routes"]["batches"] == 10


def test_a_batch_may_be_made_although_the_client_never_hears_of_it(
    endpoint: Endpoint, client: openai.OpenAI
) -> None:
    rules = [{"fault": "server_error", "route": "batches", "requests": [1]},
             {"fault": "close_silent", "route": "batches", "requests": [2]}]  # fmt: skip
    endpoint.script({"rules": rules})
    with pytest.raises(openai.InternalServerError):
        sent(client)
    with pytest.raises(openai.APIConnectionError):
        sent(client)
    assert [batch.metadata for batch in client.batches.list()] == [{"run": "one"}]


def test_what_is_not_there_is_not_found(endpoint: Endpoint, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_9")
    with pytest.raises(openai.NotFoundError):
        client.files.content("file-9")
    with pytest.raises(openai.BadRequestError):
        client.batches.create(
            input_file_id="file-9", endpoint="/v1/chat/completions", completion_window="24h"
        )
    assert endpoint.summary()["asked"] == 0
