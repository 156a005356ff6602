"""Questions at the fault-injecting endpoint, with a journal on disk: what becomes of each of them.

The figures held against are the endpoint's own: what it was asked, what it billed, who came early.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.chat import engine as engine_module
from pipeline.chat import pace, trips
from pipeline.chat.endpoint import Answer, Endpoint
from pipeline.chat.engine import GARBLED, Engine, Verdict
from pipeline.chat.faults import Fault
from pipeline.chat.replies import Reply
from pipeline.chat.trips import MAX_TRIES
from pipeline.errors import ResourceError
from pipeline.journal import requests
from pipeline.journal.entries import Budget
from tests.chat.asking import closed_port
from tests.chat.desk import PRICE, Desk, asked, score
from tests.chat.test_faults import EXPECTED
from tests.endpoint.completions import key_of, last_user
from tests.endpoint.faults import FAULTS
from tests.endpoint.fixtures import Endpoint as Served
from tests.endpoint.fixtures import start

GOOD, LAST = 4, 4  # questions before the one with the fault; its number


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trips, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(pace, "FIRST_BREAK", 0.05)


@pytest.fixture
def desk(endpoint: Served, tmp_path: Path) -> Desk:
    return Desk(endpoint.url, tmp_path, concurrency=1, timeout=1.0)


def ends(name: str) -> tuple[str, str, int]:
    """Return state, reason and number of requests of a question that always meets a fault."""
    kind, reason = EXPECTED[name]
    states = {"throttled": "accepted", "ambiguous": "uncertain"}
    state = states.get(kind, "failed")
    if kind == "answer":
        state = "rejected" if reason else "accepted"
    if kind == "answer" and reason in GARBLED:
        state = "uncertain"
    if name in ("out_of_scale", "not_a_number", "no_schema"):
        state, reason = "rejected", "out_of_scale"
    posts = {"refused": MAX_TRIES, "throttled": 3}.get(kind, 1)
    return state, "" if kind == "throttled" else reason, posts


def rule(name: str) -> dict[str, Any]:
    """Return what meets the last question with a fault: twice where it is told to wait."""
    quick = {"retry_after": 0.05, "seconds": 0.1}
    short = {option: quick[option] for option in FAULTS[name].options if option in quick}
    times = {"times": 2} if EXPECTED[name][0] == "throttled" else {}
    return {"rules": [{"fault": name, "start": GOOD + 1, **short, **times}]}


# Whole seconds and dates make the matrix slow, an hour slower; they have tests of their own.
SLOW = {"rate_limited", "rate_limited_date", "rate_limited_long", "unavailable_retry"}
MATRIX = [name for name in FAULTS if name not in SLOW and not name.endswith("_logprobs_support")]


@pytest.mark.parametrize("name", MATRIX)
def test_a_fault_ends_its_question_and_no_other(name: str, endpoint: Served, desk: Desk) -> None:
    endpoint.script(rule(name))
    outcome = desk.ask(range(GOOD + 1))
    state, reason, posts = ends(name)
    assert outcome[LAST] == (state, reason)
    assert [outcome[number] for number in range(GOOD)] == [("accepted", "")] * GOOD
    assert endpoint.summary()["asked"] == GOOD + posts
    stops = EXPECTED[name][0] == "fatal" and name != "forbidden"
    assert (outcome.stopped is not None) == stops
    assert desk.known(LAST).state == state
    assert desk.known(LAST).tries == posts
    # What was refused costs nothing; what may have been billed, and what says nothing, stays
    # reserved.
    exact = state in ("accepted", "rejected", "failed") and name != "no_usage"
    check_bill(endpoint, desk, GOOD + posts, exact=exact)

    # What a rerun does: nothing again that was answered or may have been, all else.
    endpoint.script({})
    again = desk.ask(range(GOOD + 1))
    free = state == "failed"
    assert endpoint.summary()["asked"] == GOOD + posts + free
    assert again[LAST] == (("accepted", "") if free else (state, reason))

    # Who prefers to pay twice: what is uncertain is sent again, and nothing else.
    desk.resend = True
    third = desk.ask(range(GOOD + 1))
    unsure = state == "uncertain"
    assert endpoint.summary()["asked"] == GOOD + posts + free + unsure
    assert third[LAST] == (("rejected", reason) if state == "rejected" else ("accepted", ""))


def check_bill(endpoint: Served, desk: Desk, requests: int, *, exact: bool) -> None:
    """See that what was billed is paid or reserved; only what was, where ``exact``."""
    billed = [entry for entry in endpoint.ledger() if entry["billed"]]
    tokens = sum(entry["prompt_tokens"] + entry["completion_tokens"] for entry in billed)
    usd = sum(PRICE.cost(one["prompt_tokens"], one["completion_tokens"]).usd for one in billed)
    spent = desk.spent()
    assert spent.requests == requests
    assert (spent.tokens, spent.usd) == (tokens, usd) if exact else spent.tokens >= tokens
    assert spent.usd >= usd


@pytest.mark.parametrize("name", [name for name in MATRIX if EXPECTED[name][0] == "ambiguous"])
def test_where_paying_twice_is_preferred_an_uncertain_request_is_tried_again(
    name: str, endpoint: Served, desk: Desk
) -> None:
    endpoint.script(rule(name) | {"rules": [{**rule(name)["rules"][0], "times": 2}]})
    desk.resend = True
    outcome = desk.ask(range(GOOD + 1))
    assert outcome[LAST] == ("accepted", "")
    assert endpoint.summary()["asked"] == GOOD + 3
    if FAULTS[name].billed:  # and all three are paid for
        one = asked(LAST).reserve.tokens
        assert desk.spent().tokens >= 2 * one


def test_a_permanent_failure_that_may_be_billed_is_tried_as_often_as_any(
    endpoint: Served, desk: Desk
) -> None:
    endpoint.script(rule("cut_body"))
    desk.resend = True
    assert desk.ask(range(GOOD + 1))[LAST] == ("uncertain", "answer_broken")
    assert endpoint.summary()["asked"] == GOOD + MAX_TRIES


def test_every_answer_is_kept_as_it_came(endpoint: Served, desk: Desk) -> None:
    for name in ("refusal", "invalid_json", "html_200", "out_of_scale", "empty_body"):
        endpoint.script({})
        endpoint.reset()
        desk.file.unlink(missing_ok=True)
        desk.ask(range(GOOD))
        endpoint.script({"rules": [{"fault": name}]})
        desk.ask([LAST])
        kept = desk.known(LAST).reply
        assert kept is not None
        entry = endpoint.ledger()[-1]
        if entry["content"] is not None:
            assert entry["content"].replace('"', '\\"').encode() in kept
        elif name == "html_200":
            assert kept.startswith(b"<html>")
        else:
            assert (len(kept) > 0) == (name != "empty_body")


def test_questions_are_sent_in_their_order(endpoint: Served, desk: Desk) -> None:
    numbers = [5, 3, 9, 0, 7, 1]
    desk.ask(numbers)
    expected = [key_of(asked(number).body["messages"]) for number in numbers]
    assert [entry["key"] for entry in endpoint.ledger()] == expected


def test_every_answer_belongs_to_its_question_however_connections_are_confused(
    endpoint: Served, tmp_path: Path
) -> None:
    names = ("extra_response", "promises_less", "close_after", "cut_body", "gzip_garbage")
    endpoint.script({"rates": dict.fromkeys(names, 0.12), "seed": 3, "latency": [0.001, 0.02]})
    desk = Desk(endpoint.url, tmp_path, concurrency=16)
    states = desk.ask(range(400)).states
    assert states["accepted"] > 150
    rows = desk.rows("select q.key, a.reply from question q join attempt a on a.key = q.key "
                     "where q.state = 'accepted' and a.number = q.answered")  # fmt: skip
    for key, reply in rows:
        body = asked(int(key.removeprefix("key-"))).body
        expected = "chatcmpl-" + key_of(["m", 0, last_user(body)])[:24]
        assert json.loads(reply)["id"] == expected


def test_nothing_is_asked_twice(endpoint: Served, tmp_path: Path) -> None:
    desk = Desk(endpoint.url, tmp_path, concurrency=32)
    first = desk.ask(range(500))
    assert first.states == {"accepted": 500}
    second = desk.ask(range(500))
    assert second.states == {"accepted": 500}
    assert [first[number] for number in range(500)] == [second[number] for number in range(500)]
    assert (second.tally.usd, second.tally.retried) == (0, 0)
    summary = endpoint.summary()
    assert (summary["asked"], summary["keys_billed_twice"]) == (500, [])


def test_a_question_that_comes_twice_is_asked_once(endpoint: Served, tmp_path: Path) -> None:
    endpoint.script({"latency": 0.05})
    outcome = Desk(endpoint.url, tmp_path, concurrency=8).ask([1, 1, 1, 2, 2, 1])
    assert endpoint.summary()["asked"] == 2
    assert (outcome[1], outcome[2]) == (("accepted", ""), ("accepted", ""))


def test_a_claim_is_on_disk_before_anything_is_sent_and_an_answer_before_it_is_read(
    endpoint: Served, tmp_path: Path
) -> None:
    desk = Desk(endpoint.url, tmp_path, concurrency=8)
    seen: Counter[str] = Counter()

    class Watching(Endpoint):
        async def send(self, body: Any) -> Answer | Fault:
            number = int(body["messages"][1]["content"].split("apple ")[1].split("<")[0])
            seen[desk.known(number).state] += 1
            return await super().send(body)

    def judge(reply: Reply) -> Verdict:
        kept = [row[0] for row in desk.rows("select reply from attempt where reply is not null")]
        seen["kept" if any(reply.text.replace('"', '\\"').encode() in one for one in kept)
             else "lost"] += 1  # fmt: skip
        return score(reply)

    desk.serve = Watching
    desk.ask(range(60), judge)
    assert seen == {"sent": 60, "kept": 60}


WAITS = ["rate_limited", "rate_limited_float", "rate_limited_ms", "rate_limited_date",
         "rate_limited_reset", "unavailable_retry"]  # fmt: skip


@pytest.mark.parametrize("name", WAITS)
def test_no_worker_comes_before_the_wait_is_over(
    name: str, endpoint: Served, tmp_path: Path
) -> None:
    rules = [{"fault": name, "requests": [30, 90, 91, 92, 200]}]
    # What is on its way when the answer arrives may take its time on a busy machine.
    endpoint.script({"rules": rules, "latency": [0.005, 0.02], "grace": 0.2})
    outcome = Desk(endpoint.url, tmp_path, concurrency=64).ask(range(300))
    summary = endpoint.summary()
    assert outcome.states == {"accepted": 300}
    assert summary["early_sends"] == 0
    assert summary["answered"][name] == 5
    assert outcome.tally.retried == 5


def test_a_limit_that_is_told_with_an_answer_is_kept_by_all(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"limits": {"requests": 40, "window": 0.5}, "latency": 0.01})
    outcome = Desk(endpoint.url, tmp_path, concurrency=32).ask(range(150))
    summary = endpoint.summary()
    assert outcome.states == {"accepted": 150}
    assert summary["early_sends"] == 0
    assert summary["answered"].get("over_limit", 0) < 40


def test_an_endpoint_that_takes_few_at_a_time_is_not_overrun(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"limits": {"concurrency": 6}, "latency": 0.02})
    outcome = Desk(endpoint.url, tmp_path, concurrency=64).ask(range(300))
    summary = endpoint.summary()
    assert outcome.states == {"accepted": 300}
    assert summary["answered"]["over_limit"] < 60


def test_a_limit_that_the_user_knows_is_never_reached(endpoint: Served, tmp_path: Path) -> None:
    endpoint.script({"limits": {"requests": 30, "window": 1.0}})
    desk = Desk(endpoint.url, tmp_path, concurrency=32, requests_per_minute=20 * 60)
    begin = time.monotonic()
    assert desk.ask(range(60)).states == {"accepted": 60}
    assert 1.5 < time.monotonic() - begin < 6
    assert endpoint.summary()["answered"] == {"good": 60}


def test_who_asks_to_wait_for_more_than_an_hour_is_not_asked_again(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "rate_limited_long", "retry_after": 3601, "start": 20}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=8).ask(range(100))
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "asks_to_wait_long"
    assert endpoint.summary()["asked"] < 40


def test_one_question_that_always_fails_ends_after_six_tries_and_the_others_are_answered(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "server_error", "contains": "red apple 17<"}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=16).ask(range(100))
    assert outcome[17] == ("failed", "server_error")
    assert outcome.states == {"accepted": 99, "failed": 1}
    assert outcome.stopped is None
    assert endpoint.summary()["answered"] == {"good": 99, "server_error": MAX_TRIES}


def test_the_pauses_between_tries_grow(
    endpoint: Served, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "FIRST_PAUSE", 0.1)
    endpoint.script(rule("server_error"))
    desk.ask(range(GOOD + 1))
    moments = [entry["arrived"] for entry in endpoint.ledger()][GOOD:]
    pauses = [after - before for before, after in pairwise(moments)]
    assert all(0.05 * 2**n <= pause <= 0.1 * 2**n + 0.3 for n, pause in enumerate(pauses))


def test_a_question_that_is_told_to_wait_for_ever_ends_all_the_same(
    endpoint: Served, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "MAX_SECONDS", 0.5)
    more = {"rules": [{"fault": "rate_limited_float", "retry_after": 0.1, "contains": "apple 2<"}]}
    endpoint.script(more)
    outcome = desk.ask(range(4))
    assert outcome[2] == ("failed", "rate_limited")
    assert outcome.states == {"accepted": 3, "failed": 1}
    assert MAX_TRIES <= endpoint.summary()["answered"]["rate_limited_float"] <= MAX_TRIES + 1


@pytest.mark.parametrize(
    ("name", "most"),
    [("server_error", 30), ("unavailable", 30), ("bad_gateway", 30), ("reset", 30)],
)
def test_an_endpoint_that_only_fails_is_given_up(
    name: str, most: int, endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": name}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=64).ask(range(1_000))
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "endpoint_down"
    assert endpoint.summary()["asked"] <= most


def test_an_endpoint_that_begins_to_fail_is_given_up_later(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "server_error", "start": 101}]})
    desk = Desk(endpoint.url, tmp_path, concurrency=16)
    outcome = desk.ask(range(1_000))
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "endpoint_down"
    assert outcome.states["accepted"] == 100
    assert endpoint.summary()["asked"] < 100 + 50
    endpoint.script({})
    assert desk.ask(range(1_000)).states == {"accepted": 1_000}
    assert endpoint.summary()["keys_billed_twice"] == []


def test_an_endpoint_that_fails_for_a_while_is_waited_for(endpoint: Served, tmp_path: Path) -> None:
    endpoint.script({"rules": [{"fault": "unavailable", "start": 50, "times": 12}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=8).ask(range(200))
    assert outcome.states == {"accepted": 200}


def test_where_nobody_listens_it_is_over_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real pauses
    begin = time.monotonic()
    desk = Desk(f"http://127.0.0.1:{closed_port()}/v1", tmp_path, concurrency=64)
    outcome = desk.ask(range(500))
    assert outcome.stopped is not None
    assert (outcome.stopped.kind, outcome.stopped.reason) == ("refused", "endpoint_down")
    assert "connect" in outcome.stopped.detail.lower()
    assert time.monotonic() - begin < 5
    assert desk.spent().tokens == 0


@pytest.mark.parametrize(
    "name", ["html_200", "error_200", "wrong_shape", "empty_body", "invalid_json"]
)
@pytest.mark.parametrize("count", [1, 500])
def test_what_never_sends_an_answer_is_no_chat_endpoint_and_what_it_may_have_billed_is_held(
    name: str, count: int, endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": name}]})
    desk = Desk(endpoint.url, tmp_path, concurrency=8)
    outcome = desk.ask(range(count))
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "no_chat_endpoint"
    before = endpoint.summary()
    assert before["asked"] <= 11
    assert (before["billed"] == 0) == (name in ("html_200", "error_200"))
    assert desk.spent().tokens >= before["prompt_tokens"] + before["completion_tokens"]
    endpoint.script({})
    states = desk.ask(range(count)).states
    assert states.get("accepted", 0) == count - before["billed"]
    assert states.get("uncertain", 0) in (0, before["billed"])
    assert endpoint.summary()["keys_billed_twice"] == []


def test_one_strange_answer_at_the_start_does_not_condemn_an_endpoint(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "html_200", "requests": [1]}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=1).ask(range(5))
    assert outcome.stopped is None
    assert outcome.states == {"uncertain": 1, "accepted": 4}


def test_one_that_refuses_everything_is_not_asked_about_everything(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "bad_request"}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=4).ask(range(500))
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "bad_request"
    assert endpoint.summary()["asked"] < 20


def test_texts_that_are_too_long_do_not_condemn_an_endpoint(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "context_too_long", "start": 5, "times": 40}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=4).ask(range(100))
    assert outcome.states == {"accepted": 60, "failed": 40}


def test_a_text_that_a_firewall_forbids_does_not_condemn_an_endpoint(
    endpoint: Served, tmp_path: Path
) -> None:
    rules = [{"fault": "forbidden", "contains": f"apple {number}<"} for number in (3, 9, 17)]
    endpoint.script({"rules": rules})
    outcome = Desk(endpoint.url, tmp_path, concurrency=1).ask(range(40))
    assert outcome.states == {"accepted": 37, "failed": 3}
    assert outcome[9] == ("failed", "forbidden")
    endpoint.script({"rules": [{"fault": "forbidden"}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=4).ask(range(100, 500))
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "forbidden"


def test_credit_that_ends_half_way_keeps_what_was_answered_and_a_rerun_goes_on(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "no_quota", "start": 51}], "latency": 0.005})
    desk = Desk(endpoint.url, tmp_path, concurrency=8)
    outcome = desk.ask(range(100))
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "no_credit"
    assert outcome.states["accepted"] == 50
    assert endpoint.summary()["asked"] < 51 + 8
    endpoint.script({})
    assert desk.ask(range(100)).states == {"accepted": 100}
    summary = endpoint.summary()
    assert (summary["billed"], summary["keys_billed_twice"]) == (100, [])


def soon(seconds: float) -> Any:
    """Return what stops an engine after so many seconds, as Ctrl-C does."""
    stop = Fault("final", "interrupted")
    return lambda engine: asyncio.get_running_loop().call_later(seconds, engine.stop, stop)


def test_stopping_waits_for_the_answers_on_their_way_and_sends_nothing_more(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"latency": 0.4})
    desk = Desk(endpoint.url, tmp_path, concurrency=8)
    desk.meanwhile = soon(0.2)
    begin = time.monotonic()
    outcome = desk.ask(range(2_000))
    assert time.monotonic() - begin < 1.5
    summary = endpoint.summary()
    assert outcome.states["accepted"] == summary["asked"] == 8
    assert summary["gone"] == 0
    assert not desk.rows("select 1 from question where state in ('sent', 'uncertain')")
    desk.meanwhile = lambda _: None
    endpoint.script({})
    assert desk.ask(range(2_000)).states == {"accepted": 2_000}
    assert endpoint.summary()["keys_billed_twice"] == []


def test_stopping_does_not_wait_for_what_the_endpoint_asked_to_wait(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"rules": [{"fault": "rate_limited", "retry_after": 600, "start": 20}]})
    desk = Desk(endpoint.url, tmp_path, concurrency=16)
    desk.meanwhile = soon(1.0)
    begin = time.monotonic()
    outcome = desk.ask(range(100))
    assert time.monotonic() - begin < 3
    assert outcome.states["accepted"] == 19
    assert not desk.rows("select 1 from question where state in ('sent', 'uncertain')")


def test_stopping_does_not_wait_between_tries(endpoint: Served, desk: Desk) -> None:
    trips.FIRST_PAUSE = 50.0  # type: ignore[misc] - undone by the fixture
    endpoint.script(rule("server_error"))
    desk.meanwhile = soon(0.5)
    begin = time.monotonic()
    desk.ask(range(GOOD + 1))
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize("kind", ["usd", "tokens", "requests"])
@pytest.mark.parametrize("faulty", [False, True])
def test_a_budget_is_never_exceeded_and_nearly_used_up(
    kind: str, faulty: bool, endpoint: Served, tmp_path: Path  # noqa: FBT001
) -> None:  # fmt: skip
    rates = {"server_error": 0.05, "cut_body": 0.05, "no_usage": 0.1, "refusal": 0.05}
    endpoint.script({"latency": [0.001, 0.02], "seed": 5, **({"rates": rates} if faulty else {})})
    one = asked(4_999).reserve
    limit = {"usd": 100 * one.usd, "tokens": 100 * one.tokens, "requests": 100}[kind]
    desk = Desk(endpoint.url, tmp_path, concurrency=64)
    desk.budget = Budget(**{kind: limit})
    outcome = desk.ask(range(5_000))
    billed = [entry for entry in endpoint.ledger() if entry["billed"]]
    spent = {
        "usd": sum(PRICE.cost(x["prompt_tokens"], x["completion_tokens"]).usd for x in billed),
        "tokens": sum(x["prompt_tokens"] + x["completion_tokens"] for x in billed),
        "requests": endpoint.summary()["asked"],
    }
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "budget_ended"
    assert spent[kind] <= desk.spent()._asdict()[kind] <= limit
    assert desk.spent()._asdict()[kind] > limit - getattr(one, kind, 1)
    asked_before = endpoint.summary()["asked"]
    assert set(outcome.states) <= {"accepted", "rejected", "uncertain", "unasked", "failed"}
    assert outcome.states.get("failed", 0) == 0 or faulty
    again = desk.ask(range(5_000))
    assert (again.stopped or Fault("final", "")).reason == "budget_ended"  # and stays so
    assert endpoint.summary()["asked"] == asked_before
    desk.budget = Budget(**{kind: limit * 100})
    assert desk.ask(range(500)).states.get("accepted", 0) > 400


def test_a_budget_for_nothing_asks_nothing(endpoint: Served, tmp_path: Path) -> None:
    desk = Desk(endpoint.url, tmp_path, concurrency=64)
    desk.budget = Budget(requests=0)
    outcome = desk.ask(range(100))
    assert (outcome.stopped or Fault("final", "")).reason == "budget_ended"
    assert endpoint.summary()["asked"] == 0


def test_two_engines_at_once_ask_everything_once_and_both_know_all(
    endpoint: Served, tmp_path: Path
) -> None:
    endpoint.script({"latency": [0.001, 0.03]})
    outcomes = []

    def work() -> None:
        outcomes.append(Desk(endpoint.url, tmp_path, concurrency=8).ask(range(300)))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.states for outcome in outcomes] == [{"accepted": 300}] * 2
    assert endpoint.summary()["asked"] == 300


def test_a_lease_that_ran_out_is_renewed_before_anything_is_sent(
    endpoint: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "LEASE_SECONDS", 0.03)
    monkeypatch.setattr(engine_module, "HEARTBEAT", 60.0)
    endpoint.script({"latency": 0.01})
    outcome = Desk(endpoint.url, tmp_path, concurrency=4).ask(range(60))
    assert outcome.states == {"accepted": 60}
    assert endpoint.summary()["asked"] == 60
    assert outcome.tally.retried == 0


def test_a_journal_that_cannot_be_written_ends_the_asking_with_its_own_error(
    endpoint: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        message = "cannot write to the journal: free disk space"
        raise ResourceError(message)

    endpoint.script({"latency": 0.01})
    desk = Desk(endpoint.url, tmp_path, concurrency=8)
    monkeypatch.setattr(requests.RequestJournal, "receive", full)
    with pytest.raises(ResourceError, match="free disk space"):
        desk.ask(range(50))
    assert endpoint.summary()["asked"] <= 8
    monkeypatch.undo()
    assert desk.ask(range(50)).states["uncertain"] <= 8


def test_answers_that_were_kept_and_not_judged_are_judged_by_a_rerun(
    endpoint: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(endpoint.url, tmp_path, concurrency=8)
    monkeypatch.setattr(requests.RequestJournal, "judge", lambda *_: None)
    desk.ask(range(20))
    reserved = desk.spent()
    monkeypatch.undo()
    assert desk.ask(range(20)).states == {"accepted": 20}
    assert endpoint.summary()["asked"] == 20
    assert desk.spent().tokens < reserved.tokens
    assert {row[0] for row in desk.rows("select state from question")} == {"accepted"}


def test_the_tally_is_what_the_ledger_says(endpoint: Served, tmp_path: Path) -> None:
    endpoint.script({"rules": [{"fault": "server_error", "each": 1, "times": 7}]})
    outcome = Desk(endpoint.url, tmp_path, concurrency=4).ask(range(50))
    summary = endpoint.summary()
    assert outcome.tally.prompt_tokens == summary["prompt_tokens"]
    assert outcome.tally.completion_tokens == summary["completion_tokens"]
    assert outcome.tally.usd == sum(
        PRICE.cost(entry["prompt_tokens"], entry["completion_tokens"]).usd
        for entry in endpoint.ledger()
    )
    assert outcome.tally.retried == 7
    shown = outcome.tally.figures(50)
    assert (shown["ok"], shown["no answer"], shown["tried again"]) == ("50", "0", "7")


def test_an_endpoint_that_goes_away_in_the_middle(tmp_path: Path) -> None:
    with start({"latency": 0.02}) as served:
        desk = Desk(served.url, tmp_path, concurrency=8, timeout=2.0)

        def end(_: Engine) -> None:
            asyncio.get_running_loop().call_later(0.5, served.process.kill)

        desk.meanwhile = end
        begin = time.monotonic()
        outcome = desk.ask(range(100_000))
    assert time.monotonic() - begin < 20
    assert outcome.stopped is not None
    assert outcome.stopped.reason == "endpoint_down"
    assert outcome.states["accepted"] > 20
    # On their way when it went, or sent before that was noticed.
    assert outcome.states.get("uncertain", 0) <= 2 * 8
