"""The limits that the endpoint enforces, and the headers that tell of them."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tests.endpoint.refusals import span, told_to_wait, too_many
from tests.endpoint.script import Limits
from tests.endpoint.wire import Reply


class Spent(NamedTuple):
    """One request that was let through."""

    moment: float
    tokens: int


class Gate:
    """Lets requests through while those of the last window stay within the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._spent: deque[Spent] = deque()
        self._tokens = 0

    def refusal(self, moment: float, tokens: int, in_flight: int) -> Reply | None:
        """Return a 429 when a request of so many tokens is too much now, else count it.

        Args:
            moment: now, on the monotonic clock.
            tokens: of the prompt and the most that may be answered.
            in_flight: requests under way, this one included.
        """
        limits = self._limits
        if limits.concurrency is not None and in_flight > limits.concurrency:
            return _too_many(f"more than {limits.concurrency} requests at a time", 0.0)
        self._forget(moment)
        if limits.requests is not None and len(self._spent) >= limits.requests:
            return _too_many("requests", self._until(moment, tokens))
        if limits.tokens is not None and self._tokens + tokens > limits.tokens:
            return _too_many("tokens", self._until(moment, tokens))
        if limits.requests is not None or limits.tokens is not None:
            self._spent.append(Spent(moment, tokens))
            self._tokens += tokens
        return None

    def headers(self, moment: float) -> dict[str, str]:
        """Return what is left, as OpenAI's headers tell it; nothing when nothing is limited."""
        headers: dict[str, str] = {}
        spent = {"requests": len(self._spent), "tokens": self._tokens}
        for name, limit in (("requests", self._limits.requests), ("tokens", self._limits.tokens)):
            if limit is not None:
                first = self._spent[0].moment if self._spent else moment
                headers |= {
                    f"x-ratelimit-limit-{name}": f"{limit:g}",
                    f"x-ratelimit-remaining-{name}": f"{max(limit - spent[name], 0):g}",
                    f"x-ratelimit-reset-{name}": span(max(first + self._limits.window - moment, 0)),
                }
        return headers

    def _forget(self, moment: float) -> None:
        while self._spent and self._spent[0].moment <= moment - self._limits.window:
            self._tokens -= self._spent.popleft().tokens

    def _until(self, moment: float, tokens: int) -> float:
        """Return in how many seconds the request would be let through."""
        count, total, wait = len(self._spent), self._tokens, 0.0
        for spent in self._spent:
            requests, most = self._limits.requests, self._limits.tokens
            few = requests is None or count < requests
            if few and (most is None or total + tokens <= most):
                break
            count, total = count - 1, total - spent.tokens
            wait = spent.moment + self._limits.window - moment
        return wait


def _too_many(what: str, wait: float) -> Reply:
    reply = too_many(what)
    return told_to_wait(reply, "float", wait) if wait else reply
