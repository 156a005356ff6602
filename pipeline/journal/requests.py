"""The journal of requests: every question put to an endpoint, what it cost, and its raw answer.

A question goes planned → sent → received → accepted or rejected. "Sent" is committed before a byte
goes out, "received" before the answer is read, so at any moment the journal knows which answers may
have been paid for. A sent question whose process is gone, or whose connection broke before an
answer, is *uncertain*: perhaps billed, answer unknown. An endpoint that said no without doing the
work leaves the question *failed*, free to be asked again.

All of it happens in exclusive transactions, so two processes never send the same question, and what
a job has spent or reserved never passes its budget. Money is counted in billionths of a dollar.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.journal import shared
from pipeline.journal.batches import SCHEMA as BATCH_SCHEMA
from pipeline.journal.batches import Batches
from pipeline.journal.database import Database
from pipeline.journal.entries import Asking, Bill, Claim, Cost, Known, Question, Spent

SCHEMA: Final = (
    """create table if not exists question (
    key text primary key, annotator text not null, subject text not null, state text not null,
    reason text not null, tries {integer} not null, answered {integer} not null,
    runner text not null)""",
    """create table if not exists attempt (
    key text not null, number {integer} not null, job text not null, runner text not null,
    sent_at {real} not null, usd {integer} not null, tokens {integer} not null,
    settled {integer} not null, prompt_tokens {integer} not null,
    completion_tokens {integer} not null, reply {blob}, checksum {blob},
    primary key (key, number))""",
    """create table if not exists job (
    name text primary key, usd {integer} not null, tokens {integer} not null,
    requests {integer} not null)""",
    """create table if not exists runner (
    name text primary key, host text not null, pid {integer} not null, expires {real} not null)""",
    "create index if not exists sent on question (runner) where state = 'sent'",
    *BATCH_SCHEMA,
    *shared.SCHEMA,
)
_KNOWN: Final = """
    select q.key, q.state, q.reason, q.tries, q.answered, a.reply, a.checksum
    from question q left join attempt a on a.key = q.key and a.number = q.answered
    where q.key in ({listed})"""
LEASE_SECONDS: Final = 30.0
_UNLIMITED: Final = 2**62
ANSWERED: Final = ("received", "accepted", "rejected")


class RequestJournal:
    """The journal's operations; each runs inside a transaction that the caller holds."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database, self._now = database, now
        self.batches = Batches(database, now)
        self.sets = shared.Sets(database)

    def prepare(self) -> None:
        """Create the tables that are not there."""
        for statement in SCHEMA:
            self._database.execute(statement.format(**self._database.types))

    def enrol(self, name: str) -> None:
        """Enter a runner, or renew its lease: until it ends, its sent questions are its own."""
        self._database.execute(
            "insert into runner (name, host, pid, expires) values (?, ?, ?, ?) "
            "on conflict (name) do update set expires = excluded.expires",
            (name, this_host(), os.getpid(), self._now() + LEASE_SECONDS),
        )

    def leave(self, name: str) -> None:
        """Take a runner off; what it left on its way is uncertain from now on."""
        self._database.execute("delete from runner where name = ?", (name,))
        self.recover()

    def recover(self) -> int:
        """Make uncertain what runners that are gone had sent; return how many questions."""
        runners = self._database.execute("select name, host, pid, expires from runner")
        gone = [row[0] for row in runners if self._is_gone(*row[1:])]
        for name in gone:
            self._database.execute("delete from runner where name = ?", (name,))
        rows = self._database.execute(
            "update question set state = 'uncertain', reason = 'runner_ended' where state = 'sent' "
            "and runner not in (select name from runner) returning key"
        )
        return len(rows)

    def plan(self, questions: Iterable[Question]) -> None:
        """Enter questions that nobody has asked yet."""
        self._database.executemany(
            "insert into question (key, annotator, subject, state, reason, tries, answered, "
            "runner) values (?, ?, ?, 'planned', '', 0, 0, '') on conflict (key) do nothing",
            [tuple(question) for question in questions],
        )

    def known(self, keys: Sequence[str]) -> dict[str, Known]:
        """Return where each question among ``keys`` stands.

        One whose answer is damaged becomes uncertain: it was paid for, and can be sent again.
        """
        query = _KNOWN.format(listed=self._database.listed)
        rows = self._database.execute(query, (json.dumps(list(keys)),))
        found: dict[str, Known] = {}
        for key, state, reason, tries, number, reply, checksum in rows:
            answer = _whole(key, number, reply, checksum)
            found[key] = Known(state, reason, tries, number, answer)
            if state in ANSWERED and answer is None:
                found[key] = Known("uncertain", "answer_damaged", tries, number, None)
                self._database.execute(
                    "update question set state = 'uncertain', reason = 'answer_damaged' "
                    "where key = ?",
                    (key,),
                )
        return found

    def claim(self, asking: Asking, key: str, reserve: Cost) -> Claim:
        """Reserve ``reserve`` and mark the question as sent, or say why it may not be sent."""
        [(state, tries, expires)] = self._database.execute(
            "select state, tries, (select expires from runner where name = ?) from question "
            "where key = ?",
            (asking.runner, key),
        )
        if expires is None or expires <= self._now():
            return Claim(0, "fenced")
        if state == "uncertain" and not asking.resend:
            return Claim(0, "held")
        if state not in ("planned", "failed", "uncertain"):
            return Claim(0, "taken")
        if not self._reserve(asking, reserve):
            return Claim(0, "budget")
        number = tries + 1
        self._database.execute(
            "update question set state = 'sent', reason = '', tries = ?, runner = ? where key = ?",
            (number, asking.runner, key),
        )
        self._database.execute(
            "insert into attempt (key, number, job, runner, sent_at, usd, tokens, settled, "
            "prompt_tokens, completion_tokens) values (?, ?, ?, ?, ?, ?, ?, 0, 0, 0)",
            (key, number, asking.job, asking.runner, self._now(), *reserve),
        )
        return Claim(number)

    def receive(self, key: str, number: int, reply: bytes) -> None:
        """Keep an answer as it came, also one that comes after its question was given up."""
        self._database.execute(
            "update attempt set reply = ?, checksum = ? where key = ? and number = ?",
            (reply, checksum_of(key, number, reply), key, number),
        )
        self._database.execute(
            "update question set state = 'received', reason = '', answered = ? where key = ? "
            "and state in ('sent', 'uncertain', 'failed')",
            (number, key),
        )

    def judge(self, key: str, number: int, state: str, reason: str, bill: Bill) -> None:
        """Say what reading an answer came to, and settle what was reserved for it."""
        counts = (bill.prompt_tokens, bill.completion_tokens)
        if bill.paid:
            self._settle(key, number, bill.paid, counts)
        else:
            self._database.execute(
                "update attempt set prompt_tokens = ?, completion_tokens = ? "
                "where key = ? and number = ?",
                (*counts, key, number),
            )
        self._database.execute(
            "update question set state = ?, reason = ? where key = ? and state = 'received' "
            "and answered = ?",
            (state, reason, key, number),
        )

    def refuse(self, key: str, number: int, reason: str) -> None:
        """Note that the endpoint did no work: nothing was billed, the question is free again."""
        self._settle(key, number, Cost(0, 0), (0, 0))
        self._leave_sent(key, number, "failed", reason)

    def doubt(self, key: str, number: int, reason: str) -> None:
        """Note that no answer came though the work may have been done; the money stays reserved."""
        self._leave_sent(key, number, "uncertain", reason)

    def spent(self, job: str) -> Spent:
        """Return what ``job`` has cost so far, reservations included."""
        rows = self._database.execute(
            "select usd, tokens, requests from job where name = ?", (job,)
        )
        return Spent(*rows[0]) if rows else Spent(0, 0, 0)

    def _is_gone(self, host: str, pid: int, expires: float) -> bool:
        if expires <= self._now():
            return True
        return host == this_host() and not _is_alive(pid)

    def _reserve(self, asking: Asking, reserve: Cost) -> bool:
        """Add a request to what the job has cost, unless that passes its budget."""
        usd, tokens, requests = (_UNLIMITED if most is None else most for most in asking.budget)
        values = (*reserve, asking.job, usd, reserve.usd, tokens, reserve.tokens, requests)
        while True:
            rows = self._database.execute(
                "update job set usd = usd + ?, tokens = tokens + ?, requests = requests + 1 "
                "where name = ? and usd <= ? - ? and tokens <= ? - ? and requests < ? "
                "returning name",
                values,
            )
            if rows:
                return True
            new = self._database.execute(
                "insert into job (name, usd, tokens, requests) values (?, 0, 0, 0) "
                "on conflict (name) do nothing returning name",
                (asking.job,),
            )
            if not new:
                return False

    def _settle(self, key: str, number: int, paid: Cost, counts: tuple[int, int]) -> None:
        """Put what an attempt cost in the place of what was reserved for it, once."""
        self._database.execute(
            "update job set usd = job.usd + ? - a.usd, tokens = job.tokens + ? - a.tokens "
            "from attempt a "
            "where a.key = ? and a.number = ? and a.settled = 0 and job.name = a.job",
            (*paid, key, number),
        )
        self._database.execute(
            "update attempt set usd = case when settled = 0 then ? else usd end, "
            "tokens = case when settled = 0 then ? else tokens end, settled = 1, "
            "prompt_tokens = ?, completion_tokens = ? where key = ? and number = ?",
            (*paid, *counts, key, number),
        )

    def _leave_sent(self, key: str, number: int, state: str, reason: str) -> None:
        self._database.execute(
            "update question set state = ?, reason = ? where key = ? and tries = ? "
            "and (state in ('sent', 'uncertain') or (state = 'received' and answered = ?))",
            (state, reason, key, number, number),
        )


def checksum_of(key: str, number: int, reply: bytes) -> bytes:
    """Return the checksum of an answer under its key and attempt."""
    return hashlib.sha256(b"\0".join((key.encode(), str(number).encode(), reply))).digest()[:16]


def _whole(key: str, number: int, reply: Any, checksum: Any) -> bytes | None:  # noqa: ANN401
    """Return a stored answer; None where there is none or it is damaged."""
    if reply is None or checksum is None:
        return None
    answer = bytes(reply)
    return answer if checksum_of(key, number, answer) == bytes(checksum) else None


def this_host() -> str:
    """Return a name of what process numbers are counted in: the machine, or a container of it."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # a system without namespaces
        return socket.gethostname()


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there, asking like this would interrupt it; its lease will tell
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is someone else's
        return True
    return True
