"""Questions in, judged answers out: paid for once, within the budget, whatever happens on the way.

A worker follows one question at a time through the journal: claim it (money reserved, marked as
sent), send it, keep the answer as it came, judge it. The slot at the endpoint is held from the
claim until the answer is on disk, so what a kill leaves uncertain is never more than the
concurrency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Final

from pipeline.chat.endpoint import Answer, Endpoint
from pipeline.chat.faults import Fault
from pipeline.chat.health import Health
from pipeline.chat.pace import Pace
from pipeline.chat.prices import Price
from pipeline.chat.replies import Reply, Unusable, read
from pipeline.chat.tally import Tally
from pipeline.chat.trips import Ask, Judge, Result, Tour, Trip, Verdict
from pipeline.journal.entries import Asking, Bill, Claim, Known
from pipeline.journal.requests import ANSWERED, RequestJournal
from pipeline.journal.shared import DISSOLVED
from pipeline.journal.writer import JournalWriter, Operation

__all__ = ["Ask", "Engine", "Judge", "Result", "Verdict"]

ELSEWHERE_PAUSE: Final = 0.25  # seconds between looks at questions that another process has sent
RESERVED_PAUSE: Final = 0.05  # seconds until the budget may have room again
HEARTBEAT: Final = 10.0
# What an HTTP 200 holds instead of a chat model's answer: perhaps billed, so held or sent again.
GARBLED: Final = frozenset({"html", "not_json", "empty_body", "no_choices", "error_body"})
# Of these, what no model has worked for: a page, or an error in so many words.
UNBILLED: Final = frozenset({"html", "error_body"})
LOCAL: Final = frozenset({"budget_reserved", "lease_renewed"})  # reasons: nothing was sent


class Engine:
    """Puts questions to one endpoint, in one event loop."""

    def __init__(
        self, endpoint: Endpoint, writer: JournalWriter, asking: Asking, pace: Pace, price: Price
    ) -> None:
        self._endpoint, self._writer, self._asking = endpoint, writer, asking
        self._pace, self._price = pace, price
        self._out = self._back = 0  # requests on their way, and those that have ended
        self._health = Health(pace)
        self.tally = Tally()
        self.stopped: Fault | None = None
        self.last_fault: Fault | None = None

    async def ask(self, asks: Iterable[Ask], judge: Judge) -> dict[str, Result]:
        """Return how each question ended, by its key; sends them in the order given.

        Those that were not come to before asking stopped are not among them. The journal must hold
        the questions already (`RequestJournal.plan`).
        """
        results: dict[str, Result] = {}
        await self._writer.submit(lambda journal: journal.enrol(self._asking.runner))
        heart = asyncio.create_task(self._beat())
        try:
            while asks := await self._pass(Tour(asks, judge, results, self.tally.ended)):
                await self._pace.pause(ELSEWHERE_PAUSE)
        finally:
            heart.cancel()
            await self._writer.submit(lambda journal: journal.leave(self._asking.runner))
        return results

    def stop(self, fault: Fault) -> None:
        """Send nothing more; answers on their way are still waited for."""
        self.stopped = self.stopped or fault
        self._pace.stop()

    def conclude(self) -> None:
        """Stop if all that ever came was not what a chat endpoint sends."""
        stop = self._health.verdict()
        if stop:
            self._no_endpoint(stop)

    def known(self, key: str, known: Known, judge: Judge) -> Result | None:
        """Return how a question ended that was asked before; None where it has no answer."""
        if known.state == "received" and known.reply is not None:  # killed before it was judged
            return self._settle(key, known.number, read(known.reply), judge)
        if known.state in ANSWERED and known.reply is not None:
            return _judged(read(known.reply), judge)
        if known.state == DISSOLVED:
            return Result("unasked", Verdict(reason=known.reason))
        if known.state == "uncertain":
            return Result("uncertain", Verdict(reason=known.reason))
        return None

    async def _pass(self, tour: Tour) -> list[Ask]:
        """Ask once through; return what another process has sent and not ended."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._endpoint.settings.concurrency):
                    group.create_task(self._work(tour))
        except ExceptionGroup as group_of:
            raise group_of.exceptions[0] from None
        return tour.elsewhere

    async def _work(self, tour: Tour) -> None:
        while not self.stopped and (trip := tour.take()):
            again: Trip | None = trip
            while again:
                again = await self._in_slot(again, tour)

    async def _in_slot(self, trip: Trip, tour: Tour) -> Trip | None:
        """Return the question that is to be tried again, if there is one."""
        async with self._pace.slot(trip.ask.reserve.tokens):
            trip, ended = await self._chain(trip, tour)
        return await self._after(trip, ended, tour)

    async def _chain(self, trip: Trip, tour: Tour) -> tuple[Trip, Result | Fault | None]:
        """Ask one question after another in a slot; return the last one, and how that ended.

        The slot is kept from answer to question while nobody waits for one: the journal takes the
        answer and the claim together, so that there is never more than one sent question a slot.
        """
        back = self._back
        claim = await self._writer.submit(self._claim(trip)) if not self.stopped else None
        while claim and not claim.refused:
            sent = await self._send(trip, claim)
            if not isinstance(sent, Answer):
                return trip, sent
            back = self._back
            result, following, claim = await self._keep(trip, claim, sent, tour)
            if following is None:
                return trip, result
            tour.end(trip, result)
            trip = following
        return trip, await self._unclaimed(trip, claim, back, tour.judge)

    async def _after(self, trip: Trip, ended: Result | Fault | None, tour: Tour) -> Trip | None:
        """Wait until a question may be tried again; None when it has ended."""
        if isinstance(ended, Fault):
            if trip.ended_by(ended, resend=self._asking.resend):
                state = "uncertain" if ended.kind == "ambiguous" else "failed"
                ended = Result(state, Verdict(reason=ended.reason))
            elif self.stopped:
                ended = self._unasked()
            else:
                self.tally.retried += ended.reason not in LOCAL
                await self._pace.pause(trip.pause(ended))
                return trip
        tour.end(trip, ended)
        return None

    def _claim(self, trip: Trip) -> Operation[Claim]:
        key, reserve = trip.key, trip.ask.reserve
        return lambda journal: journal.claim(self._asking, key, reserve)

    async def _send(self, trip: Trip, claim: Claim) -> Answer | Result | Fault:
        """Send a question that is claimed; what comes of it other than an answer is entered."""
        key, number = trip.key, claim.number
        self._out += 1
        await self._pace.open()
        if self.stopped:
            sent: Answer | Result | Fault = self._unasked()
            reason = self.stopped.reason
            await self._writer.submit(lambda journal: journal.refuse(key, number, reason))
        else:
            taken = self._pace.now()
            sent = await self._endpoint.send(trip.ask.body)
            if isinstance(sent, Fault):
                await self._note(key, number, sent, taken)
        if not isinstance(sent, Answer):
            self._came_back()
        return sent

    def _came_back(self) -> None:
        """Take note that a request has ended, and that what was reserved for it is settled."""
        self._out -= 1
        self._back += 1

    async def _note(self, key: str, number: int, fault: Fault, taken: float) -> None:
        """Draw the conclusions from a fault for all requests, and enter it in the journal."""
        self.last_fault = fault
        stop = self._health.failed(fault, taken)
        if stop:
            self.stop(stop)
        if fault.kind == "ambiguous":
            await self._writer.submit(lambda journal: journal.doubt(key, number, fault.reason))
        else:
            await self._writer.submit(lambda journal: journal.refuse(key, number, fault.reason))

    async def _keep(
        self, trip: Trip, claim: Claim, answer: Answer, tour: Tour
    ) -> tuple[Result, Trip | None, Claim | None]:
        """Keep an answer and only then judge it; with what the slot goes on with, if anything."""
        self._health.asked_to_wait(answer.wait)
        following = tour.take() if self._pace.goes_on and not self.stopped else None
        key, number, body = trip.key, claim.number, answer.body

        def kept(journal: RequestJournal) -> Claim | None:
            journal.receive(key, number, body)
            return self._claim(following)(journal) if following else None

        done = self._writer.submit(kept)
        if following:
            tour.prepare()
        claimed = await done
        result = self._judge_kept(trip, number, body, tour.judge)
        self._came_back()
        return result, following, claimed

    def _judge_kept(self, trip: Trip, number: int, body: bytes, judge: Judge) -> Result:
        """Judge an answer that is on disk, and draw the conclusions from it for all requests."""
        reply = read(body)
        if isinstance(reply, Unusable) and reply.reason in GARBLED:
            free = reply.reason in UNBILLED
            stop = self._health.answered_garbled((trip.key, number) if free else None)
            if stop:
                self._no_endpoint(stop._replace(detail=reply.reason))
                if free:
                    return Result("failed", Verdict(reason=reply.reason))
        else:
            self._health.answered()
        if reply.usage:
            longest = int(trip.ask.body.get(self._endpoint.settings.max_tokens_name, 0))
            self._pace.unused(trip.ask.reserve.tokens - longest - reply.usage.prompt_tokens)
        return self._settle(trip.key, number, reply, judge)

    def _no_endpoint(self, stop: Fault) -> None:
        """Stop, and set free what a thing that is no chat endpoint cannot have billed.

        Half an answer may have been paid for, whatever sent it: that stays uncertain.
        """
        self.stop(stop)
        for key, number in self._health.unbilled:
            self._writer.submit(partial(_freed, key, number, stop.reason))
        self._health.unbilled.clear()

    def _settle(self, key: str, number: int, reply: Reply | Unusable, judge: Judge) -> Result:
        """Judge an answer that is on disk; note what it came to and what it cost."""
        usage, result = reply.usage, _judged(reply, judge)
        counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        bill = Bill(self._price.cost(*counts) if usage else None, *counts)
        self.tally.paid(bill)
        state, reason = result.state, result.verdict.reason
        self._writer.carry(lambda journal: journal.judge(key, number, state, reason, bill))
        return result

    async def _unclaimed(
        self, trip: Trip, claim: Claim | None, back: int, judge: Judge
    ) -> Result | Fault | None:
        """Return what becomes of a question that may not be sent now."""
        key = trip.key
        if claim is None:
            return self._unasked()
        if claim.refused == "budget":
            if not self._out and back == self._back:  # nothing is settled that would make room
                self.stop(Fault("final", "budget_ended"))
                return self._unasked()
            await self._pace.pause(RESERVED_PAUSE)
            return Fault("throttled", "budget_reserved")
        if claim.refused == "fenced":
            await self._writer.submit(lambda journal: journal.enrol(self._asking.runner))
            return Fault("throttled", "lease_renewed")
        known = (await self._writer.submit(lambda journal: journal.known([key])))[key]
        return self.known(key, known, judge)

    def _unasked(self) -> Result:
        return Result("unasked", Verdict(reason=self.stopped.reason if self.stopped else ""))

    async def _beat(self) -> None:
        """Renew the lease, and take note of runners that are gone."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self._writer.submit(lambda journal: journal.enrol(self._asking.runner))
            await self._writer.submit(lambda journal: journal.recover())


def _freed(key: str, number: int, reason: str, journal: RequestJournal) -> None:
    journal.refuse(key, number, reason)


def _judged(reply: Reply | Unusable, judge: Judge) -> Result:
    verdict = Verdict(reason=reply.reason) if isinstance(reply, Unusable) else judge(reply)
    if verdict.reason in GARBLED:
        return Result("uncertain", verdict)
    return Result("rejected" if verdict.reason else "accepted", verdict)
