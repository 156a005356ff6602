"""How many requests at a time, and when: found out by watching the endpoint.

The number on their way grows while the endpoint keeps up (doubling in each round at first, then by
one a round) and is cut when it says "too many"; a cut counts once for the requests that were on
their way together. What the endpoint asked to wait holds for everything sent to it. Limits that the
user knows (requests or tokens a minute) are kept from the start.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

START: Final = 8
CUT: Final = 0.7
USED: Final = 0.8  # share of the limit that must be in use for it to grow
JITTER: Final = 0.1  # share by which a wait may be longer than asked; never shorter
# The circuit breaker: this many failures in a row open it; after a growing pause one request is let
# through. An endpoint is down when that failed so many times; sooner if it never answered at all.
BREAK_AFTER: Final = 10
FIRST_BREAK: Final = 1.0
LONGEST_BREAK: Final = 30.0
DOWN_AFTER: Final = 6
DOWN_AFTER_NEVER_UP: Final = 2


class Limits(NamedTuple):
    """What the user allows; 0 where there is no limit a minute."""

    concurrency: int
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


class Pace:
    """Hands out slots to requests of one endpoint; for one event loop."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._most = limits.concurrency
        self._now = now
        self.limit = float(min(START, limits.concurrency))
        self.in_flight = 0
        self.not_before = 0.0
        self._growing_fast = True
        self._cut_at = float("-inf")
        self.was_up = False
        self._failures = self._breaks = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._requests = Meter(limits.requests_per_minute / 60, now)
        self._tokens = Meter(limits.tokens_per_minute / 60, now)

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[float]:
        """Wait for a slot, and hold it; yields when it was taken, for `throttled`."""
        while self.in_flight >= int(self.limit):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()
                raise
        self.in_flight += 1
        try:
            await self._until(max(self._requests.take(1), self._tokens.take(tokens)))
            await self.open()
            yield self._now()
        finally:
            self.in_flight -= 1
            self._wake()

    async def open(self) -> None:
        """Wait as long as the endpoint asked."""
        while self.not_before > self._now():
            await self._until(self.not_before)

    def succeeded(self) -> None:
        """Let the number at a time grow, where that number is what holds requests back."""
        self.was_up, self._failures, self._breaks = True, 0, 0
        if self.in_flight < USED * int(self.limit):
            return
        step = 1.0 if self._growing_fast else 1.0 / self.limit
        self.limit = min(float(self._most), self.limit + step)

    def throttled(self, taken: float, wait: float | None) -> None:
        """Cut the number at a time, and hold everything for ``wait`` seconds.

        ``taken`` is when the request took its slot: those on their way at the last cut say nothing
        new.
        """
        if taken >= self._cut_at:
            self._growing_fast = False
            self._cut_at = self._now()
            self.limit = max(1.0, self.limit * CUT)
        self.hold(wait or 0.0)

    def failed(self, taken: float) -> bool:
        """Count a failure that no wait was asked for; return whether the endpoint is down.

        Many in a row open the circuit: everything pauses, then one request is let through.
        """
        self._failures += 1
        if self._failures < BREAK_AFTER or taken < self._cut_at:
            return False
        self._breaks += 1
        self._cut_at = self._now()
        self._growing_fast, self.limit = True, 1.0
        self.hold(min(LONGEST_BREAK, FIRST_BREAK * 2 ** (self._breaks - 1)))
        return self._breaks > (DOWN_AFTER if self.was_up else DOWN_AFTER_NEVER_UP)

    def hold(self, seconds: float) -> None:
        """Send nothing for ``seconds``, and a little more so that not all start together."""
        extra = 1 + random.random() * JITTER  # noqa: S311 - spreads requests, hides nothing
        self.not_before = max(self.not_before, self._now() + seconds * extra)

    async def _until(self, moment: float) -> None:
        wait = moment - self._now()
        if wait > 0:
            await asyncio.sleep(wait)

    def _wake(self) -> None:
        free = int(self.limit) - self.in_flight
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


class Meter:
    """Spaces what is taken so that a minute's share is kept; a second's worth may come at once."""

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        self._per_second, self._now = per_second, now
        self._free_at = 0.0

    def take(self, size: int) -> float:
        """Return the moment from which ``size`` may be used, which is then taken."""
        if not self._per_second:
            return 0.0
        start = max(self._free_at, self._now() - 1.0)
        self._free_at = start + size / self._per_second
        return start
