"""Runs with random budgets, prices, sizes, faults and kills; was a budget ever exceeded?

    python -m tests.chat.spending RUNS PROCESS_RUNS

prints what it found as one line of JSON. Most runs are whole but for the network: the real engine,
writer and journal, and in place of the endpoint a till that counts what it bills; two of them share
a journal in a third of the runs. The others are two processes each, one of them killed in half of
the runs, against the endpoint with faults.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.annotation.chat import ChatAnnotator
from pipeline.annotation.opinions import Terms
from pipeline.chat import engine as engine_module
from pipeline.chat import pace as pace_module
from pipeline.chat import trips as trips_module
from pipeline.chat.endpoint import Answer
from pipeline.chat.engine import Ask, Engine, Verdict
from pipeline.chat.faults import Fault
from pipeline.chat.pace import Limits, Pace
from pipeline.chat.prices import Price, most
from pipeline.journal.database import connect
from pipeline.journal.entries import Asking, Budget, Cost, Question, Spent
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import JournalWriter
from pipeline.sections import ChatSettings
from tests.chat.auditing import texts
from tests.chat.killing import finish, forked
from tests.endpoint.fixtures import start

# What becomes of a request: its share, whether it is billed, and the fault, if it is one.
FATES: Final[dict[str, tuple[int, bool, Fault | None]]] = {
    "answered": (60, True, None),
    "refusal": (4, True, None),
    "no_usage": (4, True, None),
    "garbled": (4, True, None),
    "lost": (8, True, Fault("ambiguous", "connection_lost")),
    "unread": (4, False, Fault("ambiguous", "connection_lost")),
    "failed": (8, False, Fault("refused", "server_error")),
    "throttled": (6, False, Fault("throttled", "rate_limited", 0.002)),
    "final": (2, False, Fault("final", "content_filter")),
}
RATES: Final = {
    "server_error": 0.08, "cut_body": 0.06, "invalid_json": 0.05, "no_usage": 0.05,
    "rate_limited_ms": 0.03, "close_silent": 0.04, "refusal": 0.04, "reset": 0.03,
}  # fmt: skip


class Plan(NamedTuple):
    """What one run may spend, and on what."""

    questions: int
    concurrency: int
    price: Price
    max_tokens: int
    budget: Budget
    resend: bool
    runners: int


class Found(NamedTuple):
    """What came of a run; the first three are to be 0."""

    exceeded: int  # budgets exceeded by what was billed
    overbooked: int  # budgets exceeded by what the journal says
    unbooked: int  # sums of the journal below what was billed, or not those of its attempts
    short: int  # whether a budget left questions unasked
    used: float  # the largest share of a budget that the journal says was used


class Till:
    """Stands in for an endpoint and bills up to the most that a request can cost."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.settings = ChatSettings(model="m", key="", concurrency=plan.concurrency)
        self.billed = Spent(0, 0, 0)
        self._plan, self._dice = plan, random.Random(seed)
        self._slowest = self._dice.choice([0.0, 0.001, 0.005])

    async def send(self, body: Mapping[str, Any]) -> Answer | Fault:
        """Count and answer as the dice say."""
        dice, names = self._dice, list(FATES)
        (name,) = dice.choices(names, [FATES[one][0] for one in names])
        _, bills, fault = FATES[name]
        largest = most(self._plan.price, body, self._plan.max_tokens).tokens - self._plan.max_tokens
        prompt = dice.choice([largest, dice.randint(1, largest)])
        completion = dice.choice([self._plan.max_tokens, dice.randint(0, self._plan.max_tokens)])
        cost = self._plan.price.cost(prompt, completion) if bills else Cost(0, 0)
        usd, tokens, requests = self.billed
        self.billed = Spent(usd + cost.usd, tokens + cost.tokens, requests + 1)
        await asyncio.sleep(dice.uniform(0, self._slowest))
        return fault or Answer(_reply(name, prompt, completion), None)


def _reply(name: str, prompt: int, completion: int) -> bytes:
    if name == "garbled":
        return b'{"choices": [{"message": {"content": "'
    message = {"content": "3", "refusal": "No." if name == "refusal" else None}
    whole: dict[str, Any] = {"choices": [{"message": message, "finish_reason": "stop"}]}
    if name != "no_usage":
        whole["usage"] = {"prompt_tokens": prompt, "completion_tokens": completion}
    return json.dumps(whole).encode()


def asks(plan: Plan) -> list[Ask]:
    """Return the questions of a run with their reservations."""
    found = []
    for number in range(plan.questions):
        body = {"messages": [{"role": "user", "content": "word " * (1 + number * 7 % 90)}],
                "max_tokens": plan.max_tokens}  # fmt: skip
        question = Question(f"key-{number}", "annotator", f"pair-{number}")
        found.append(Ask(question, body, most(plan.price, body, plan.max_tokens)))
    return found


def planned(dice: random.Random, *, real: bool) -> Plan:
    """Return a run; its budget has room for nothing, for some, or for all of it."""
    questions, longest = dice.randint(5, 90 if real else 150), dice.choice([1, 8, 24, 100])
    price = Price(dice.uniform(0, 40_000), dice.uniform(0, 90_000))
    plan = Plan(
        questions, dice.choice([1, 2, 8, 32, 64]), price, longest, Budget(), dice.random() < 0.4,
        2 if real or dice.random() < 0.34 else 1,
    )  # fmt: skip
    one = max((ask.reserve for ask in asks(plan)), key=lambda cost: cost.tokens)
    share = dice.choice([0.0, 0.05, 0.3, 0.8, 1.5])
    room = [int(most * questions * share * dice.random()) for most in (*one, 1)]
    kinds = dice.choice(["usd", "tokens", "requests", "all"])
    limits = [size if kinds in (name, "all") else None
              for name, size in zip(Budget._fields, room, strict=True)]  # fmt: skip
    return plan._replace(budget=Budget(*limits))


