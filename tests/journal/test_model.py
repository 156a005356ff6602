"""Whatever happens in whatever order, the journal says what a plain table of events says."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from pipeline.journal.database import Database, SQLite
from pipeline.journal.entries import Asking, Bill, Budget, Cost, Spent
from pipeline.journal.requests import LEASE_SECONDS, RequestJournal
from tests.journal.asked import question, summed
from tests.journal.conftest import Clock

RUNNERS = ("one", "two")
BUDGETS = {"free": Budget(), "tight": Budget(usd=2_500), "few": Budget(tokens=400, requests=4)}
ENDS = ("accepted", "accepted", "rejected", "uncertain", "no_work")
SHARES = (None, 0, 1, 2)  # halves of what was reserved; None: the endpoint does not say
EVENTS = ("enrol", "enrol", "enrol", "leave", "recover", "wait", "sleep")
NAMES = st.sampled_from(RUNNERS)
TERMS = st.tuples(st.sampled_from(["free", "free", "free", "tight", "few"]), st.booleans())
COSTS = st.builds(Cost, st.integers(0, 1_000), st.integers(0, 200))


class Attempt(NamedTuple):
    """A request on its way: what the runner that sent it knows."""

    key: str
    number: int
    job: str
    reserve: Cost


class Row:
    """What the plain table holds of a question: the states it has been in, and its answer."""

    def __init__(self) -> None:
        self.state = "planned"
        self.tries = 0
        self.runner = ""
        self.answer: tuple[int, bytes] | None = None


class Model:
    """The obvious journal: dictionaries, no transactions, no SQL."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.expires: dict[str, float] = {}
        self.costs: dict[str, dict[tuple[str, int], Cost]] = {job: {} for job in BUDGETS}

    def spent(self, job: str) -> Spent:
        costs = self.costs[job].values()
        return Spent(sum(c.usd for c in costs), sum(c.tokens for c in costs), len(costs))

    def expected(self, asking: Asking, key: str, reserve: Cost, now: float) -> str:
        """Return why a claim is refused, "" where it is not."""
        if self.expires.get(asking.runner, 0.0) <= now:
            return "fenced"
        row = self.rows[key]
        if row.state == "uncertain" and not asking.resend:
            return "held"
        if row.state in ("sent", "received", "accepted", "rejected"):
            return "taken"
        usd, tokens, requests = self.spent(asking.job)
        budget = asking.budget
        fits = (
            (budget.usd is None or usd + reserve.usd <= budget.usd)
            and (budget.tokens is None or tokens + reserve.tokens <= budget.tokens)
            and (budget.requests is None or requests + 1 <= budget.requests)
        )
        return "" if fits else "budget"

    def lose(self, now: float) -> None:
        """Forget runners whose lease has ended; what they had sent is uncertain."""
        self.expires = {name: end for name, end in self.expires.items() if end > now}
        for row in self.rows.values():
            if row.state == "sent" and row.runner not in self.expires:
                row.state = "uncertain"


