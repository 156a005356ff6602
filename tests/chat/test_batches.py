"""Asking through the Batch API: how questions end, and what that costs."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import openai
import pytest

from pipeline.chat.batches import keeper
from pipeline.chat.batches import round as rounds
from pipeline.chat.batches.engine import BatchEngine
from pipeline.chat.batches.provider import Provider, Remote
from pipeline.chat.engine import Engine
from pipeline.chat.faults import Fault
from pipeline.chat.prices import Price, in_batch, most, price_asked, reserve_in_batch
from pipeline.journal.entries import Budget, Spent
from tests.chat.batch_asking import (
    LONGEST,
    PRICE,
    Asked,
    aged,
    ask,
    asking,
    begun,
    billed,
    failing,
    key,
    oddities,
    of,
    rows,
    run,
    settings,
    spent,
)  # fmt: skip
from tests.chat.batch_fixtures import client, hasty, journal
from tests.endpoint.fixtures import Endpoint
from tests.endpoint.talking import numbered
from tests.journal.cluster import Cluster
from tests.journal.conftest import postgres

__all__ = ["client", "hasty", "journal", "postgres"]


def test_all_is_answered_at_half_the_price_in_batches_of_the_size_wanted(
    endpoint: Endpoint, journal: str
) -> None:
    asked = run(journal, settings(endpoint.url, batch_size=10), range(25))
    assert asked.stopped is None
    assert asked.count("accepted") == 25
    assert endpoint.summary()["routes"] == {"files": 6, "batches": 12, "batch_line": 25}
    assert spent(journal) == billed(endpoint)
    assert asked.tally.usd == billed(endpoint).usd
    assert billed(endpoint).requests == 25
    known = run(journal, settings(endpoint.url), range(25))
    assert known.results == asked.results
    assert endpoint.summary()["asked"] == 25


def test_the_questions_go_out_in_their_order_with_their_keys(
    endpoint: Endpoint, journal: str, client: openai.OpenAI
) -> None:
    order = [5, 3, 9, 0]
    run(journal, settings(endpoint.url), order)
    (batch,) = client.batches.list()
    lines = client.files.content(batch.input_file_id).text.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"custom_id": key(number), "method": "POST", "url": "/v1/chat/completions",
         "body": ask(number).body} for number in order
    ]  # fmt: skip
    assert batch.metadata == {"runner": rows(journal, "select runner from batch")[0][0]}


def test_a_few_are_asked_at_once_and_at_full_price(endpoint: Endpoint, journal: str) -> None:
    few = run(journal, settings(endpoint.url, batch_least=5), range(4))
    assert endpoint.summary()["routes"] == {"chat": 4}
    many = run(journal, settings(endpoint.url, batch_least=5, batch_size=6), range(4, 18))
    assert endpoint.summary()["routes"] == {"chat": 6, "files": 4, "batches": 8, "batch_line": 12}
    assert few.count("accepted") + many.count("accepted") == 18
    assert spent(journal) == billed(endpoint)


def test_an_answer_is_kept_before_it_is_judged(endpoint: Endpoint, journal: str) -> None:
    kept = []

    def look(engine: Engine) -> None:
        assert isinstance(engine, BatchEngine)
        judged = engine._batched.known

        def known(name: str, *given: Any) -> Any:
            kept.append(rows(journal, "select reply, settled from attempt where key = ?", name)[0])
            return judged(name, *given)

        engine._batched.known = known  # type: ignore[method-assign]

    asyncio.run(asking(journal, settings(endpoint.url), range(5), look))
    assert len(kept) == 5
    assert all(json.loads(bytes(reply))["choices"] and settled for reply, settled in kept)


def test_what_a_batch_that_expired_did_not_reach_goes_into_the_next(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"batch": {"end": "expired", "answered": 0.5}})
    asked = run(journal, settings(endpoint.url), range(16))
    assert (asked.count("accepted"), asked.count("failed batch_expired")) == (14, 2)
    assert begun(endpoint) == rounds.MOST_BATCHES == 3
    assert spent(journal)[:2] == billed(endpoint)[:2]
    endpoint.script({})
    assert run(journal, settings(endpoint.url), range(16)).count("accepted") == 16
    assert endpoint.summary()["keys_billed_twice"] == []
    assert spent(journal)[:2] == billed(endpoint)[:2]


@pytest.mark.usefixtures("hasty")
def test_batches_that_fail_as_a_whole_cost_nothing_and_stop_the_run(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"batch": {"end": "failed"}})
    asked = run(journal, settings(endpoint.url), range(4))
    assert asked.stopped == Fault("fatal", "scripted", None, "it was to fail")
    assert set(asked.states.values()) == {"unasked scripted"}
    assert begun(endpoint) == keeper.MAX_FAILED
    assert spent(journal) == Spent(0, 0, 0)
    endpoint.script({})
    assert run(journal, settings(endpoint.url), range(4)).count("accepted") == 4


@pytest.mark.usefixtures("hasty")
def test_what_is_too_much_to_wait_at_the_provider_is_asked_in_smaller_batches(
    endpoint: Endpoint, journal: str, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint of the tests fails batches only for reasons of its own, so one is renamed."""
    look = Provider.look

    async def crowded(self: Provider, name: str) -> Remote | Fault:
        found = await look(self, name)
        if isinstance(found, Remote) and found.status == "failed":
            if name == "batch_000003":
                endpoint.script({})
            return found._replace(fault=Fault("refused", keeper.CROWDED))
        return found

    monkeypatch.setattr(Provider, "look", crowded)
    endpoint.script({"batch": {"end": "failed"}})
    asked = run(journal, settings(endpoint.url), range(16))
    assert asked.count("accepted") == 16
    made = [(batch.status, batch.request_counts.total) for batch in client.batches.list()
            if batch.request_counts]  # fmt: skip
    assert made[::-1] == [("failed", 16), ("failed", 8), ("failed", 8), *[("completed", 4)] * 4]
    assert spent(journal) == billed(endpoint)


