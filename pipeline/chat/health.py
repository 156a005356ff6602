"""When to stop asking an endpoint: what single faults do not show, and many together do."""

from __future__ import annotations

from typing import Final

from pipeline.chat.faults import Fault
from pipeline.chat.pace import Pace
from pipeline.chat.waiting import LONGEST

# It is no chat endpoint when more than so many things came that are no answer, and never an answer;
# it is not there when so many connections in a row failed, and never one succeeded; it takes
# nothing when it refused so many questions in a row for what is not in their texts.
GARBLED_AT_MOST: Final = 2
UNREACHED: Final = 3
REFUSED: Final = 12
ABOUT_THE_TEXT: Final = frozenset({"too_long", "content_filter"})


class Health:
    """What is known of an endpoint from all its answers; tells the pace what they mean for it."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._unreached = self._refused = 0  # in a row
        self._garbled = 0  # before the first answer
        self.unbilled: list[tuple[str, int]] = []  # of these, question and attempt

    def asked_to_wait(self, wait: float | None) -> None:
        """Take note of how long an endpoint that answered wants to be left alone, if it says so."""
        if wait:
            self._pace.hold(min(wait, LONGEST))

    def answered(self) -> None:
        """Take note of an answer."""
        self._unreached = self._refused = 0
        self._pace.succeeded()

    def answered_garbled(self, unbilled: tuple[str, int] | None) -> Fault | None:
        """Take note of an answer that is none; return why to stop, if that is to be done.

        ``unbilled`` is the question and the attempt, where nothing can have been billed.
        """
        if self._pace.was_up:
            return None
        self._garbled += 1
        self.unbilled += [unbilled] if unbilled else []
        return self.verdict() if self._garbled > GARBLED_AT_MOST else None

    def verdict(self) -> Fault | None:
        """Return that this is no chat endpoint, if nothing that came was an answer."""
        if self._garbled and not self._pace.was_up:
            return Fault("fatal", "no_chat_endpoint")
        return None

    def failed(self, fault: Fault, taken: float) -> Fault | None:
        """Take note of a fault of a request that took its slot at ``taken``; return why to stop."""
        up = self._pace.was_up
        forbidden = fault.reason == "forbidden" and up  # perhaps for what is in the text
        self._unreached = self._unreached + 1 if fault.reason == "cannot_connect" else 0
        if forbidden or (fault.kind == "final" and fault.reason not in ABOUT_THE_TEXT):
            self._refused += 1
        if (fault.kind == "fatal" and not forbidden) or self._refused >= REFUSED:
            return fault
        if (fault.wait or 0.0) > LONGEST:
            return fault._replace(reason="asks_to_wait_long")
        if fault.kind == "throttled" and self._pace.throttled(taken, fault.wait):
            return fault._replace(reason="keeps_refusing")
        down = fault.kind in ("refused", "ambiguous") and self._pace.failed(taken)
        if down or (self._unreached >= UNREACHED and not up):
            return fault._replace(reason="endpoint_down")
        return None
