"""Questions, and the terms on which they are asked, for tests of the journal."""

from __future__ import annotations

import random
from typing import Any, Final

from pipeline.journal.database import Database
from pipeline.journal.entries import Asking, Bill, Budget, Cost, Known, Question, Spent
from pipeline.journal.requests import RequestJournal

RESERVE: Final = Cost(usd=1_000, tokens=100)
BILL: Final = Bill(Cost(usd=300, tokens=40), prompt_tokens=30, completion_tokens=10)


def question(number: int = 0) -> Question:
    return Question(f"key-{number:04}", "annotator", f"pair-{number:04}")


def asking(runner: str = "runner", **terms: Any) -> Asking:
    return Asking(runner, terms.get("job", "job"), terms.get("budget", Budget()),
                  terms.get("resend", False))  # fmt: skip


def planned(journal: RequestJournal, count: int = 1, runner: str = "runner") -> list[str]:
    """Enter questions and a runner; return the keys."""
    journal.enrol(runner)
    questions = [question(number) for number in range(count)]
    journal.plan(questions)
    return [one.key for one in questions]


def sent(journal: RequestJournal, runner: str = "runner") -> str:
    """Return the key of a question that a runner has sent."""
    (key,) = planned(journal, runner=runner)
    assert journal.claim(asking(runner), key, RESERVE).number == 1
    return key


def state(journal: RequestJournal, key: str) -> tuple[str, str]:
    """Return state and reason of a question."""
    found = journal.known([key])[key]
    return found.state, found.reason


def summed(database: Database, job: str = "job") -> Spent:
    """Return what a job has cost, added up over its attempts: the slow way to `spent`."""
    rows = database.execute("select usd, tokens from attempt where job = ?", (job,))
    return Spent(sum(usd for usd, _ in rows), sum(tokens for _, tokens in rows), len(rows))


def reply_to(number: int) -> bytes:
    """Return an answer; every ninth is too long for one page of a database."""
    dice = random.Random(number)
    return " ".join(str(dice.random()) for _ in range(600 if number % 9 == 0 else 30)).encode()


def filled(database: Database, count: int) -> dict[str, Known]:
    """Have ``count`` questions answered, others planned, sent, failed and uncertain; return all."""
    journal = RequestJournal(database)
    with database.transaction():
        journal.prepare()
        keys = planned(journal, count + 8)
    for start in range(0, count, 40):
        with database.transaction():
            for number in range(start, min(start + 40, count)):
                journal.claim(asking(), keys[number], RESERVE)
                journal.receive(keys[number], 1, reply_to(number))
                verdict = ("accepted", "") if number % 5 else ("rejected", "refused")
                journal.judge(keys[number], 1, *verdict, BILL)
    with database.transaction():
        for key in keys[count + 2 :]:
            journal.claim(asking(), key, RESERVE)
        journal.refuse(keys[count + 4], 1, "server_error")
        journal.doubt(keys[count + 5], 1, "timed_out")
        journal.receive(keys[count + 6], 1, b"unread")
        return journal.known(keys)
