"""Who may send: runners, their leases, and what becomes of what a runner left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing

import pytest

from pipeline.errors import ResourceError
from pipeline.journal import postgres as postgres_module
from pipeline.journal.database import Database, connect
from pipeline.journal.entries import Claim
from pipeline.journal.requests import LEASE_SECONDS, RequestJournal, this_host
from tests.journal.asked import BILL, RESERVE, asking, planned, question, sent, state
from tests.journal.cluster import Cluster
from tests.journal.conftest import Clock


def entered(database: Database, name: str, pid: int, expires: float, host: str = "") -> None:
    database.execute(
        "insert into runner (name, host, pid, expires) values (?, ?, ?, ?)",
        (name, host or this_host(), pid, expires),
    )


@pytest.fixture
def ended_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_who_has_not_enrolled_may_not_send(journal: RequestJournal) -> None:
    journal.plan([question()])
    assert journal.claim(asking(), question().key, RESERVE) == Claim(0, "fenced")
    assert state(journal, question().key) == ("planned", "")
    assert journal.spent("job").requests == 0


def test_a_lease_ends_on_the_dot_and_can_be_renewed(journal: RequestJournal, clock: Clock) -> None:
    first, second, third = planned(journal, 3)
    clock.seconds += LEASE_SECONDS - 0.01
    assert journal.claim(asking(), first, RESERVE) == Claim(1)
    clock.seconds += 0.01
    assert journal.claim(asking(), second, RESERVE) == Claim(0, "fenced")
    journal.enrol("runner")
    assert journal.claim(asking(), second, RESERVE) == Claim(1)
    clock.seconds += LEASE_SECONDS - 0.01
    journal.enrol("runner")
    clock.seconds += LEASE_SECONDS - 0.01
    assert journal.claim(asking(), third, RESERVE) == Claim(1)


def test_what_a_living_runner_sent_stays_its_own(journal: RequestJournal, clock: Clock) -> None:
    key = sent(journal)
    clock.seconds += LEASE_SECONDS - 0.01
    assert journal.recover() == 0
    assert state(journal, key) == ("sent", "")


def test_what_a_dead_process_sent_is_uncertain_at_once(
    journal: RequestJournal, database: Database, clock: Clock, ended_pid: int
) -> None:
    entered(database, "dead", ended_pid, clock.seconds + LEASE_SECONDS)
    journal.plan([question()])
    journal.claim(asking("dead"), question().key, RESERVE)
    assert journal.recover() == 1
    assert state(journal, question().key) == ("uncertain", "runner_ended")
    assert journal.spent("job").usd == RESERVE.usd  # may have been billed
    assert journal.recover() == 0


def test_a_process_that_is_not_ours_to_signal_is_alive(
    journal: RequestJournal, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    entered(database, "anothers", 4_711, clock.seconds + LEASE_SECONDS)
    journal.plan([question()])
    journal.claim(asking("anothers"), question().key, RESERVE)
    assert journal.recover() == 0


def test_of_a_process_elsewhere_only_the_lease_tells(
    journal: RequestJournal, database: Database, clock: Clock, ended_pid: int
) -> None:
    entered(database, "remote", ended_pid, clock.seconds + LEASE_SECONDS, "another machine")
    journal.plan([question()])
    journal.claim(asking("remote"), question().key, RESERVE)
    assert journal.recover() == 0
    clock.seconds += LEASE_SECONDS
    assert journal.recover() == 1
    assert state(journal, question().key) == ("uncertain", "runner_ended")


def test_who_leaves_makes_uncertain_what_is_on_its_way_and_nothing_else(
    journal: RequestJournal,
) -> None:
    journal.enrol("another")
    keys = planned(journal, 5)
    for key in keys[:3]:
        journal.claim(asking(), key, RESERVE)
    journal.claim(asking("another"), keys[3], RESERVE)
    journal.receive(keys[0], 1, b"an answer")
    journal.receive(keys[1], 1, b"an answer")
    journal.judge(keys[1], 1, "accepted", "", BILL)
    journal.leave("runner")
    states = [state(journal, key)[0] for key in keys]
    assert states == ["received", "accepted", "uncertain", "sent", "planned"]


def test_a_runner_taken_for_dead_that_wakes_keeps_its_answer_and_asks_on_once_enrolled(
    journal: RequestJournal, clock: Clock
) -> None:
    first, second = planned(journal, 2)
    journal.claim(asking(), first, RESERVE)
    clock.seconds += LEASE_SECONDS + 1
    journal.enrol("another")
    assert journal.recover() == 1
    assert journal.claim(asking("another"), first, RESERVE) == Claim(0, "held")
    journal.receive(first, 1, b"late")
    journal.judge(first, 1, "accepted", "", BILL)
    assert state(journal, first) == ("accepted", "")
    assert journal.claim(asking(), second, RESERVE) == Claim(0, "fenced")
    journal.enrol("runner")
    assert journal.claim(asking(), second, RESERVE) == Claim(1)


def test_one_writer_at_a_time(database: Database, database_url: str) -> None:
    """What is read in a transaction still holds when it writes, whoever else is there."""
    program = """
import sys
from contextlib import closing
from pipeline.journal.database import connect
with closing(connect(sys.argv[1])) as database:
    for _ in range(100):
        with database.transaction():
            [(spent,)] = database.execute("select usd from job where name = 'job'")
            database.execute("update job set usd = ? where name = 'job'", (spent + 1,))
"""
    with database.transaction():
        database.execute("insert into job values ('job', 0, 0, 0)")
    writers = [subprocess.Popen([sys.executable, "-c", program, database_url]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert database.execute("select usd from job") == [(300,)]


def test_who_is_stopped_inside_a_transaction_does_not_hold_up_the_others_for_ever(
    postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "IDLE_SECONDS", 1)
    url = postgres.create()
    with closing(connect(url)) as stopped, closing(connect(url)) as other:
        begin = time.monotonic()

        def hold() -> None:
            with stopped.transaction():
                with other.transaction():
                    assert 0.9 < time.monotonic() - begin < 20
                stopped.execute("select 1")

        with pytest.raises(ResourceError, match=r"cannot be reached: .*idle-in-transaction"):
            hold()
    postgres.drop(url)
