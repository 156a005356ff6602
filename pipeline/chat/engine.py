"""Questions in, judged answers out: paid for once, within the budget, whatever happens on the way.

A worker follows one question at a time through the journal: claim it (money reserved, marked as
sent), send it, keep the answer as it came, judge it. The slot at the endpoint is held from the
claim until the answer is on disk, so what a kill leaves uncertain is never more than the
concurrency.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pipeline.chat.endpoint import Answer, Endpoint
from pipeline.chat.faults import Fault
from pipeline.chat.pace import Pace
from pipeline.chat.prices import Price
from pipeline.chat.replies import Reply, Unusable, read
from pipeline.chat.tally import Tally
from pipeline.chat.waiting import LONGEST
from pipeline.journal.entries import Asking, Bill, Claim, Cost, Known, Question
from pipeline.journal.requests import ANSWERED
from pipeline.journal.writer import JournalWriter

MAX_TRIES: Final = 6
MAX_SECONDS: Final = 900.0  # from the first try to the last
FIRST_PAUSE: Final = 0.5  # seconds before the second try; doubles
LONGEST_PAUSE: Final = 60.0
ELSEWHERE_PAUSE: Final = 0.25  # seconds between looks at questions that another process has sent
RESERVED_PAUSE: Final = 0.05  # seconds until the budget may have room again
HEARTBEAT: Final = 10.0
# What an HTTP 200 holds instead of a chat model's answer: perhaps billed, so held or sent again.
GARBLED: Final = frozenset({"html", "not_json", "empty_body", "no_choices", "error_body"})


class Ask(NamedTuple):
    """A question and how to put it: the request body, and the most it can cost."""

    question: Question
    body: Mapping[str, Any]
    reserve: Cost


class Verdict(NamedTuple):
    """What an answer was worth: a value, or the reason why it cannot be used."""

    value: Any = None
    reason: str = ""


class Result(NamedTuple):
    """How a question ended; ``state`` as in the journal, "unasked" where nothing was sent."""

    state: str
    verdict: Verdict


Judge = Callable[[Reply], Verdict]


class Engine:
    """Puts questions to one endpoint, in one event loop."""

    def __init__(
        self, endpoint: Endpoint, writer: JournalWriter, asking: Asking, pace: Pace, price: Price
    ) -> None:
        self._endpoint, self._writer, self._asking = endpoint, writer, asking
        self._pace, self._price = pace, price
        self._out = 0  # requests on their way
        self.tally = Tally()
        self.stopped: Fault | None = None
        self.last_fault: Fault | None = None

    async def ask(self, asks: Iterable[Ask], judge: Judge) -> dict[str, Result]:
        """Return how each question ended, by its key; sends them in the order given.

        The journal must hold the questions already (`RequestJournal.plan`).
        """
        results: dict[str, Result] = {}
        await self._writer.submit(lambda journal: journal.enrol(self._asking.runner))
        heart = asyncio.create_task(self._beat())
        try:
            while asks := await self._pass(asks, judge, results):
                await asyncio.sleep(ELSEWHERE_PAUSE)
        finally:
            heart.cancel()
            await self._writer.submit(lambda journal: journal.leave(self._asking.runner))
        return results

    def stop(self, fault: Fault) -> None:
        """Send nothing more; answers on their way are still waited for."""
        self.stopped = self.stopped or fault

    async def _pass(
        self, asks: Iterable[Ask], judge: Judge, results: dict[str, Result]
    ) -> list[Ask]:
        """Ask once through; return what another process has sent and not ended."""
        elsewhere: list[Ask] = []
        queue = iter(asks)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._endpoint.settings.concurrency):
                group.create_task(self._work(queue, judge, results, elsewhere))
        return elsewhere

    async def _work(
        self, queue: Iterator[Ask], judge: Judge, results: dict[str, Result], elsewhere: list[Ask]
    ) -> None:
        for ask in queue:
            result = await self._see_through(ask, judge)
            if result is None:
                elsewhere.append(ask)
            else:
                results[ask.question.key] = result
                self.tally.ended(result.state)

    async def _see_through(self, ask: Ask, judge: Judge) -> Result | None:
        """Try until the question has ended; None where another process has it."""
        tries, start = 0, time.monotonic()
        while not self.stopped:
            ended = await self._try(ask, judge)
            if not isinstance(ended, Fault):
                return ended
            tries += ended.kind != "throttled"
            if self._is_last(ended, tries, start):
                state = "uncertain" if ended.kind == "ambiguous" else "failed"
                return Result(state, Verdict(reason=ended.reason))
            self.tally.retried += 1
            await asyncio.sleep(_pause(ended, tries))
        return Result("unasked", Verdict(reason=self.stopped.reason))

    async def _try(self, ask: Ask, judge: Judge) -> Result | Fault | None:
        async with self._pace.slot(ask.reserve.tokens) as taken:
            if self.stopped:
                return self.stopped._replace(kind="throttled")
            key = ask.question.key
            claim = await self._writer.submit(
                lambda journal: journal.claim(self._asking, key, ask.reserve)
            )
            if claim.refused:
                return await self._unclaimed(ask, claim, judge)
            self._out += 1
            try:
                await self._pace.open()
                sent = await self._endpoint.send(ask.body)
                if isinstance(sent, Fault):
                    await self._note(ask, claim, sent, taken)
                    return sent
                return await self._keep(ask, claim, sent, judge)
            finally:
                self._out -= 1

    async def _keep(self, ask: Ask, claim: Claim, answer: Answer, judge: Judge) -> Result:
        key, number = ask.question.key, claim.number
        await self._writer.submit(lambda journal: journal.receive(key, number, answer.body))
        reply = read(answer.body)
        if isinstance(reply, Unusable) and reply.reason in GARBLED and not self._pace.was_up:
            self.stop(Fault("fatal", "no_chat_endpoint", detail=reply.reason))
            self._writer.submit(lambda journal: journal.refuse(key, number, reply.reason))
            return Result("failed", Verdict(reason=reply.reason))
        self._pace.succeeded()
        if answer.wait:
            self._pace.hold(min(answer.wait, LONGEST))
        return self._settle(key, number, reply, judge)

    def _settle(self, key: str, number: int, reply: Reply | Unusable, judge: Judge) -> Result:
        """Judge an answer that is on disk; note what it came to and what it cost."""
        usage, result = reply.usage, _judged(reply, judge)
        counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        bill = Bill(self._price.cost(*counts) if usage else None, *counts)
        self.tally.paid(bill)
        state, reason = result.state, result.verdict.reason
        self._writer.submit(lambda journal: journal.judge(key, number, state, reason, bill))
        return result

    async def _unclaimed(self, ask: Ask, claim: Claim, judge: Judge) -> Result | Fault | None:
        key = ask.question.key
        if claim.refused == "budget":
            if not self._out:
                self.stop(Fault("final", "budget_ended"))
            await asyncio.sleep(RESERVED_PAUSE)
            return Fault("throttled", "budget_reserved")
        if claim.refused == "fenced":
            await self._writer.submit(lambda journal: journal.enrol(self._asking.runner))
            return Fault("throttled", "lease_renewed")
        known = (await self._writer.submit(lambda journal: journal.known([key])))[key]
        return self.known(key, known, judge)

    def known(self, key: str, known: Known, judge: Judge) -> Result | None:
        """Return how a question ended that was asked before; None where it has no answer."""
        if known.state == "received" and known.reply is not None:  # killed before it was judged
            return self._settle(key, known.number, read(known.reply), judge)
        if known.state in ANSWERED and known.reply is not None:
            return _judged(read(known.reply), judge)
        if known.state == "uncertain":
            return Result("uncertain", Verdict(reason=known.reason))
        return None

    async def _note(self, ask: Ask, claim: Claim, fault: Fault, taken: float) -> None:
        """Enter a fault in the journal, and draw the conclusions for all requests."""
        key, number = ask.question.key, claim.number
        self.last_fault = fault
        if fault.kind == "ambiguous":
            await self._writer.submit(lambda journal: journal.doubt(key, number, fault.reason))
        else:
            await self._writer.submit(lambda journal: journal.refuse(key, number, fault.reason))
        if fault.kind == "fatal":
            self.stop(fault)
        elif (fault.wait or 0.0) > LONGEST:
            self.stop(fault._replace(reason="asks_to_wait_long"))
        elif fault.kind == "throttled":
            self._pace.throttled(taken, fault.wait)
        elif fault.kind != "final" and self._pace.failed(taken):
            self.stop(fault._replace(reason="endpoint_down"))

    def _is_last(self, fault: Fault, tries: int, start: float) -> bool:
        if fault.kind in ("final", "fatal"):
            return True
        if fault.kind == "ambiguous" and not self._asking.resend:
            return True
        return tries >= MAX_TRIES or (tries > 0 and time.monotonic() - start > MAX_SECONDS)

    async def _beat(self) -> None:
        """Renew the lease, and take note of runners that are gone."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self._writer.submit(lambda journal: journal.enrol(self._asking.runner))
            await self._writer.submit(lambda journal: journal.recover())


def _judged(reply: Reply | Unusable, judge: Judge) -> Result:
    verdict = Verdict(reason=reply.reason) if isinstance(reply, Unusable) else judge(reply)
    if verdict.reason in GARBLED:
        return Result("uncertain", verdict)
    return Result("rejected" if verdict.reason else "accepted", verdict)


def _pause(fault: Fault, tries: int) -> float:
    """Return the seconds before another try; throttled requests wait for their slot instead."""
    if fault.kind == "throttled":
        return 0.0
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1))
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - spreads requests, hides nothing
