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
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

START: Final = 16
CUT: Final = 0.7
USED: Final = 0.8  # share of the limit that must be in use for it to grow
JITTER: Final = 0.1  # share by which a wait may be longer than asked; never shorter
# An endpoint that says "too many" and not for how long gets a pause that doubles, and is given up
# when so many cuts in a row, over so many seconds, let nothing through.
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 60.0
GIVE_UP_CUTS: Final = 6
GIVE_UP_SECONDS: Final = 900.0
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
        self.now = now
        self.limit = float(min(START, limits.concurrency))
        self.in_flight = 0
        self.not_before = 0.0
        self.was_up = False
        self._growing_fast = True
        self._cut_at = float("-inf")
        self._cuts, self._cut_since = 0, 0.0  # in a row, with nothing let through between
        self._failures = self._breaks = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._stopped = asyncio.Event()
        self._metered = bool(limits.requests_per_minute or limits.tokens_per_minute)
        self._requests = Meter(limits.requests_per_minute, now)
        self._tokens = Meter(limits.tokens_per_minute, now)

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake()
        try:
            await turn
            await self.until(max(self._requests.take(1), self._tokens.take(tokens)))
            await self.open()
            yield
        finally:
            self.in_flight -= turn.done() and not turn.cancelled()
            self._wake()

    @property
    def goes_on(self) -> bool:
        """Whether a slot whose request has ended may serve another at once."""
        fits = not self._waiting and self.in_flight <= int(self.limit)
        return fits and not self._metered and self.not_before <= self.now()

    async def open(self) -> None:
        """Wait as long as the endpoint asked."""
        while self.not_before > self.now() and not self._stopped.is_set():
            await self.until(self.not_before)

    async def until(self, moment: float) -> None:
        """Wait until ``moment``, or until there is nothing more to wait for."""
        wait = moment - self.now()
        if wait > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), wait)

    async def pause(self, seconds: float) -> None:
        """Wait for ``seconds``, or until there is nothing more to wait for."""
        await self.until(self.now() + seconds)

    def stop(self) -> None:
        """End every wait now and from now on."""
        self._stopped.set()

    def unused(self, tokens: int) -> None:
        """Give back tokens that a request was given and did not use."""
        self._tokens.give_back(tokens)

    def succeeded(self) -> None:
        """Let the number at a time grow, where that number is what holds requests back."""
        self.was_up, self._failures, self._breaks, self._cuts = True, 0, 0, 0
        if not self._waiting and self.in_flight < USED * int(self.limit):
            return
        step = 1.0 if self._growing_fast else 1.0 / self.limit
        self.limit = min(float(self._most), self.limit + step)
        self._wake()

    def throttled(self, taken: float, wait: float | None) -> bool:
        """Cut the number at a time, and hold everything for ``wait`` seconds.

        ``taken`` is when the request was sent: those on their way at the last cut say nothing new.
        Returns whether the endpoint lets nothing through for so long that it is given up.
        """
        if taken > self._cut_at:
            self._growing_fast = False
            self._cut_at = self.now()
            self.limit = max(1.0, self.limit * CUT)
            self._cut_since = self._cut_since if self._cuts else self._cut_at
            self._cuts += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._cuts - 1, 16))
        self.hold(pause if wait is None else wait)
        long = self.now() - self._cut_since > GIVE_UP_SECONDS
        return self._cuts >= GIVE_UP_CUTS and long

    def failed(self, taken: float) -> bool:
        """Count a failure that no wait was asked for; return whether the endpoint is down.

        Many in a row open the circuit: everything pauses, then one request is let through.
        """
        self._failures += 1
        if self._failures < BREAK_AFTER or taken <= self._cut_at:
            return False
        self._breaks += 1
        self._cut_at = self.now()
        self._growing_fast, self.limit = True, 1.0
        self.hold(min(LONGEST_BREAK, FIRST_BREAK * 2 ** (self._breaks - 1)))
        return self._breaks > (DOWN_AFTER if self.was_up else DOWN_AFTER_NEVER_UP)

    def hold(self, seconds: float) -> None:
        """Send nothing for ``seconds``, and a little more so that not all start together."""
        extra = 1 + random.random() * JITTER  # noqa: S311 - spreads requests, hides nothing
        self.not_before = max(self.not_before, self.now() + seconds * extra)

    def _wake(self) -> None:
        """Give the slots that are free to those who wait."""
        while self._waiting and self.in_flight < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self.in_flight += 1


class Meter:
    """Spaces what is taken so that no minute has more than its share.

    A second's worth may come at once, so that what was late catches up; a minute then has room for
    that of 61 seconds.
    """

    def __init__(self, per_minute: int, now: Callable[[], float]) -> None:
        self._per_second, self._now = per_minute / 61.0, now
        self._free_at = now()

    def take(self, size: int) -> float:
        """Return the moment from which ``size`` may be used, which is then taken."""
        if not self._per_second:
            return 0.0
        start = max(self._free_at, self._now() - 1.0)
        self._free_at = start + size / self._per_second
        return start

    def give_back(self, size: int) -> None:
        """Take note that ``size`` of what was taken is not used."""
        if self._per_second:
            self._free_at -= size / self._per_second
