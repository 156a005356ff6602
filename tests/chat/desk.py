"""An engine at an endpoint, with a journal on disk, for the tests of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.chat.endpoint import Endpoint
from pipeline.chat.engine import Ask, Engine, Result, Verdict
from pipeline.chat.faults import Fault
from pipeline.chat.pace import Limits, Pace
from pipeline.chat.prices import Price, most
from pipeline.chat.replies import Reply
from pipeline.chat.tally import Tally
from pipeline.journal.database import Row, connect
from pipeline.journal.entries import Asking, Budget, Known, Question, Spent
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import JournalWriter
from pipeline.sections import ChatSettings
from tests.chat.asking import settings
from tests.endpoint.talking import question, with_schema

PRICE: Final = Price(100.0, 400.0)  # billionths of a dollar for a token
JOB: Final = "job"
_RUNNERS = iter(range(1_000_000))


def asked(number: int) -> Ask:
    """Return a question of its own for each number."""
    body = question(f"a red apple {number}", f"a green apple {number}", max_tokens=24,
                    **with_schema())  # fmt: skip
    return Ask(Question(f"key-{number}", "gpt", f"pair-{number}"), body, most(PRICE, body, 24))


def score(reply: Reply) -> Verdict:
    """Return the score of an answer, or why there is none."""
    text = reply.text.removeprefix('{"score": ').removesuffix("}")
    return Verdict(int(text)) if text in "012345" else Verdict(reason="out_of_scale")


class Outcome(NamedTuple):
    """How an engine's questions ended."""

    results: dict[str, Result]
    stopped: Fault | None
    tally: Tally
    engine: Engine

    def __getitem__(self, number: int) -> tuple[str, str]:
        result = self.results.get(f"key-{number}", Result("unasked", Verdict()))
        return result.state, result.verdict.reason

    @property
    def states(self) -> dict[str, int]:
        return dict(self.tally.states)


class Desk:
    """Where questions are put to one endpoint, on one journal."""

    def __init__(self, url: str, folder: Path, **more: Any) -> None:
        self.settings: ChatSettings = settings(url, **more)
        self.file = folder / "requests.sqlite"
        self.budget, self.resend = Budget(), False
        self.meanwhile: Callable[[Engine], object] = lambda _: None
        self.serve: Callable[[str, ChatSettings], Endpoint] = Endpoint

    def ask(self, numbers: Iterable[int], judge: Any = score) -> Outcome:
        """Return how the questions with these numbers ended, asked in their order."""
        return asyncio.run(self._ask([asked(number) for number in numbers], judge))

    async def _ask(self, asks: list[Ask], judge: Any) -> Outcome:
        asking = Asking(f"runner-{next(_RUNNERS)}", JOB, self.budget, self.resend)
        chosen = self.settings
        pace = Pace(
            Limits(chosen.concurrency, chosen.requests_per_minute, chosen.tokens_per_minute)
        )
        with JournalWriter(str(self.file)) as writer:
            async with self.serve("gpt", chosen) as endpoint:
                engine = Engine(endpoint, writer, asking, pace, PRICE)
                planned = [one.question for one in asks]
                await writer.submit(lambda journal: journal.plan(planned))
                self.meanwhile(engine)
                results = await engine.ask(iter(asks), judge)
                engine.conclude()
                return Outcome(results, engine.stopped, engine.tally, engine)

    @contextmanager
    def journal(self) -> Iterator[RequestJournal]:
        """Give the journal as another process sees it."""
        with closing(connect(str(self.file))) as database, database.transaction():
            yield RequestJournal(database)

    def known(self, number: int) -> Known:
        """Return where a question stands in the journal."""
        with self.journal() as journal:
            return journal.known([f"key-{number}"])[f"key-{number}"]

    def spent(self) -> Spent:
        """Return what was spent in all."""
        with self.journal() as journal:
            return journal.spent(JOB)

    def rows(self, sql: str) -> list[Row]:
        """Return what a query finds in the journal."""
        with closing(connect(str(self.file))) as database, database.transaction():
            return database.execute(sql)
