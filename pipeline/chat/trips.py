"""Questions on their way: what is asked, how it ended, and how often one is tried."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from pipeline.chat.faults import Fault
from pipeline.chat.replies import Reply
from pipeline.journal.entries import Cost, Question

MAX_TRIES: Final = 6
MAX_SECONDS: Final = 900.0  # of a question, from the first try to the last
FIRST_PAUSE: Final = 0.5  # seconds before the second try; doubles
LONGEST_PAUSE: Final = 60.0


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


class Trip:
    """One question on its way, which may take several tries."""

    def __init__(self, ask: Ask) -> None:
        self.ask, self.key = ask, ask.question.key
        self._tries = self._posts = 0
        self._start = time.monotonic()

    def ended_by(self, fault: Fault, *, resend: bool) -> bool:
        """Count a try that failed; return whether it was the last."""
        self._posts += 1
        self._tries += fault.kind != "throttled"
        if fault.kind in ("final", "fatal") or (fault.kind == "ambiguous" and not resend):
            return True
        late = time.monotonic() - self._start > MAX_SECONDS
        return self._tries >= MAX_TRIES or (late and (self._tries > 0 or self._posts >= MAX_TRIES))

    def pause(self, fault: Fault) -> float:
        """Return the seconds before another try; who is throttled waits for a slot instead."""
        if fault.kind == "throttled":
            return 0.0
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._tries - 1))
        return longest * (0.5 + random.random() / 2)  # noqa: S311 - spreads requests, hides nothing


class Tour:
    """The questions of one pass, in their order, and how they ended."""

    def __init__(
        self, asks: Iterable[Ask], judge: Judge, results: dict[str, Result],
        ended: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.judge = judge
        self.elsewhere: list[Ask] = []  # sent by another process, and not ended
        self._asks, self._results, self._ended = iter(asks), results, ended
        self._ready: deque[Ask] = deque()

    def take(self) -> Trip | None:
        """Return the next question; None at the end."""
        if self._ready:
            return Trip(self._ready.popleft())
        ask = next(self._asks, None)
        return None if ask is None else Trip(ask)

    def prepare(self) -> None:
        """Make a question ready that will be taken later."""
        ask = next(self._asks, None)
        if ask is not None:
            self._ready.append(ask)

    def end(self, trip: Trip, result: Result | None) -> None:
        """Enter how a question ended; None where another process has it."""
        if result is None:
            self.elsewhere.append(trip.ask)
        else:
            self._results[trip.key] = result
            self._ended(result.state)