def test_a_batch_that_somebody_cancels_is_not_sent_again(
    endpoint: Endpoint, journal: str, client: openai.OpenAI
) -> None:
    endpoint.script({"batch": {"in_progress": 10_000}})

    async def cancelled() -> Asked:
        work = asyncio.create_task(asking(journal, settings(endpoint.url), range(10)))
        while not (made := list(client.batches.list())) or made[0].status != "in_progress":
            await asyncio.sleep(0.02)
        client.batches.cancel(made[0].id)
        return await work

    asked = asyncio.run(cancelled())
    assert asked.stopped is not None
    assert asked.stopped.reason == "batch_cancelled"
    assert (asked.count("accepted"), asked.count("unasked batch_cancelled")) == (5, 5)
    assert begun(endpoint) == 1
    assert spent(journal)[:2] == billed(endpoint)[:2]


# The state of a question whose line met a fault, with the reason, and how many batches it was in.
LINES = {
    "server_error": ("failed server_error", 3),
    "unavailable": ("failed unavailable", 3),
    "rate_limited": ("failed rate_limited", 3),
    "bad_gateway": ("uncertain bad_gateway", 1),
    "gateway_timeout": ("uncertain gateway_timeout", 1),
    "bad_request": ("failed bad_request", 1),
    "context_too_long": ("failed too_long", 1),
    "content_filter": ("rejected content_filter", 1),
    "refusal": ("rejected refused", 1),
    "cut_off": ("rejected cut_off", 1),
    "null_content": ("rejected empty", 1),
    "not_a_number": ("rejected no_number", 1),
    "invalid_json": ("uncertain not_json", 1),
    "empty_body": ("uncertain empty_body", 1),
    "html_200": ("uncertain html", 1),
    "wrong_shape": ("uncertain no_choices", 1),
    "no_usage": ("accepted", 1),
}


