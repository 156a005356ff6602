"""One round of asking a chat model about pairs: what is known is read, what is missing is asked."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from pipeline import prompts
from pipeline.annotation import questions
from pipeline.annotation.opinions import Terms, TextPair
from pipeline.annotation.questions import Features, Slot
from pipeline.annotation.scoring import OUTPUTS, Parsed, Unreadable, repair_messages
from pipeline.annotation.scoring import REPAIR as REPAIR_PROMPT
from pipeline.chat.endpoint import Endpoint
from pipeline.chat.engine import Ask, Engine, Result, Verdict
from pipeline.chat.faults import Fault
from pipeline.chat.pace import Limits, Pace
from pipeline.chat.prices import Price
from pipeline.chat.replies import Reply
from pipeline.chat.tally import Tally
from pipeline.journal.entries import Asking, Known, Question
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import JournalWriter
from pipeline.progress import Progress
from pipeline.prompts import Messages
from pipeline.sections import ChatSettings

log = logging.getLogger(__name__)

LOOKED_UP: Final = 2_000  # questions that are looked up in the journal at a time
LONGER: Final = 2  # times the longest answer, for one that was cut off
REPAIR, LENGTHEN = "repair", "longer"


class FollowUp(NamedTuple):
    """A second question that the answer to a first one calls for."""

    kind: str
    reply: Reply | None = None

    @property
    def identity(self) -> str:
        """What tells it from the first question, the words it adds included."""
        return f"{self.kind} {prompts.identity(REPAIR_PROMPT)}" if self.reply else self.kind


class Found(NamedTuple):
    """How every slot ended, what it cost now, and why asking stopped before the end, if it did."""

    results: dict[Slot, Result]
    reused: int
    tally: Tally
    stopped: Fault | None


class Inquiry:
    """Asks one chat model, as configured under a name, about pairs of texts."""

    def __init__(
        self, name: str, settings: ChatSettings, identity: str, price: Price, terms: Terms
    ) -> None:
        self._name, self._settings, self._identity = name, settings, identity
        self._price, self._terms = price, terms
        self._prompt = prompts.load(settings.prompt)
        self._output = OUTPUTS[self._prompt.output]
        self._features = questions.candidates(settings)[0]
        self._engine: Engine | None = None
        self._reused = 0

    def stop(self) -> None:
        """Send nothing more; call inside the event loop."""
        if self._engine:
            self._engine.stop(Fault("final", "interrupted"))

    async def run(self, pairs: Sequence[TextPair]) -> Found:
        """Return how every slot of ``pairs`` ended, asked in their order."""
        asking = Asking(
            f"{self._name}-{uuid.uuid4().hex[:12]}", self._terms.job, self._terms.budget,
            self._terms.resend,
        )  # fmt: skip
        settings = self._settings
        pace = Pace(
            Limits(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
        )
        with JournalWriter(self._terms.journal) as writer:
            async with Endpoint(self._name, settings) as endpoint:
                engine = self._engine = Engine(endpoint, writer, asking, pace, self._price)
                return await self._rounds(pairs, engine, writer)

    async def _rounds(
        self, pairs: Sequence[TextPair], engine: Engine, writer: JournalWriter
    ) -> Found:
        slots = questions.slots(pairs, self._settings)
        await writer.submit(RequestJournal.recover)
        results = await self._round(pairs, dict.fromkeys(slots), engine, writer)
        again = {slot: follow for slot, one in results.items() if (follow := _follow_up(one))}
        if again and not engine.stopped:
            results |= await self._round(pairs, again, engine, writer)
        return Found(results, self._reused, engine.tally, engine.stopped)

    async def _round(
        self,
        pairs: Sequence[TextPair],
        wanted: Mapping[Slot, FollowUp | None],
        engine: Engine,
        writer: JournalWriter,
    ) -> dict[Slot, Result]:
        """Return how the questions of one round ended, known ones included."""
        judge = self._judge(follow=not any(wanted.values()))
        asked = {
            slot: questions.question(
                self._identity, pairs[slot.pair], slot, follow.identity if follow else ""
            )
            for slot, follow in wanted.items()
        }
        known = await self._known(list(asked.values()), engine, writer, judge)
        missing = [slot for slot in wanted if asked[slot].key not in known]
        self._reused += sum(result.state in ("accepted", "rejected") for result in known.values())

        def ask(slot: Slot) -> Ask:
            request = self._request(pairs[slot.pair], slot, wanted[slot])
            return questions.ask(asked[slot], request, self._settings, self._price)

        if missing and not any(wanted.values()):
            known |= await self._agree(missing[0], ask, engine, judge)
            missing = [slot for slot in missing if asked[slot].key not in known]
        with Progress(self._name, len(missing), "question") as progress:
            watch = asyncio.create_task(_watch(progress, engine.tally, len(missing)))
            try:
                known |= await engine.ask((ask(slot) for slot in missing), judge)
            finally:
                watch.cancel()
        return {slot: known[asked[slot].key] for slot in wanted}

    async def _known(
        self,
        asked: Sequence[Question],
        engine: Engine,
        writer: JournalWriter,
        judge: Callable[[Reply], Verdict],
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
        self, slot: Slot, ask: Callable[[Slot], Ask], engine: Engine,
        judge: Callable[[Reply], Verdict],
    ) -> dict[str, Result]:  # fmt: skip
        """Ask a first question with fewer and fewer features until the endpoint takes it."""
        results: dict[str, Result] = {}
        for features in questions.candidates(self._settings):
            self._features = features
            results = await engine.ask([ask(slot)], judge)
            if all(result.verdict.reason != "bad_request" for result in results.values()):
                break
            log.info("%s: the endpoint does not take %s", self._name, _named(features))
        else:
            engine.stop(engine.last_fault or Fault("fatal", "bad_request"))
        return results

    def _request(self, pair: TextPair, slot: Slot, follow: FollowUp | None) -> Mapping[str, object]:
        text1, text2 = questions.ordered(pair, slot.order)
        messages: Messages = self._prompt.messages(text1=text1, text2=text2)
        longer = LONGER if follow and follow.kind == LENGTHEN else 1
        if follow and follow.reply:
            messages = repair_messages(messages, follow.reply, self._output)
        return questions.body(self._settings, messages, self._features, longer)

    def _judge(self, *, follow: bool) -> Callable[[Reply], Verdict]:
        """Return what reads an answer; in the first round it says what to ask next."""

        def judge(reply: Reply) -> Verdict:
            parsed = self._output.parse(reply, self._prompt)
            if isinstance(parsed, Parsed):
                return Verdict(parsed)
            reason = parsed.reason if isinstance(parsed, Unreadable) else "not_a_score"
            repairable = isinstance(parsed, Unreadable) and parsed.repairable
            return Verdict(FollowUp(REPAIR, reply) if follow and repairable else None, reason)

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