def in_process(dice: random.Random) -> Found:
    """Run engines against tills."""
    plan = planned(dice, real=False)
    with tempfile.TemporaryDirectory(dir=_quick_folder()) as folder:
        url = str(Path(folder) / "requests.sqlite")
        tills = [Till(plan, dice.getrandbits(32)) for _ in range(plan.runners)]
        threads = [
            threading.Thread(target=lambda n=n, till=till: asyncio.run(_ask(url, plan, till, n)))
            for n, till in enumerate(tills)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        billed = Spent(*(sum(part) for part in zip(*(t.billed for t in tills), strict=True)))
        return judged(url, plan, billed)


async def _ask(url: str, plan: Plan, till: Till, number: int) -> None:
    asking = Asking(f"runner-{number}", "job", plan.budget, plan.resend)
    listed = asks(plan)
    with JournalWriter(url) as writer:
        engine = Engine(till, writer, asking, Pace(Limits(plan.concurrency)), plan.price)  # type: ignore[arg-type]
        await writer.submit(lambda journal: journal.plan([ask.question for ask in listed]))
        await engine.ask(listed, lambda reply: Verdict(reply.text))
        engine.conclude()


def with_processes(dice: random.Random) -> Found:
    """Run two processes against the endpoint, and kill one of them in half of the runs."""
    plan = planned(dice, real=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        start({"rates": RATES, "seed": dice.getrandbits(30)}, latency=[0.0, 0.02]) as endpoint,
    ):
        url = str(Path(folder) / "requests.sqlite")
        settings = ChatSettings(
            base_url=endpoint.url, model="m", key="", timeout=5, orders=1,
            concurrency=plan.concurrency, max_tokens=plan.max_tokens,
            price_input=plan.price.input / 1_000, price_output=plan.price.output / 1_000,
        )  # fmt: skip
        terms = Terms(url, "job", plan.budget, plan.resend)
        processes = [
            forked(lambda: ChatAnnotator("one", settings, terms).annotate(texts(plan.questions)))
            for _ in range(plan.runners)
        ]
        if dice.random() < 0.5:
            time.sleep(dice.uniform(0, 0.6))
            os.kill(processes[0], signal.SIGKILL)
            os.waitpid(processes.pop(0), 0)
        for process in processes:
            finish(process)
        billed = [entry for entry in endpoint.ledger() if entry["billed"]]
        costs = [plan.price.cost(one["prompt_tokens"], one["completion_tokens"]) for one in billed]
        asked = endpoint.summary()["asked"]
        total = Spent(sum(c.usd for c in costs), sum(c.tokens for c in costs), asked)
        return judged(url, plan, total)


def judged(url: str, plan: Plan, billed: Spent) -> Found:
    """Compare what was billed and what was booked with the budget."""
    with closing(connect(url)) as database, database.transaction():
        spent = RequestJournal(database).spent("job")
        rows = database.execute("select usd, tokens from attempt where job = 'job'")
        states = dict(database.execute("select state, count(*) from question group by state"))
    summed = Spent(sum(usd for usd, _ in rows), sum(tokens for _, tokens in rows), len(rows))
    limits = [(limit, *pair) for limit, *pair in zip(plan.budget, billed, spent, strict=True)
              if limit is not None]  # fmt: skip
    return Found(
        exceeded=sum(paid > limit for limit, paid, _ in limits),
        overbooked=sum(booked > limit for limit, _, booked in limits),
        unbooked=sum(b > s for b, s in zip(billed, spent, strict=True)) + (summed != spent),
        short=int(states.get("planned", 0) > 0),
        used=max(booked / limit if limit else 1.0 for limit, _, booked in limits),
    )


def _quick_folder() -> str | None:
    """Return a folder in memory where there is one: these runs are not about the disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - as the name says


def hurry() -> None:
    """Shorten all pauses, which would make up nearly all of the time."""
    engine_module.ELSEWHERE_PAUSE = engine_module.RESERVED_PAUSE = 0.002  # type: ignore[misc]
    trips_module.FIRST_PAUSE = pace_module.FIRST_PAUSE = 0.001  # type: ignore[misc]
    pace_module.FIRST_BREAK = 0.001  # type: ignore[misc]


def runs(count: int, with_real: int, seed: int = 5) -> dict[str, Any]:
    """Return what all runs came to together."""
    hurry()
    found: Sequence[Found] = [
        *(with_processes(random.Random(f"{seed} real {n}")) for n in range(with_real)),
        *(in_process(random.Random(f"{seed} {n}")) for n in range(count)),
    ]
    names = ("exceeded", "overbooked", "unbooked", "short")
    totals = {name: sum(getattr(one, name) for one in found) for name in names}
    return totals | {"runs": len(found), "full": sum(one.used > 0.9 for one in found)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(runs(int(sys.argv[1]), int(sys.argv[2]))) + "\n")
