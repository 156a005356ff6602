"""One call's questions on their way through batches: which wait, where each is, how it ended."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Final

from pipeline.chat.batches import claims
from pipeline.chat.batches.collecting import Ended, portions
from pipeline.chat.batches.desk import Desk
from pipeline.chat.batches.keeper import CROWDED, NOT_FOUND
from pipeline.chat.batches.kept import Kept
from pipeline.chat.batches.provider import LARGEST_FILE
from pipeline.chat.faults import Fault
from pipeline.chat.health import ABOUT_THE_TEXT, REFUSED
from pipeline.chat.prices import reserve_in_batch
from pipeline.chat.trips import Ask, Judge, Result, Verdict
from pipeline.journal.entries import Known

log = logging.getLogger(__name__)

MOST_BATCHES: Final = 3  # that a question may be in, one after the other
LOOKED_UP: Final = 500  # questions that are looked up or claimed at a time
ELSEWHERE_PAUSE: Final = 2.0  # seconds between looks at questions that other processes have sent


class Round:
    """Questions in the order given, until each has ended or asking stops."""

    def __init__(self, desk: Desk, asks: Iterable[Ask], judge: Judge) -> None:
        self._desk, self._judge, self._asks = desk, judge, iter(asks)
        self._size = desk.settings.batch_size
        self._again: deque[str] = deque()  # to be looked at before others are
        self._wanted: set[str] = set()  # taken from the asks, and not ended
        self._elsewhere: set[str] = set()  # sent by other processes
        self._failures: Counter[str] = Counter()  # batches that a question failed in
        self._open: dict[str, Kept] = {}
        self._most_open = math.inf
        self._exhausted = self._short = False  # no question is left; no money is
        self._fill_at = self._look_at = 0.0
        self._results: dict[str, Result] = {}

    async def run(self) -> None:
        """Ask until all has ended, or the engine is stopped."""
        direct = self._desk.direct
        try:
            while not self._desk.engine.stopped:
                await self._fill()
                out = self._open or direct.task
                if self._short and not out:
                    self._desk.keeper.halt(Fault("final", "budget_ended"))
                elif not (out or self._elsewhere or self._again) and self._exhausted:
                    return
                else:
                    await self._wait()
                    await self._tend()
        finally:
            if direct.task:
                direct.engine.stop(Fault("final", "interrupted"))
                await asyncio.wait({direct.task})
                self._take_direct()

    def close(self) -> dict[str, Result]:
        """Return how each question ended; those that have not are unasked, for the same reason."""
        stopped = self._desk.engine.stopped
        for kept in self._open.values():
            kept.close()
        if self._open:
            count = sum(kept.size for kept in self._open.values())
            log.warning(
                "%d questions stay at the provider, which goes on with them (batches: %d); "
                "the same command takes their answers", count, len(self._open),
            )  # fmt: skip
        unasked = Result("unasked", Verdict(reason=stopped.reason if stopped else ""))
        for key in [*self._wanted, *(ask.question.key for ask in self._asks)]:
            self._end(key, unasked)
        return self._results

    async def _fill(self) -> None:
        """Send what can be sent now."""
        settings, direct = self._desk.settings, self._desk.direct
        while self._may_send():
            ready = await self._ready()
            if settings.batch and len(ready) >= min(settings.batch_least, self._size):
                await self._send(ready)
            elif ready and direct.task is None:
                direct.begin(ready, map(self._desk.spool.ask, ready), self._judge)
            else:
                self._again.extendleft(reversed(ready))
                return

    def _may_send(self) -> bool:
        busy = self._desk.direct.task and not self._desk.settings.batch
        crowded = len(self._open) >= self._most_open or time.monotonic() < self._fill_at
        return not (self._short or busy or crowded or self._desk.engine.stopped)

    async def _ready(self) -> list[str]:
        """Return questions that can be claimed, as many as a batch takes."""
        ready: list[str] = []
        while len(ready) < self._size:
            keys = self._take(min(LOOKED_UP, self._size - len(ready)))
            if not keys:
                break
            ready += await self._look(keys)
        size = sum(map(self._desk.spool.size, ready))
        while size > LARGEST_FILE:
            size -= self._desk.spool.size(ready[-1])
            self._again.appendleft(ready.pop())
        return ready

    def _take(self, count: int) -> list[str]:
        keys = [self._again.popleft() for _ in range(min(count, len(self._again)))]
        new = list(islice(self._asks, count - len(keys)))
        self._exhausted = len(keys) + len(new) < count
        for ask in new:
            self._desk.spool.add(ask)
            self._wanted.add(ask.question.key)
            keys.append(ask.question.key)
        return list(dict.fromkeys(keys))

    async def _look(self, keys: Sequence[str]) -> list[str]:
        """Return which of ``keys`` can be claimed; enter of the others how they ended, or where."""
        known, holders = await self._desk.writer.submit(partial(claims.looked_up, keys))
        for runner in sorted(set(holders.values()) - self._open.keys()):
            await self._adopt(runner)
        free = []
        for key in keys:
            if key in holders:
                here = holders[key] in self._open
                (self._elsewhere.discard if here else self._elsewhere.add)(key)
                continue
            self._elsewhere.discard(key)
            result = self._desk.engine.known(key, known[key], self._judge)
            if result is None or (result.state == "uncertain" and self._desk.asking.resend):
                free.append(key)
            else:
                self._end(key, result)
        return free

    async def _adopt(self, runner: str) -> None:
        """Look after a batch from now on that nobody else does."""
        found = await self._desk.writer.submit(
            partial(claims.adopted, runner, self._desk.keeper.name)
        )
        if found:
            batch, size = found
            self._open[runner] = Kept(batch, size)
            log.info("%d questions are in the batch %s already", size, batch.id or batch.runner)

    async def _send(self, keys: Sequence[str]) -> None:
        """Claim questions for a batch, and begin it."""
        runner, batch = f"batch-{uuid.uuid4().hex}", None
        asking = self._desk.asking._replace(runner=runner)
        refused: dict[str, str] = {}
        for part in portions(keys, LOOKED_UP):
            offers = {key: reserve_in_batch(self._desk.spool.reserve(key)) for key in part}
            offer = claims.Offer(asking, offers, self._desk.keeper.opening(runner))
            batch, found = await self._desk.writer.submit(partial(claims.claimed, offer))
            refused |= found
            self._short = "budget" in found.values()
            if self._short:
                break
        claimed = [key for key in keys if refused.get(key) == ""]
        self._again.extendleft(reversed([key for key in keys if refused.get(key) != ""]))
        if batch:
            kept = Kept(batch, len(claimed), self._desk.spool.file(claimed))
            self._open[runner] = kept
            await self._step(kept)

    async def _wait(self) -> None:
        """Wait until there is something to look at."""
        now = time.monotonic()
        moments = [kept.due for kept in self._open.values()]
        moments += [self._look_at] if self._elsewhere else []
        moments += [self._fill_at] if self._fill_at > now else []
        seconds = max(0.0, min(moments) - now) if moments else None
        if self._desk.direct.task:
            await asyncio.wait({self._desk.direct.task}, timeout=seconds)
        else:
            await asyncio.sleep(seconds or 0.0)

    async def _tend(self) -> None:
        """Look at what is due."""
        for kept in list(self._open.values()):
            if kept.due <= time.monotonic() and not self._desk.engine.stopped:
                await self._step(kept)
        if self._desk.direct.task and self._desk.direct.task.done():
            self._take_direct()
        if self._elsewhere and self._look_at <= time.monotonic():
            for part in portions(sorted(self._elsewhere), LOOKED_UP):
                self._again.extend(await self._look(part))
            pause = min(ELSEWHERE_PAUSE, self._desk.settings.batch_poll_seconds)
            self._look_at = time.monotonic() + pause

    async def _step(self, kept: Kept) -> None:
        crowded = False
        async for ended in self._desk.keeper.step(kept):
            self._desk.shown[kept.batch.runner] = kept.done
            crowded = crowded or (ended.fault is not None and ended.fault.reason == CROWDED)
            self._hear(ended)
        self._desk.shown[kept.batch.runner] = kept.done
        if kept.is_over:
            self._close(kept, crowded=crowded)

    def _hear(self, ended: Ended) -> None:
        """Enter how a question of a batch ended, if this call is about it."""
        key, fault = ended.key, ended.fault
        if fault:
            self._desk.engine.last_fault = fault
            if fault.kind == "fatal":
                self._desk.keeper.halt(fault)
        if key not in self._wanted:
            return
        if fault is None:
            known = Known("received", "", ended.number, ended.number, ended.body)
            result = self._desk.batched.known(key, known, self._judge)
            self._end(key, result or Result("uncertain", Verdict(reason="answer_damaged")))
        elif self._may_be_asked_again(ended, fault):
            self._desk.engine.tally.retried += 1
            self._again.append(key)
        else:
            state = "uncertain" if fault.kind == "ambiguous" else "failed"
            self._end(key, Result(state, Verdict(reason=fault.reason)))

    def _may_be_asked_again(self, ended: Ended, fault: Fault) -> bool:
        self._failures[ended.key] += ended.asked
        if fault.kind in ("final", "fatal") or self._failures[ended.key] >= MOST_BATCHES:
            return False
        return fault.kind != "ambiguous" or (self._desk.asking.resend and fault != NOT_FOUND)

    def _close(self, kept: Kept, *, crowded: bool) -> None:
        """Draw the conclusions from a batch that is over."""
        kept.close()
        del self._open[kept.batch.runner]
        self._short = False
        if kept.is_passed_on:
            here = {*self._again, *self._desk.direct.keys}
            self._elsewhere |= self._wanted - here
        elif crowded and self._open:
            self._most_open = len(self._open)
        elif crowded:
            self._size = max(1, kept.size // 2)
            self._fill_at = time.monotonic() + self._desk.settings.batch_poll_seconds
            if kept.size == 1:
                self._desk.keeper.halt(Fault("fatal", CROWDED))
        else:
            self._most_open += 1
        refusal = kept.refusal if not kept.answers and kept.size >= REFUSED else None
        if refusal and refusal.kind == "final" and refusal.reason not in ABOUT_THE_TEXT:
            self._desk.keeper.halt(refusal)

    def _take_direct(self) -> None:
        """Enter how the questions ended that were asked one by one."""
        direct, engine = self._desk.direct, self._desk.engine
        stopped = direct.engine.stopped
        self._short = stopped is not None and stopped.reason == "budget_ended" and bool(self._open)
        for key, result in direct.take().items():
            if self._short and result.state == "unasked":  # until a batch has been paid
                engine.tally.states -= Counter(unasked=1)
                self._again.append(key)
            else:
                self._wanted.discard(key)
                self._results[key] = result
        engine.last_fault = direct.engine.last_fault or engine.last_fault
        if self._short:
            direct.renew()
        elif stopped:
            self._desk.keeper.halt(stopped)

    def _end(self, key: str, result: Result) -> None:
        self._wanted.discard(key)
        self._elsewhere.discard(key)
        self._results[key] = result
        self._desk.engine.tally.ended(result.state)
