"""Asking in batches, for the tests: numbered questions, and runs that find what others left."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

import openai

from pipeline.chat.batches import engine as batches
from pipeline.chat.endpoint import Endpoint
from pipeline.chat.engine import Engine
from pipeline.chat.faults import Fault
from pipeline.chat.pace import Limits, Pace
from pipeline.chat.prices import Price, most
from pipeline.chat.replies import Reply
from pipeline.chat.tally import Tally
from pipeline.chat.trips import Ask, Result, Verdict
from pipeline.journal.database import Row, connect
from pipeline.journal.entries import Asking, Budget, Question, Spent
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import JournalWriter
from pipeline.sections import ChatSettings
from tests.endpoint.fixtures import Endpoint as Server
from tests.endpoint.talking import numbered

PRICE: Final = Price(1_000.0, 3_000.0)  # billionths of a dollar a token
LONGEST: Final = 24  # tokens of an answer


class Asked(NamedTuple):
    """What a run came to."""

    results: Mapping[str, Result]
    stopped: Fault | None
    tally: Tally
    engine: Engine

    @property
    def states(self) -> dict[str, str]:
        """Each question's state, with the reason where there is one."""
        return {
            key: f"{one.state} {one.verdict.reason}".strip() for key, one in self.results.items()
        }

    def count(self, state: str) -> int:
        """Return how many questions ended in a state."""
        return list(self.states.values()).count(state)


def settings(url: str, **more: Any) -> ChatSettings:
    """Return settings that ask everything in batches, at a test's pace."""
    values = {
        "base_url": url, "model": "m", "key": "", "timeout": 5.0, "concurrency": 4, "batch": True,
        "batch_least": 1, "batch_poll_seconds": 0.02,
    }  # fmt: skip
    return ChatSettings.model_validate(values | more)


def key(number: int) -> str:
    """Return the key of a question, which is its custom_id."""
    return f"key-{number:05}"


def ask(number: int) -> Ask:
    """Return the question of a number."""
    body = numbered(number) | {"max_tokens": LONGEST}
    return Ask(Question(key(number), "annotator", f"pair-{number}"), body,
               most(PRICE, body, LONGEST))  # fmt: skip


def judge(reply: Reply) -> Verdict:
    """Take an answer for a number."""
    return Verdict(float(reply.text)) if reply.text.isdigit() else Verdict(reason="no_number")


async def asking(
    journal: str,
    chosen: ChatSettings,
    numbers: Sequence[int],
    told: Callable[[Engine], Any] = lambda _: None,
    **terms: Any,
) -> Asked:
    """Ask numbered questions as a run does: what the journal knows is not asked.

    Args:
        journal: path or URL.
        chosen: how the endpoint is asked.
        numbers: of the questions, in their order.
        told: called with the engine before it asks.
        terms: ``budget`` and ``resend``.
    """
    given = Asking(f"gpt-{uuid.uuid4().hex[:12]}", "job", terms.get("budget", Budget()),
                   terms.get("resend", False))  # fmt: skip
    pace = Pace(Limits(chosen.concurrency, 0, 0))
    with JournalWriter(journal) as writer:
        async with Endpoint("gpt", chosen) as endpoint:
            engine = await batches.engine(endpoint, writer, given, pace, PRICE)
            told(engine)
            await writer.submit(RequestJournal.recover)
            keys = [key(number) for number in numbers]
            await writer.submit(
                lambda opened: opened.plan([ask(number).question for number in numbers])
            )
            known = await writer.submit(lambda opened: opened.known(keys))
            found = {one: engine.known(one, known[one], judge) for one in keys}
            results = {
                one: result for one, result in found.items()
                if result and not (result.state == "uncertain" and given.resend)
            }  # fmt: skip
            missing = [number for number in numbers if key(number) not in results]
            results |= await engine.ask(map(ask, missing), judge)
            engine.conclude()
            return Asked(results, engine.stopped, engine.tally, engine)


def run(journal: str, chosen: ChatSettings, numbers: Sequence[int], **terms: Any) -> Asked:
    """Ask numbered questions and return what that came to."""
    return asyncio.run(asking(journal, chosen, numbers, **terms))


def rows(journal: str, query: str, *values: Any) -> list[Row]:
    """Return what a query finds in a journal."""
    with closing(connect(journal)) as database, database.transaction():
        return database.execute(query, values)


def spent(journal: str) -> Spent:
    """Return what the job has cost."""
    with closing(connect(journal)) as database, database.transaction():
        return RequestJournal(database).spent("job")


def billed(server: Server) -> Spent:
    """Return what the ledger says that the job cost, at half the price in batches."""
    usd = tokens = count = 0
    for route, share in (("chat", 1.0), ("batch_line", 0.5)):
        price = Price(PRICE.input * share, PRICE.output * share)
        for entry in server.ledger(route):
            cost = price.cost(entry["prompt_tokens"], entry["completion_tokens"])
            usd, tokens, count = usd + cost.usd, tokens + cost.tokens, count + entry["billed"]
    return Spent(usd, tokens, count)


def begun(server: Server) -> int:
    """Return how many batches there are at the endpoint."""
    with openai.OpenAI(api_key="k", base_url=server.url, max_retries=0) as client:
        return len(list(client.batches.list()))


def oddities(journal: str) -> list[tuple[str, bytes]]:
    """Return the lines that answered no question, with what they are."""
    found = rows(journal, "select kind, line from batch_oddity order by kind")
    return [(kind, bytes(line)) for kind, line in found]


def aged(journal: str, seconds: float) -> None:
    """Let so much time have passed since everything in the journal."""
    for table, column in (
        ("runner", "expires"), ("attempt", "sent_at"), ("batch", "created"), ("batch", "changed"),
    ):  # fmt: skip
        rows(journal, f"update {table} set {column} = {column} - ?", seconds)  # noqa: S608


def failing(fault: str, **where: Any) -> dict[str, Any]:
    """Return the rule by which lines of batches meet a fault."""
    return {"fault": fault, "route": "batch_line", **where}


def of(number: int) -> str:
    """Return a part of the text of a question that no other has."""
    return f"another text {number}<"
