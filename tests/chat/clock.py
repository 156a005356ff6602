"""An event loop whose time passes as soon as there is nothing else to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
RESOLUTION = 1e-9  # seconds that a wait takes at the least


class Selector(selectors.SelectSelector):
    """Does not wait for time to pass, but says how much would have."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            message = "nothing will ever happen"
            raise RuntimeError(message)
        if not ready and timeout:
            self.seconds += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """Runs coroutines that only wait; ``time`` is seconds since its start."""

    def __init__(self) -> None:
        self._waits = Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        return self._waits.seconds

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Let time pass even in a wait so short that adding it changes nothing."""
        return super().call_at(
            max(when, self.time() + RESOLUTION), callback, *args, context=context
        )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns, without waiting for its pauses."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)


def now() -> float:
    """Return the seconds that passed in the running loop."""
    return asyncio.get_running_loop().time()
