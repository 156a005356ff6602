"""Calls to a provider that fail: nothing is asked twice, nothing that was asked is forgotten."""

from __future__ import annotations

import time
from typing import IO

import openai
import pytest

from pipeline.chat.batches import keeper
from pipeline.chat.batches.provider import Provider
from pipeline.chat.faults import Fault
from pipeline.journal.batches import Batch
from pipeline.journal.entries import Spent
from tests.chat.batch_asking import (
    aged,
    begun,
    billed,
    failing,
    oddities,
    rows,
    run,
    settings,
    spent,
)  # fmt: skip
from tests.chat.batch_fixtures import client, hasty, journal
from tests.endpoint.fixtures import Endpoint

__all__ = ["client", "hasty", "journal"]

# Ways in which a transfer fails, and the number of the request of the route "files".
TRANSFERS = [
    ("unavailable", 1), ("close_silent", 1), ("cut_body", 2), ("cut_chunks", 2),
    ("server_error", 2), ("promises_less", 2), ("reset_in_body", 2),
]  # fmt: skip


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("fault", "number"), TRANSFERS)
def test_a_file_that_does_not_get_through_is_sent_or_taken_again(
    fault: str, number: int, endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [{"fault": fault, "route": "files", "requests": [number]}]})
    asked = run(journal, settings(endpoint.url), range(8))
    assert asked.count("accepted") == 8
    assert begun(endpoint) == 1
    assert endpoint.summary()["routes"]["files"] == 3
    assert spent(journal) == billed(endpoint)


@pytest.mark.usefixtures("hasty")
def test_what_a_first_reading_of_files_has_entered_is_not_entered_by_a_second(
    endpoint: Endpoint, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    download, cut = Provider.download, []

    async def half(self: Provider, name: str) -> IO[bytes] | Fault:
        file = await download(self, name)
        if not cut and not isinstance(file, Fault):
            cut.append(name)
            file.truncate(len(file.read()) // 2)
            file.seek(0)
        return file

    monkeypatch.setattr(Provider, "download", half)
    endpoint.script({"rules": [failing("server_error", times=4)]})
    asked = run(journal, settings(endpoint.url), range(8))
    assert asked.count("accepted") == 8
    assert (asked.tally.retried, begun(endpoint)) == (4, 2)
    assert spent(journal)[:2] == billed(endpoint)[:2]


@pytest.mark.usefixtures("hasty")
def test_a_line_that_is_cut_off_for_good_is_kept_under_its_question(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [{"fault": "promises_less", "route": "files", "start": 2}]})
    asked = run(journal, settings(endpoint.url), range(7))
    assert (asked.count("accepted"), asked.count("uncertain not_json")) == (3, 1)
    assert asked.count("uncertain answer_missing") == 3
    (cut,) = (name for name, state in asked.states.items() if state == "uncertain not_json")
    ((kept,),) = rows(journal, "select reply from attempt where key = ?", cut)
    assert bytes(kept).startswith(b'{"id": "batch_req_' + cut.encode())
    assert oddities(journal) == [("broken", bytes(kept))]


@pytest.mark.usefixtures("hasty")
def test_answers_whose_file_is_gone_are_uncertain(endpoint: Endpoint, journal: str) -> None:
    rule = {"fault": "model_not_found", "route": "files", "start": 2}
    endpoint.script({"rules": [rule | {"fault": "bad_request"}]})
    asked = run(journal, settings(endpoint.url), range(3))
    assert set(asked.states.values()) == {"uncertain answers_gone"}
    assert begun(endpoint) == 1


@pytest.mark.parametrize("route", ["files", "batches"])
@pytest.mark.parametrize(("fault", "reason"), [
    ("wrong_key", "wrong_key"), ("forbidden", "forbidden"), ("bad_request", "bad_request"),
    ("rate_limited_long", "asks_to_wait_long"),
])  # fmt: skip
def test_a_refusal_that_stays_stops_the_run_and_leaves_the_questions_free(
    fault: str, reason: str, route: str, endpoint: Endpoint, journal: str
) -> None:
    more = {"retry_after": 7_200} if fault == "rate_limited_long" else {}
    endpoint.script({"rules": [{"fault": fault, "route": route, **more}]})
    asked = run(journal, settings(endpoint.url), range(3))
    assert asked.stopped is not None
    assert asked.stopped.reason == reason
    assert set(asked.states.values()) == {f"unasked {reason}"}
    assert spent(journal) == Spent(0, 0, 0)
    endpoint.script({})
    assert run(journal, settings(endpoint.url), range(3)).count("accepted") == 3


@pytest.mark.usefixtures("hasty")
def test_an_endpoint_that_is_down_is_given_up_before_a_batch_began(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [{"fault": "server_error", "route": "files"}]})
    asked = run(journal, settings(endpoint.url), range(3))
    assert asked.stopped is not None
    assert asked.stopped.reason == "endpoint_down"
    assert endpoint.summary()["routes"]["files"] == 6
    assert spent(journal) == Spent(0, 0, 0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["server_error", "unavailable", "rate_limited_ms"])
