"""Looking after batches at a provider: each step is committed before the next is taken.

A process may end between any two steps; the next one that wants an answer goes on from what the
journal says. Only one thing can be in doubt then: whether a batch that was to begin has begun. The
provider's list tells, by the file the batch has; where the list is silent for long enough, it has
not, and its questions are free again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from pipeline.chat.batches.collecting import Collection, Ended, portions
from pipeline.chat.batches.kept import Kept
from pipeline.chat.batches.provider import Provider, Remote
from pipeline.chat.faults import Fault
from pipeline.chat.prices import Price
from pipeline.chat.trips import FIRST_PAUSE, LONGEST_PAUSE, MAX_TRIES
from pipeline.chat.waiting import LONGEST
from pipeline.journal.batches import Batch
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import JournalWriter, Operation

log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 600.0  # in which a provider may list a batch late
OUT_OF_REACH_SECONDS: Final = 3_600.0  # of failing looks before they are given up
MAX_FAILED: Final = 3  # batches in a row that a provider does not run
READINGS: Final = 3  # of files in which answers are missing
FREED_AT_ONCE: Final = 500
CROWDED: Final = "token_limit_exceeded"  # what OpenAI says when too much is waiting at it
NEVER_SENT: Final = Fault("throttled", "never_sent")
PERHAPS_SENT: Final = Fault("ambiguous", "perhaps_sent")
NOT_FOUND: Final = Fault("ambiguous", "batch_not_found")


class Means(NamedTuple):
    """What a keeper works with."""

    name: str  # its runner
    provider: Provider
    writer: JournalWriter
    price: Price
    poll_seconds: float
    halt: Callable[[Fault], None]  # tells that nothing more is to be asked, and why


class Keeper:
    """Takes batches from claimed to ended."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._provider, self._writer = means.provider, means.writer
        self.name, self.halt = means.name, means.halt
        self._failed = 0  # batches in a row
        self._steps = {
            "claimed": self._upload,
            "uploaded": self._begin,
            "creating": self._search,
            "running": self._look,
        }

    def opening(self, runner: str) -> Operation[Batch]:
        """Return what enters a new batch that is looked after here."""
        host, account = self._provider.host, self._provider.account
        return lambda journal: journal.batches.open(runner, self.name, host, account)

    async def step(self, kept: Kept) -> AsyncIterator[Ended]:
        """Take a batch as far as it goes now; yield the questions that end by that."""
        state, fault = "", None
        while not fault and not kept.is_over and kept.batch.state != state:
            state = kept.batch.state
            fault = await self._steps[state](kept)
        if fault:
            ends = self._lost(kept) if fault is NOT_FOUND else self._set_free(kept, fault)
        elif kept.remote and kept.remote.is_over:
            ends = self._collect(kept, kept.remote)
        else:
            return
        async for ended in ends:
            yield ended

    async def _upload(self, kept: Kept) -> Fault | None:
        if kept.file is None:
            return NEVER_SENT
        found = await self._provider.upload(kept.file, kept.batch.runner)
        if isinstance(found, Fault):
            return self._not_begun(kept, found)
        await self._enter(kept, kept.batch._replace(input_file=found, state="uploaded"))
        return None

    async def _begin(self, kept: Kept) -> Fault | None:
        if not await self._enter(kept, kept.batch._replace(state="creating")):
            return None
        if kept.failures:  # what refused may have begun all the same
            twins = await self._provider.find(kept.batch)
            if isinstance(twins, list) and twins:
                await self._begun(kept, twins[0])
                return None
        found = await self._provider.begin(kept.batch)
        if isinstance(found, Remote):
            await self._begun(kept, found)
            return None
        if found.kind == "ambiguous":
            log.warning("%s has perhaps begun (%s); its provider is asked",
                        kept.batch.runner, found.reason)  # fmt: skip
            return None
        await self._enter(kept, kept.batch._replace(state="uploaded"))
        return self._not_begun(kept, found)

    async def _search(self, kept: Kept) -> Fault | None:
        """See whether a batch that was to begin has begun."""
        found = await self._provider.find(kept.batch)
        silent = isinstance(found, Fault) and found.reason == "not_found"  # it has no list
        if isinstance(found, Fault) and not silent:
            return self._out_of_reach(kept, found)
        if isinstance(found, list) and found:
            for twin in found[1:]:
                log.warning("%s began twice; %s is cancelled", kept.batch.runner, twin.id)
                await self._provider.cancel(twin.id)
            await self._begun(kept, found[0])
            return None
        if time.time() - kept.batch.changed > GRACE_SECONDS:
            ours = kept.batch.account == self._provider.account
            return NEVER_SENT if ours and not silent else PERHAPS_SENT
        self._wait(kept, min(self._means.poll_seconds, LONGEST_PAUSE))
        return None

    async def _look(self, kept: Kept) -> Fault | None:
        found = await self._provider.look(kept.batch.id)
        if isinstance(found, Fault):
            if found.reason != "not_found":
                return self._out_of_reach(kept, found)
            if time.time() - kept.batch.created > GRACE_SECONDS:
                return NOT_FOUND
            return self._out_of_reach(kept, found._replace(kind="refused"))
        if not found.is_over:
            kept.failures = 0
        if kept.remote is None or kept.remote.status != found.status:
            log.info("batch %s: %s", found.id, found.status)
        kept.remote = found
        if found.status == "failed" and not found.files:
            return self._did_not_run(found)
        self._wait(kept, self._means.poll_seconds)
        return None

    async def _begun(self, kept: Kept, remote: Remote) -> None:
        if await self._enter(kept, kept.batch._replace(id=remote.id, state="running")):
            kept.remote = remote
            self._wait(kept, self._means.poll_seconds)
            log.info("batch %s began with %d questions", remote.id, kept.size)
            return
        batch = await self._writer.submit(lambda journal: journal.batches.get(kept.batch.runner))
        if batch and batch.state == "ended":  # set free while this process slept
            log.warning("batch %s began too late and is cancelled", remote.id)
            await self._provider.cancel(remote.id)

    def _not_begun(self, kept: Kept, fault: Fault) -> Fault | None:
        """Count a failure before a batch began; return that it is given up, if it is."""
        kept.failures += 1
        long = (fault.wait or 0.0) > LONGEST
        if fault.kind in ("final", "fatal"):
            if kept.file or fault.kind == "fatal":
                self.halt(fault)
            return NEVER_SENT
        if long or kept.failures >= MAX_TRIES:
            reason = "asks_to_wait_long" if long else "endpoint_down"
            self.halt(fault._replace(reason=reason))
            return NEVER_SENT
        self._wait(kept, fault.wait or FIRST_PAUSE * 2.0**kept.failures)
        return None

    def _out_of_reach(self, kept: Kept, fault: Fault) -> Fault | None:
        """Count a look at a batch that failed; the batch is not given up for that."""
        now = time.monotonic()
        if not kept.failures:
            kept.failing_since = now
            log.warning("cannot look at batch %s (%s); trying on",
                        kept.batch.id or kept.batch.runner, fault.reason)  # fmt: skip
        kept.failures += 1
        if fault.kind == "fatal":
            self.halt(fault)
        elif now - kept.failing_since > OUT_OF_REACH_SECONDS:
            self.halt(fault._replace(reason="endpoint_down"))
        self._wait(kept, fault.wait or min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**kept.failures))
        return None

    def _did_not_run(self, remote: Remote) -> Fault:
        """Return why a batch failed as a whole, with none of its questions asked."""
        fault = remote.fault or Fault("refused", "batch_failed")
        log.warning("batch %s was not run: %s", remote.id, fault.reason)
        if fault.reason == CROWDED:
            return fault._replace(kind="throttled")
        self._failed += 1
        if fault.kind == "fatal" or self._failed >= MAX_FAILED:
            self.halt(fault._replace(kind="fatal"))
        return fault

    async def _collect(self, kept: Kept, remote: Remote) -> AsyncIterator[Ended]:
        """Take the answers of a batch that is over; files that came in part are read again."""
        collection = Collection(kept.batch.runner, self._writer, self._means.price)
        gone = False
        for name in remote.files:
            file = await self._provider.download(name)
            if isinstance(file, Fault):
                if file.kind != "final" and file.reason != "not_found":
                    self._out_of_reach(kept, file)
                    return
                gone = True
                continue
            with file:
                async for ended in collection.read(file):
                    yield ended
        kept.readings += 1
        if not gone and collection.lost(remote.counts) and kept.readings < READINGS:
            self._out_of_reach(kept, Fault("ambiguous", "answers_missing"))
            return
        async for ended in collection.conclude(remote.counts, gone=gone):
            yield ended
        self._failed, kept.answers = 0, collection.answers
        kept.refusal = next((fault for fault, _ in collection.faults.most_common(1)), None)
        await self._end(kept)
        if remote.status == "cancelled":
            self.halt(Fault("final", "batch_cancelled"))

    async def _set_free(self, kept: Kept, fault: Fault) -> AsyncIterator[Ended]:
        """Let the questions of a batch that never ran be asked by anyone."""
        left = await self._writer.submit(lambda journal: journal.batches.waiting(kept.batch.runner))
        for part in portions(left.items(), FREED_AT_ONCE):
            if not await self._writer.submit(partial(self._freed, kept.batch.runner, part, fault)):
                self._pass_on(kept)
                return
            for key, number in part:
                yield Ended(key, number, fault=fault, asked=False)
        await self._end(kept)

    async def _lost(self, kept: Kept) -> AsyncIterator[Ended]:
        """Leave a batch alone that cannot be seen with this key; who made it may see it."""
        runner, name = kept.batch.runner, self.name
        left = await self._writer.submit(lambda journal: journal.batches.waiting(runner))
        await self._writer.submit(lambda journal: journal.batches.release(runner, name))
        kept.is_over = True
        for key, number in left.items():
            yield Ended(key, number, fault=NOT_FOUND, asked=False)

    async def _enter(self, kept: Kept, batch: Batch) -> bool:
        """Commit how far a batch is; false where another process looks after it by now."""
        name = self.name
        entered = await self._writer.submit(lambda journal: journal.batches.advance(batch, name))
        if entered is None:
            self._pass_on(kept)
            return False
        kept.batch = entered
        return True

    async def _end(self, kept: Kept) -> None:
        batch, name = kept.batch._replace(state="ended"), self.name
        if await self._writer.submit(partial(_ended, batch, name)):
            kept.is_over = True
        else:
            self._pass_on(kept)

    def _pass_on(self, kept: Kept) -> None:
        log.warning("another process looks after %s now", kept.batch.runner)
        kept.is_over = kept.is_passed_on = True

    def _freed(
        self, runner: str, part: Sequence[tuple[str, int]], fault: Fault, journal: RequestJournal
    ) -> bool:
        if journal.batches.adopt(runner, self.name) is None:
            return False
        for key, number in part:
            if fault.kind == "ambiguous":
                journal.doubt(key, number, fault.reason)
            else:
                journal.batches.give_back(key, number)
                journal.refuse(key, number, fault.reason)
        return True

    @staticmethod
    def _wait(kept: Kept, seconds: float) -> None:
        kept.due = time.monotonic() + seconds


def _ended(batch: Batch, keeper: str, journal: RequestJournal) -> bool:
    if journal.batches.advance(batch, keeper) is None:
        return False
    journal.leave(batch.runner)
    return True