@pytest.mark.parametrize("fault", LINES)
def test_a_line_ends_as_the_same_answer_would_at_once(
    fault: str, endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [failing(fault, contains=of(2))]})
    asked = run(journal, settings(endpoint.url), range(4))
    state, batches = LINES[fault]
    assert asked.states == {key(n): state if n == 2 else "accepted" for n in range(4)}
    assert begun(endpoint) == batches
    found = rows(journal, "select state, reason from question where key = ?", key(2))[0]
    assert " ".join(found).strip() == state
    assert asked.stopped is None
    assert spent(journal).usd >= billed(endpoint).usd


@pytest.mark.parametrize("fault", ["model_not_found", "no_quota", "wrong_key"])
def test_a_line_that_says_that_nothing_can_be_asked_stops_the_run(
    fault: str, endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [failing(fault, start=3)]})
    asked = run(journal, settings(endpoint.url), range(8))
    assert asked.stopped is not None
    assert asked.stopped.kind == "fatal"
    assert asked.count("accepted") == 2
    assert endpoint.summary()["billed"] == 2
    assert spent(journal)[:2] == billed(endpoint)[:2]


def test_an_endpoint_that_refuses_every_line_alike_is_not_asked_on(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [failing("bad_request")]})
    asked = run(journal, settings(endpoint.url), range(12))
    assert asked.stopped is not None
    assert (asked.stopped.kind, asked.stopped.reason) == ("final", "bad_request")


def test_the_first_of_two_answers_counts_and_all_that_is_odd_is_kept(
    endpoint: Endpoint, journal: str
) -> None:
    plan = {"duplicate": [key(1)], "unknown": 2, "broken_line": True}
    endpoint.script({"batch": plan})
    asked = run(journal, settings(endpoint.url), range(4))
    assert asked.count("accepted") == 4
    kinds = [kind for kind, _ in oddities(journal)]
    assert kinds == ["broken", "repeated", "unknown", "unknown"]
    assert json.loads(oddities(journal)[1][1])["custom_id"] == key(1)
    assert spent(journal) == billed(endpoint)


@pytest.mark.usefixtures("hasty")
def test_an_answer_that_the_provider_counts_and_does_not_give_is_uncertain(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"batch": {"leave_out": [key(3)]}})
    asked = run(journal, settings(endpoint.url), range(6))
    assert (asked.states[key(3)], asked.count("accepted")) == ("uncertain answer_missing", 5)
    assert begun(endpoint) == 1
    assert spent(journal).usd > billed(endpoint).usd  # what it can have cost stays reserved
    held = run(journal, settings(endpoint.url), range(6))
    assert held.states == asked.states
    endpoint.script({})
    again = run(journal, settings(endpoint.url), range(6), resend=True)
    assert again.count("accepted") == 6
    assert endpoint.summary()["billed"] == 7


def test_a_question_of_which_no_file_says_anything_is_asked_again(
    endpoint: Endpoint, journal: str
) -> None:
    endpoint.script({"rules": [failing("server_error", contains=of(3))],
                     "batch": {"leave_out": [key(3)]}})  # fmt: skip
    asked = run(journal, settings(endpoint.url), range(6))
    assert (asked.states[key(3)], begun(endpoint)) == ("failed left_out", 3)
    assert rows(journal, "select settled, usd from attempt where key = ?", key(3)) == [(1, 0)] * 3


def test_a_budget_is_never_passed_and_what_was_not_needed_of_it_is_used(
    endpoint: Endpoint, journal: str, client: openai.OpenAI
) -> None:
    most_usd = sum(reserve_in_batch(ask(number).reserve).usd for number in range(10))
    asked = run(journal, settings(endpoint.url), range(200), budget=Budget(usd=most_usd))
    assert asked.stopped == Fault("final", "budget_ended")
    assert 20 < asked.count("accepted") < 200
    assert asked.count("accepted") + asked.count("unasked budget_ended") == 200
    assert billed(endpoint).usd == spent(journal).usd <= most_usd
    assert billed(endpoint).usd > 0.8 * most_usd
    (*_, first) = client.batches.list()
    assert first.request_counts is not None
    assert first.request_counts.total == 10