def test_a_batch_that_is_refused_for_now_begins_later(
    fault: str, endpoint: Endpoint, journal: str
) -> None:
    rule = {"fault": fault, "route": "batches", "requests": [1]}
    endpoint.script({"rules": [rule | ({"retry_after": 0.2} if fault[:4] == "rate" else {})]})
    asked = run(journal, settings(endpoint.url), range(5))
    assert asked.count("accepted") == 5
    assert begun(endpoint) == 1
    assert endpoint.summary()["early_sends"] == 0


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "fault", ["close_silent", "cut_body", "gateway_timeout", "invalid_json", "unavailable"]
)
def test_a_batch_that_began_unheard_of_is_found_and_not_begun_again(
    fault: str, endpoint: Endpoint, journal: str
) -> None:
    rule = {"fault": fault, "route": "batches", "requests": [1], "billed": True}
    endpoint.script({"rules": [rule]})
    asked = run(journal, settings(endpoint.url), range(5))
    assert asked.count("accepted") == 5
    assert begun(endpoint) == 1
    assert spent(journal) == billed(endpoint)


@pytest.mark.usefixtures("hasty")
def test_a_batch_that_perhaps_began_and_is_nowhere_is_sent_again_after_a_while(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [{"fault": "reset", "route": "batches", "requests": [1]}]})
    start = time.monotonic()
    asked = run(journal, settings(endpoint.url), range(5))
    assert asked.count("accepted") == 5
    assert time.monotonic() - start > 0.3
    assert begun(endpoint) == 1
    assert [state for (state,) in rows(journal, "select state from batch")] == ["ended"] * 2
    assert spent(journal) == billed(endpoint)


@pytest.mark.usefixtures("hasty")
def test_where_no_list_tells_whether_a_batch_began_its_questions_are_uncertain(
    endpoint: Endpoint, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint of the tests has a list, so it is hidden."""

    async def find(self: Provider, batch: Batch) -> Fault:
        return Fault("fatal", "not_found", detail=f"{batch.runner} {self.host}")

    monkeypatch.setattr(Provider, "find", find)
    endpoint.script({"rules": [{"fault": "close_silent", "route": "batches", "requests": [1]}]})
    asked = run(journal, settings(endpoint.url), range(3))
    assert set(asked.states.values()) == {"uncertain perhaps_sent"}
    assert begun(endpoint) == 1
    assert run(journal, settings(endpoint.url), range(3)).states == asked.states
    assert spent(journal).usd > 0


@pytest.mark.usefixtures("hasty")
def test_a_batch_that_began_twice_is_cancelled_once(
    endpoint: Endpoint, journal: str, client: openai.OpenAI
) -> None:
    rules = [{"fault": "close_silent", "route": "batches", "requests": [1]},
             {"fault": "wrong_key", "route": "batches", "requests": [2]}]  # fmt: skip
    endpoint.script({"rules": rules})
    run(journal, settings(endpoint.url), range(5))
    (first,) = client.batches.list()
    client.batches.create(
        input_file_id=first.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    asked = run(journal, settings(endpoint.url), range(5))
    assert asked.count("accepted") == 5
    assert {batch.id: batch.status for batch in client.batches.list()} == {
        first.id: "completed", "batch_000002": "cancelling",
    }  # fmt: skip
    assert endpoint.summary()["billed"] == 5


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["server_error", "close_silent", "bad_gateway", "html_200"])
def test_a_look_that_fails_is_taken_again(fault: str, endpoint: Endpoint, journal: str) -> None:
    endpoint.script({"rules": [{"fault": fault, "route": "batches", "requests": [2, 3]}]})
    asked = run(journal, settings(endpoint.url), range(5))
    assert asked.count("accepted") == 5
    assert spent(journal) == billed(endpoint)


def test_a_batch_that_cannot_be_seen_any_more_is_left_as_it_is(
    endpoint: Endpoint, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.script({"rules": [{"fault": "wrong_key", "route": "batches", "start": 2}]})
    left = run(journal, settings(endpoint.url), range(3))
    assert left.stopped is not None
    assert left.stopped.reason == "wrong_key"
    endpoint.script({})
    endpoint.reset()
    monkeypatch.setattr(keeper, "GRACE_SECONDS", 0.0)
    asked = run(journal, settings(endpoint.url), range(3))
    assert set(asked.states.values()) == {"uncertain batch_not_found"}
    assert asked.stopped is None
    assert begun(endpoint) == 0
    assert rows(journal, "select distinct state from question") == [("sent",)]
    aged(journal, 40 * 86_400.0)
    late = run(journal, settings(endpoint.url), range(3))
    assert set(late.states.values()) == {"uncertain runner_ended"}
