"""Asking a chat model: what the journal knows is read, what is missing is asked."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from pipeline import prompts
from pipeline.annotation import questions
from pipeline.annotation.opinions import Terms
from pipeline.annotation.questions import Features, Topic
from pipeline.annotation.scoring import OUTPUTS, Unreadable
from pipeline.chat.batches import engine as batches
from pipeline.chat.endpoint import Endpoint
from pipeline.chat.engine import Ask, Engine, Judge, Result, Verdict
from pipeline.chat.faults import Fault
from pipeline.chat.pace import Limits, Pace
from pipeline.chat.prices import Price
from pipeline.chat.replies import Reply
from pipeline.chat.tally import Tally
from pipeline.journal.entries import Asking, Known, Question
from pipeline.journal.requests import ANSWERED, RequestJournal
from pipeline.journal.writer import JournalWriter
from pipeline.progress import Progress
from pipeline.sections import ChatSettings

log = logging.getLogger(__name__)

LOOKED_UP: Final = 2_000  # questions that are looked up in the journal at a time
FIRST: Final = 3  # subjects whose question may fail for itself before any is answered
LONGER: Final = 2  # times the longest answer, for one that was cut off
REPAIR, LENGTHEN = "repair", "longer"


class FollowUp(NamedTuple):
    """A second question that the answer to a first one calls for."""

    kind: str
    reply: Reply | None = None

    @property
    def identity(self) -> str:
        """What tells it from the first question, the words it adds included."""
        return f"{self.kind} {prompts.identity(questions.REPAIR)}" if self.reply else self.kind


class Found(NamedTuple):
    """How every topic ended, in their order.

    ``reused`` topics had an answer before; the tally counts what was asked now; ``stopped`` says
    why asking ended early, if it did.
    """

    results: list[Result]
    reused: int
    tally: Tally
    stopped: Fault | None


class Inquiry:
    """Asks one chat model, as configured under a name, about topics."""

    def __init__(
        self, name: str, settings: ChatSettings, identity: str, price: Price, terms: Terms
    ) -> None:
        self._name, self._settings, self._identity = name, settings, identity
        self._price, self._terms = price, terms
        self._prompt = prompts.load(settings.prompt)
        self._output = OUTPUTS[self._prompt.output]
        self._features = questions.candidates(settings)[0]
        self._engine: Engine | None = None
        self._interrupted = False
        self._reused = 0

    def stop(self) -> None:
        """Send nothing more; call inside the event loop."""
        self._interrupted = True
        if self._engine:
            self._engine.stop(Fault("final", "interrupted"))

    async def run(self, topics: Sequence[Topic]) -> Found:
        """Return how every topic ended, asked in their order; no two may be equal."""
        terms, settings = self._terms, self._settings
        runner = f"{self._name}-{uuid.uuid4().hex[:12]}"
        asking = Asking(runner, terms.job, terms.budget, terms.resend)
        pace = Pace(
            Limits(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
        )
        with JournalWriter(terms.journal) as writer:
            async with Endpoint(self._name, settings) as endpoint:
                engine = self._engine = await batches.engine(
                    endpoint, writer, asking, pace, self._price
                )
                if self._interrupted:
                    self.stop()
                await writer.submit(RequestJournal.recover)
                return await self._rounds(topics, engine, writer)

    async def _rounds(
        self, topics: Sequence[Topic], engine: Engine, writer: JournalWriter
    ) -> Found:
        first: Mapping[Topic, FollowUp | None] = dict.fromkeys(topics)
        results = await self._round(first, engine, writer)
        again = {topic: follow for topic, one in results.items() if (follow := _follow_up(one))}
        if again and not engine.stopped:
            results |= await self._round(again, engine, writer)
        engine.conclude()
        return Found(
            [results[topic] for topic in topics], self._reused, engine.tally, engine.stopped
        )

    async def _round(
        self, wanted: Mapping[Topic, FollowUp | None], engine: Engine, writer: JournalWriter
    ) -> dict[Topic, Result]:
        """Return how the questions of one round ended, known ones included."""
        is_first = not any(wanted.values())
        judge = self._judge(follow=is_first)
        asked = {
            topic: questions.question(self._identity, topic, follow.identity if follow else "")
            for topic, follow in wanted.items()
        }
        known = await self._known(list(asked.values()), engine, writer, judge)
        if is_first:
            self._reused = sum(one.state in ("accepted", "rejected") for one in known.values())

        def ask(topic: Topic) -> Ask:
            request = self._request(topic, wanted[topic])
            return questions.ask(asked[topic], request, self._settings, self._price)

        missing = [topic for topic in wanted if asked[topic].key not in known]
        if missing and is_first:
            known |= await self._agree(_first(missing), ask, engine, judge)
            missing = [topic for topic in missing if asked[topic].key not in known]
        with Progress(self._name, len(missing), "question") as progress:
            watch = asyncio.create_task(_watch(progress, engine.tally, len(missing)))
            try:
                known |= await engine.ask((ask(topic) for topic in missing), judge)
            finally:
                watch.cancel()
        unasked = Result("unasked", Verdict(reason=engine.stopped.reason if engine.stopped else ""))
        return {topic: known.get(asked[topic].key, unasked) for topic in wanted}

    async def _known(
        self, asked: Sequence[Question], engine: Engine, writer: JournalWriter, judge: Judge
    ) -> dict[str, Result]:
        """Return what the journal holds already; enters the questions it does not know."""
        found: dict[str, Result] = {}
        for part in _parts(asked, LOOKED_UP):
            for key, known in (await writer.submit(partial(_entered, part))).items():
                result = engine.known(key, known, judge)
                if result and not (result.state == "uncertain" and self._terms.resend):
                    found[key] = result
        return found

    async def _agree(
        self, topics: Sequence[Topic], ask: Callable[[Topic], Ask], engine: Engine, judge: Judge
    ) -> dict[str, Result]:
        """Ask first questions with fewer and fewer features until the endpoint answers one."""
        found: dict[str, Result] = {}
        wanted = questions.candidates(self._settings)
        for topic in topics:
            for features in wanted:
                self._features = features
                found |= (last := await engine.ask([ask(topic)], judge))
                reasons = [one.verdict.reason for one in last.values()]
                if engine.stopped or any(one.state in ANSWERED for one in last.values()):
                    return found
                if reasons != ["bad_request"]:
                    break
                log.info("%s: the endpoint does not take %s", self._name, _named(features))
        self._features = wanted[0]
        if all(result.verdict.reason == "bad_request" for result in found.values()):
            engine.stop(engine.last_fault or Fault("fatal", "bad_request"))
        return found

    def _request(self, topic: Topic, follow: FollowUp | None) -> Mapping[str, Any]:
        messages = self._prompt.messages(**dict(topic.values))
        longer = LONGER if follow and follow.kind == LENGTHEN else 1
        if follow and follow.reply:
            messages = questions.repair_messages(messages, follow.reply, self._output)
        return questions.body(self._settings, messages, self._features, topic.pairs, longer)

    def _judge(self, *, follow: bool) -> Judge:
        """Return what reads an answer; in the first round it says what to ask next."""

        def judge(reply: Reply) -> Verdict:
            parsed = self._output.parse(reply, self._prompt)
            if not isinstance(parsed, Unreadable):
                return Verdict(parsed)
            again = FollowUp(REPAIR, reply) if follow and parsed.repairable else None
            return Verdict(again, parsed.reason)

        return judge


def _follow_up(result: Result) -> FollowUp | None:
    """Return the second question that a first answer calls for."""
    if isinstance(result.verdict.value, FollowUp):
        return result.verdict.value
    return FollowUp(LENGTHEN) if result.verdict.reason == "cut_off" else None


def _entered(asked: Sequence[Question], journal: RequestJournal) -> dict[str, Known]:
    """Return where each question stands, once all are in the journal."""
    journal.plan(asked)
    return journal.known([question.key for question in asked])


def _first(topics: Sequence[Topic]) -> list[Topic]:
    """Return the first topics, of different subjects."""
    found: dict[str, Topic] = {}
    for topic in topics:
        found.setdefault(topic.subject, topic)
        if len(found) == FIRST:
            break
    return list(found.values())


def _parts(items: Sequence[Question], size: int) -> Iterator[Sequence[Question]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _named(features: Features) -> str:
    wanted = [name for name, there in features._asdict().items() if there]
    return " and ".join(wanted) or "the request"


async def _watch(progress: Progress, tally: Tally, total: int) -> None:
    """Show how far the asking is, twice a second."""
    start = sum(tally.states.values())
    while True:
        await asyncio.sleep(0.5)
        done = sum(tally.states.values()) - start
        progress.advance(done - progress.done, **tally.figures(total + start))