def test_a_budget_of_requests_counts_those_that_were_made(endpoint: Endpoint, journal: str) -> None:
    endpoint.script({"rules": [{"fault": "wrong_key", "route": "files"}]})
    run(journal, settings(endpoint.url), range(5), budget=Budget(requests=5))
    endpoint.script({})
    asked = run(journal, settings(endpoint.url), range(9), budget=Budget(requests=5))
    assert (asked.count("accepted"), asked.count("unasked budget_ended")) == (5, 4)


def test_few_questions_and_batches_share_a_budget(endpoint: Endpoint, journal: str) -> None:
    chosen = settings(endpoint.url, batch_least=5, batch_size=20)
    most_usd = sum(reserve_in_batch(ask(number).reserve).usd for number in range(20))
    asked = run(journal, chosen, range(24), budget=Budget(usd=most_usd))
    assert asked.count("accepted") == 24
    assert asked.tally.states == {"accepted": 24}
    assert spent(journal) == billed(endpoint)
    assert spent(journal).usd <= most_usd


def test_what_is_shown_counts_what_the_provider_has_done(endpoint: Endpoint, journal: str) -> None:
    asked = run(journal, settings(endpoint.url, batch_size=4), range(6))
    assert asked.tally.figures(6) == {
        "in batches": "6 of 6 done", "ok": "6", "no answer": "0", "tried again": "0",
        "tokens": f"{billed(endpoint).tokens}", "cost": "$0.00 of about $0.00",
    }  # fmt: skip


def test_the_key_is_in_nothing_that_is_written(
    endpoint: Endpoint, journal: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("A_KEY", "sk-canary-1234567890")
    chosen = settings(endpoint.url, key="A_KEY")
    assert run(journal, chosen, range(3)).count("accepted") == 3
    assert all(
        one["authorization"] for one in endpoint.ledger("files") + endpoint.ledger("batches")
    )
    for route in ("files", "batches"):
        endpoint.script({"rules": [{"fault": "echoed_key", "route": route}]})
        stopped = run(journal, chosen, range(6)).stopped
        assert stopped is not None
        assert "…" in stopped.detail
        assert "canary" not in stopped.detail
    endpoint.script({})
    run(journal, chosen, range(6))
    assert "canary" not in caplog.text
    written = b"".join(path.read_bytes() for path in Path(journal).parent.iterdir())
    assert b"key-00001" in written
    assert b"canary" not in written


def test_a_journal_in_postgresql_does_as_well(endpoint: Endpoint, postgres: Cluster) -> None:
    journal = postgres.create()
    endpoint.script({"rules": [{"fault": "wrong_key", "route": "batches", "start": 2},
                               failing("server_error", contains=of(3), times=1)]})  # fmt: skip
    run(journal, settings(endpoint.url), range(6))
    aged(journal, 3 * 86_400.0)
    endpoint.script({"batch": {"duplicate": [key(1)], "unknown": 1, "broken_line": True}})
    asked = run(journal, settings(endpoint.url, batch_size=4), range(12))
    assert asked.count("accepted") == 12
    assert [kind for kind, _ in oddities(journal)].count("repeated") == 1
    assert spent(journal)[:2] == billed(endpoint)[:2]
    assert endpoint.summary()["keys_billed_twice"] == []
    postgres.drop(journal)


def test_a_batch_costs_half_and_an_estimate_knows_that(endpoint: Endpoint) -> None:
    chosen = settings(endpoint.url, price_input=2.0, price_output=8.0, batch_least=20)
    assert price_asked(chosen, 20) == Price(1_000.0, 4_000.0)
    assert price_asked(chosen, 19) == Price(2_000.0, 8_000.0)
    assert price_asked(chosen.model_copy(update={"batch": False}), 20) == Price(2_000.0, 8_000.0)
    unknown = {"base_url": "https://example.org/v1", "price_input": None, "model": "nobody-knows"}
    assert price_asked(chosen.model_copy(update=unknown), 20) is None
    for price in (PRICE, Price(0.3, 0.7), Price(333.3, 1.0)):
        reserve = most(price, numbered(1), LONGEST)
        tokens = reserve.tokens - LONGEST
        assert in_batch(price).cost(tokens, LONGEST).usd <= reserve_in_batch(reserve).usd