class Journals(RuleBasedStateMachine):
    """Both journals are told the same; requests end in any order, also long after their runner."""

    on_their_way = Bundle("on_their_way")
    answered = Bundle("answered")
    database: Database

    @initialize()
    def open(self) -> None:
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        database = SQLite(Path(folder) / "journal.sqlite")
        self.stack.callback(database.close)
        self.stack.enter_context(database.transaction())  # one for all steps: quick
        self.clock, self.model, self.database = Clock(), Model(), database
        self.journal = RequestJournal(database, self.clock)
        self.journal.prepare()
        for name in RUNNERS:
            self.enrol(name)

    def teardown(self) -> None:
        self.stack.close()

    @rule(
        event=st.sampled_from(["enrol", "enrol", "leave", "recover", "wait", "sleep"]), name=NAMES
    )
    def pass_time(self, event: str, name: str) -> None:
        if event == "enrol":
            self.enrol(name)
        elif event == "leave":
            self.journal.leave(name)
            self.model.expires.pop(name, None)
            self.model.lose(self.clock())
        elif event == "recover":
            self.journal.recover()
            self.model.lose(self.clock())
        else:
            self.clock.seconds += LEASE_SECONDS * (0.4 if event == "wait" else 1.0)

    def enrol(self, name: str) -> None:
        self.journal.enrol(name)
        self.model.expires[name] = self.clock() + LEASE_SECONDS

    @rule(
        target=on_their_way, number=st.integers(0, 3), name=NAMES, terms=TERMS, reserve=COSTS
    )  # fmt: skip
    def claim(self, number: int, name: str, terms: tuple[str, bool], reserve: Cost) -> object:
        key, job = question(number).key, terms[0]
        self.journal.plan([question(number)])
        row = self.model.rows.setdefault(key, Row())
        asking = Asking(name, job, BUDGETS[job], resend=terms[1])
        claim = self.journal.claim(asking, key, reserve)
        assert claim.refused == self.model.expected(asking, key, reserve, self.clock())
        if claim.refused:
            assert claim.number == 0
            return multiple()
        row.state, row.tries, row.runner = "sent", row.tries + 1, name
        assert claim.number == row.tries
        self.model.costs[job][key, claim.number] = reserve
        return Attempt(key, claim.number, job, reserve)

    @rule(
        target=answered, attempt=consumes(on_their_way), reply=st.binary(max_size=5),
        way=st.sampled_from(["answer", "answer", "answer", "refusal", "silence"]),
    )  # fmt: skip
    def come_back(self, attempt: Attempt, reply: bytes, way: str) -> object:
        if way != "answer":
            self._end(attempt, refused=way == "refusal")
            return multiple()
        self.journal.receive(attempt.key, attempt.number, reply)
        row = self.model.rows[attempt.key]
        if row.state in ("sent", "uncertain", "failed"):
            row.state, row.answer = "received", (attempt.number, reply)
        return attempt

    @rule(attempt=consumes(answered), end=st.sampled_from(ENDS), share=st.sampled_from(SHARES))
    def judge(self, attempt: Attempt, end: str, share: int | None) -> None:
        if end == "no_work":
            self._end(attempt, refused=True)
            return
        usd, tokens = attempt.reserve
        paid = None if share is None else Cost(usd * share // 2, tokens * share // 2)
        self.journal.judge(attempt.key, attempt.number, end, "why", Bill(paid, 1, 1))
        self._settle(attempt, paid)
        row = self.model.rows[attempt.key]
        if row.state == "received" and row.answer and row.answer[0] == attempt.number:
            row.state = end

    @invariant()
    def both_say_the_same(self) -> None:
        known = self.journal.known(list(self.model.rows))
        assert set(known) == set(self.model.rows)
        for key, row in self.model.rows.items():
            assert (known[key].state, known[key].tries) == (row.state, row.tries)
            assert known[key].reply == (row.answer[1] if row.answer else None)

    @invariant()
    def every_budget_holds_and_every_sum_is_that_of_its_attempts(self) -> None:
        for job, budget in BUDGETS.items():
            spent = self.journal.spent(job)
            assert spent == self.model.spent(job) == summed(self.database, job)
            for cost, most in zip(spent, budget, strict=True):
                assert most is None or cost <= most

    def _end(self, attempt: Attempt, *, refused: bool) -> None:
        """The end of a request counts while it is the last one and no other's answer has come."""
        if refused:
            self.journal.refuse(attempt.key, attempt.number, "server_error")
            self._settle(attempt, Cost(0, 0))
        else:
            self.journal.doubt(attempt.key, attempt.number, "timed_out")
        row = self.model.rows[attempt.key]
        own = row.answer is not None and row.answer[0] == attempt.number
        if row.tries == attempt.number and (
            row.state in ("sent", "uncertain") or (row.state == "received" and own)
        ):
            row.state = "failed" if refused else "uncertain"

    def _settle(self, attempt: Attempt, paid: Cost | None) -> None:
        if paid is not None:
            self.model.costs[attempt.job][attempt.key, attempt.number] = paid


Journals.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestJournals = Journals.TestCase
