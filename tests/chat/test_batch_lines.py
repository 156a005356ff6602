"""The lines of a batch's files, and the journal's operations on batches."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chat.batches import lines
from pipeline.chat.batches.keeper import NEVER_SENT, Keeper, Means
from pipeline.chat.batches.lines import Spool, lines_of, read_line
from pipeline.chat.batches.provider import Provider
from pipeline.chat.replies import Reply, read
from pipeline.journal.batches import LEASE_SECONDS, Attempt, Batch
from pipeline.journal.database import Database
from pipeline.journal.entries import Claim, Spent
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import JournalWriter
from tests.chat.batch_asking import PRICE, ask, key, settings
from tests.journal.asked import BILL, RESERVE, asking, question, state, summed
from tests.journal.conftest import Clock, clock, database, database_url, journal, postgres

__all__ = ["clock", "database", "database_url", "journal", "postgres"]

COMPLETION = {
    "choices": [{"message": {"content": "4 \u2028 五 \ud800"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3}, "model": "m",
}  # fmt: skip
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
rows = st.fixed_dictionaries({}, optional={
    "custom_id": anything,
    "response": anything | st.fixed_dictionaries({"status_code": st.integers() | anything,
                                                  "body": anything}),
    "error": anything | st.fixed_dictionaries({"code": anything, "message": anything}),
})  # fmt: skip


def answered(**body: Any) -> bytes:
    response = {"status_code": 200, "request_id": "r", "body": COMPLETION | body}
    return json.dumps({"custom_id": "a", "response": response, "error": None}).encode()


def failed(code: str) -> Any:
    error = {"code": code, "message": "why"}
    return read_line(json.dumps({"custom_id": "a", "response": None, "error": error}).encode())


@given(st.binary(max_size=60) | anything.map(lambda row: json.dumps(row).encode())
       | rows.map(lambda row: json.dumps(row).encode()))  # fmt: skip
def test_whatever_a_line_is_it_is_an_answer_a_fault_or_broken(raw: bytes) -> None:
    heard = read_line(raw)
    assert heard.raw == raw
    assert [heard.body is None, heard.fault is None].count(False) == heard.whole


def test_an_answer_is_what_an_endpoint_would_have_sent() -> None:
    heard = read_line(answered())
    assert (heard.key, heard.fault) == ("a", None)
    assert heard.body is not None
    assert json.loads(heard.body) == COMPLETION
    reply = read(heard.body)
    assert isinstance(reply, Reply)
    assert reply.text == "4 \u2028 五 ?"


def test_a_body_that_is_no_object_stays_as_it_is() -> None:
    row = {"custom_id": "a", "response": {"status_code": 200, "body": "<html>no</html>"}}
    assert read_line(json.dumps(row).encode()).body == b"<html>no</html>"


@pytest.mark.parametrize(("code", "kind"), [
    ("batch_expired", "refused"), ("batch_cancelled", "refused"), ("request_timeout", "ambiguous"),
    ("content_filter", "final"), ("insufficient_quota", "fatal"), ("a_new_one", "ambiguous"),
])  # fmt: skip
def test_a_code_says_what_becomes_of_a_question(code: str, kind: str) -> None:
    fault = failed(code).fault
    assert (fault.kind, fault.detail) == (kind, "why")


@pytest.mark.parametrize("size", range(len(answered())))
def test_a_line_that_is_cut_off_still_says_whose_it_is(size: int) -> None:
    heard = read_line(answered()[:size])
    assert not heard.whole
    assert heard.key == ("a" if size >= len('{"custom_id": "a"') else "")


def test_only_a_line_feed_ends_a_line() -> None:
    text = "one\u2028\u0085\x0b\r still one\n\ntwo\nthree"
    found = list(lines_of(io.BytesIO(text.encode())))
    assert found == [part.encode() for part in text.split("\n")]


def test_a_line_that_is_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LARGEST", 4)
    assert list(lines_of(io.BytesIO(b"abcdefghijk\nabcd\nabc\nab"))) == [
        b"abcd", b"abcd", b"abc", b"ab",
    ]  # fmt: skip


def test_questions_come_back_from_the_disk_as_they_were() -> None:
    with Spool("/v1/chat/completions") as spool:
        asks = [ask(number) for number in range(20)]
        for one in asks:
            spool.add(one)
        assert [spool.ask(key(number)) for number in range(20)] == asks
        with spool.file([key(7), key(3)]) as file:
            found = file.read()
        assert len(found) == spool.size(key(7)) + spool.size(key(3))
        rows_ = [json.loads(row) for row in found.splitlines()]
    assert [(row["custom_id"], row["body"]) for row in rows_] == [
        (key(7), asks[7].body), (key(3), asks[3].body),
    ]  # fmt: skip


def opened(journal: RequestJournal, count: int = 3, keeper: str = "keeper") -> list[str]:
    """Claim questions for a batch; return their keys."""
    journal.enrol(keeper)
    journal.plan([question(number) for number in range(count)])
    journal.batches.open("batch", keeper, "host", "account")
    for number in range(count):
        assert journal.claim(asking("batch"), question(number).key, RESERVE) == Claim(1)
    return [question(number).key for number in range(count)]


def test_the_questions_of_a_batch_stay_sent_when_its_keeper_is_gone(
    journal: RequestJournal, clock: Clock
) -> None:
    keys = opened(journal)
    clock.seconds += LEASE_SECONDS - 1
    assert journal.recover() == 0
    assert state(journal, keys[0]) == ("sent", "")
    assert journal.batches.waiting("batch") == dict.fromkeys(keys, 1)
    clock.seconds += 1
    assert journal.recover() == 3
    assert state(journal, keys[0]) == ("uncertain", "runner_ended")


def test_a_batch_has_one_keeper_and_finds_another(journal: RequestJournal, clock: Clock) -> None:
    (name, *_) = opened(journal)
    journal.enrol("other")
    assert journal.batches.adopt("batch", "other") is None
    batch = journal.batches.adopt("batch", "keeper")
    assert batch is not None
    clock.seconds += 86_400
    journal.enrol("other")
    journal.recover()
    adopted = journal.batches.adopt("batch", "other")
    assert adopted == batch
    assert journal.batches.advance(batch._replace(state="creating"), "keeper") is None
    went_on = journal.batches.advance(batch._replace(state="creating"), "other")
    assert went_on == batch._replace(state="creating", changed=clock.seconds)
    assert journal.batches.get("batch") == went_on
    clock.seconds += LEASE_SECONDS - 1  # as long as from the start, since it was adopted
    journal.recover()
    assert state(journal, name) == ("sent", "")


def test_a_batch_that_ended_has_no_keeper_any_more(journal: RequestJournal) -> None:
    keys = opened(journal)
    batch = journal.batches.get("batch")
    assert batch is not None
    assert journal.batches.unfinished("host") == [batch]
    assert journal.batches.unfinished("another host") == []
    assert journal.batches.holders([*keys, "nobody"]) == dict.fromkeys(keys, "batch")
    assert journal.batches.advance(batch._replace(state="ended"), "keeper") is not None
    assert journal.batches.advance(batch, "keeper") is None
    assert journal.batches.adopt("batch", "keeper") is None
    assert journal.batches.unfinished("host") == []


def test_a_batch_whose_questions_all_ended_is_over_though_nobody_said_so(
    journal: RequestJournal, clock: Clock
) -> None:
    for name in opened(journal):
        journal.receive(name, 1, b"{}")
    assert journal.batches.unfinished("host") == []
    assert journal.batches.adopt("batch", "keeper") is not None  # its keeper is alive
    clock.seconds += 60
    journal.recover()
    assert journal.batches.unfinished("host") == []
    assert journal.batches.adopt("batch", "keeper") is None


def test_attempts_tell_what_is_entered_already(journal: RequestJournal) -> None:
    first, second, third = opened(journal)
    journal.receive(first, 1, b"{}")
    journal.refuse(second, 1, "batch_expired")
    journal.enrol("runner")
    journal.claim(asking(), second, RESERVE)
    assert journal.batches.attempts("batch", [first, second, third, "nobody"]) == {
        first: Attempt(1, ended=True), second: Attempt(1, ended=True),
        third: Attempt(1, ended=False),
    }  # fmt: skip
    assert journal.batches.waiting("batch") == {third: 1}


def test_a_request_that_was_never_made_is_not_counted(
    journal: RequestJournal, database: Database
) -> None:
    first, second, _ = opened(journal)
    journal.batches.give_back(first, 1)
    journal.refuse(first, 1, "never_sent")
    journal.receive(second, 1, b"{}")
    journal.judge(second, 1, "received", "", BILL)
    assert BILL.paid is not None
    assert state(journal, second) == ("received", "")
    assert journal.spent("job") == Spent(BILL.paid.usd + RESERVE.usd,
                                         BILL.paid.tokens + RESERVE.tokens, 2)  # fmt: skip
    assert journal.spent("job")[:2] == summed(database)[:2]


def test_an_odd_line_is_kept_once(journal: RequestJournal, database: Database) -> None:
    for kind, line in [("unknown", b"a"), ("unknown", b"a"), ("broken", b"a"), ("broken", b"\xff")]:
        journal.batches.keep_oddity("batch", kind, line)
    found = database.execute("select kind, line from batch_oddity")
    assert sorted((kind, bytes(line)) for kind, line in found) == [
        ("broken", b"a"), ("broken", b"\xff"), ("unknown", b"a"),
    ]  # fmt: skip


def test_a_batch_without_questions_leaves_nothing(
    journal: RequestJournal, database: Database
) -> None:
    made = journal.batches.open("batch", "keeper", "host", "account")
    assert isinstance(made, Batch)
    journal.batches.discard("batch")
    assert journal.batches.get("batch") is None
    assert database.execute("select name from runner") == []


def test_who_leaves_a_batch_lets_another_take_it_at_once(journal: RequestJournal) -> None:
    opened(journal)
    journal.batches.release("batch", "another")
    assert journal.batches.adopt("batch", "other") is None
    journal.batches.release("batch", "keeper")
    assert journal.batches.adopt("batch", "other") is not None


def test_who_keeps_a_batch_no_longer_sets_nothing_free(journal: RequestJournal) -> None:
    (name, *_) = opened(journal)
    before = journal.spent("job")
    for keeper_name, done in (("other", False), ("keeper", True)):
        provider = Provider(settings("http://127.0.0.1:1/v1"))
        means = Means(keeper_name, provider, JournalWriter(""), PRICE, 1.0, lambda _: None)
        assert Keeper(means)._freed("batch", [(name, 1)], NEVER_SENT, journal) == done
        assert (journal.spent("job") == before) != done
        assert state(journal, name)[0] == ("failed" if done else "sent")
