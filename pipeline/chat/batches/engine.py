"""What asks in batches, with the interface of the engine that asks one question at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from pipeline.chat.batches.desk import Desk
from pipeline.chat.batches.direct import Direct
from pipeline.chat.batches.keeper import Keeper, Means
from pipeline.chat.batches.lines import Spool
from pipeline.chat.batches.provider import Provider, key_of
from pipeline.chat.batches.round import Round
from pipeline.chat.endpoint import Endpoint
from pipeline.chat.engine import HEARTBEAT, Engine
from pipeline.chat.faults import Fault
from pipeline.chat.pace import Limits, Pace
from pipeline.chat.prices import Price, host, in_batch
from pipeline.chat.tally import Tally
from pipeline.chat.trips import Ask, Judge, Result
from pipeline.journal.entries import Asking
from pipeline.journal.writer import JournalWriter


async def engine(
    endpoint: Endpoint, writer: JournalWriter, asking: Asking, pace: Pace, price: Price
) -> Engine:
    """Return what asks as the endpoint's settings say: in batches, or one by one.

    Where batches are unfinished from a time when the settings said "in batches", they are still
    waited for, since they are paid for; everything else is asked one by one.
    """
    name = host(endpoint.settings.base_url)
    unfinished = await writer.submit(lambda journal: journal.batches.unfinished(name))
    kind = BatchEngine if endpoint.settings.batch or unfinished else Engine
    return kind(endpoint, writer, asking, pace, price)


@dataclass
class BatchTally(Tally):
    """Counts of asking in batches; ``batches`` is how many questions of each are done, and of how
    many.
    """  # noqa: D205 - one sentence

    batches: dict[str, tuple[int, int]] = field(default_factory=dict)

    def figures(self, total: int) -> dict[str, str]:
        """Return what is shown beside a progress bar over ``total`` questions."""
        if not self.batches:
            return super().figures(total)
        done, all_ = map(sum, zip(*self.batches.values(), strict=True))
        return {"in batches": f"{done:,} of {all_:,} done"} | super().figures(total)


class BatchEngine(Engine):
    """Puts questions to one endpoint in batches, and the few that are not worth one directly."""

    def __init__(
        self, endpoint: Endpoint, writer: JournalWriter, asking: Asking, pace: Pace, price: Price
    ) -> None:
        super().__init__(endpoint, writer, asking, pace, price)
        self._tally = BatchTally()
        self.tally = self._tally
        self._direct = Direct(partial(self._plain, price), pace)
        self._batched = self._plain(in_batch(price), None)
        self._left = asyncio.Event()  # asking is to be left at once

    async def ask(self, asks: Iterable[Ask], judge: Judge) -> dict[str, Result]:
        """Return how each question ended, by its key; sends them in the order given.

        Batches that hold some of them already are taken up. The journal must hold the questions
        (`RequestJournal.plan`).
        """
        name = f"{self._asking.runner}-keeper"
        await self._writer.submit(lambda journal: journal.enrol(name))
        heart = asyncio.create_task(self._stay_enrolled(name))
        try:
            async with Provider(self._endpoint.settings) as provider:
                with Spool(provider.path) as spool:
                    return await self._ask(Round(self._desk(name, provider, spool), asks, judge))
        finally:
            heart.cancel()
            await self._writer.submit(lambda journal: journal.leave(name))

    def stop(self, fault: Fault) -> None:
        """Leave batches to their provider; answers to other questions are still waited for."""
        self._halt(fault)
        self._left.set()

    def conclude(self) -> None:
        """Stop if all that ever came was not what a chat endpoint sends."""
        self._direct.engine.conclude()
        if self._direct.engine.stopped:
            self._halt(self._direct.engine.stopped)

    async def _ask(self, round_: Round) -> dict[str, Result]:
        work = asyncio.create_task(round_.run())
        left = asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            work.cancel()
            await asyncio.wait({work})
            results = round_.close()
        if not work.cancelled():
            work.result()
        return results

    def _halt(self, fault: Fault) -> None:
        """Ask nothing more; what is being looked at is finished."""
        hidden = key_of(self._endpoint.settings)
        if hidden:  # which a provider may have repeated
            fault = fault._replace(detail=fault.detail.replace(hidden, "…"))
        super().stop(fault)
        self._direct.engine.stop(fault)

    def _plain(self, price: Price, pace: Pace | None) -> Engine:
        settings = self._endpoint.settings
        limits = Limits(
            settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute
        )
        plain = Engine(self._endpoint, self._writer, self._asking, pace or Pace(limits), price)
        plain.tally = self.tally
        return plain

    def _desk(self, name: str, provider: Provider, spool: Spool) -> Desk:
        settings = self._endpoint.settings
        poll_seconds, price = settings.batch_poll_seconds, in_batch(self._price)
        means = Means(name, provider, self._writer, price, poll_seconds, self._halt)
        return Desk(
            self, self._batched, self._direct, Keeper(means), spool, self._writer, self._asking,
            settings, self._tally.batches,
        )  # fmt: skip

    async def _stay_enrolled(self, name: str) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self._writer.submit(lambda journal: journal.enrol(name))
            await self._writer.submit(lambda journal: journal.recover())
