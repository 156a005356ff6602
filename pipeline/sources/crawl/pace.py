"""When a host may be asked again: a gap between requests, and every wait that a site asks for.

The times are kept in the mirror, so a run that begins just after another one waits as well.
"""

from __future__ import annotations

import time
from typing import Final

from pipeline.sources.crawl.mirror import Mirror

LONGEST: Final = 600.0  # seconds a run waits for one host; who asks for more is left for the next
_BACKOFF: Final = 60.0  # seconds


class Pace:
    """The hosts of a crawl and when each may be asked next (Unix time)."""

    def __init__(self, mirror: Mirror, rate: float) -> None:
        self._mirror = mirror
        self._gap = 1.0 / rate
        self._delays: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._next: dict[str, float] = {}

    def delay(self, host: str, seconds: float) -> None:
        """Heed a Crawl-delay that is longer than our own gap."""
        self._delays[host] = seconds
        if host in self._asked:
            self._set(host, max(self._next[host], self._asked[host] + seconds))

    def wait(self, host: str) -> float:
        """Return the seconds until ``host`` may be asked."""
        if host not in self._next:
            found = self._mirror.rows("select not_before from host where name = ?", (host,))
            self._next[host] = found[0][0] if found else 0.0
        return max(0.0, self._next[host] - time.time())

    def asked(self, host: str) -> None:
        """Count a request that begins now."""
        self._set(host, self.answered(host))

    def answered(self, host: str) -> float:
        """Count the gap from now on, so that it is one to the site too; return when it ends."""
        self._asked[host] = time.time()
        self._next[host] = self._asked[host] + max(self._gap, self._delays.get(host, 0.0))
        return self._next[host]

    def hold(self, host: str, seconds: float | None, tries: int) -> None:
        """Leave a host alone for as long as it asks, else for longer after each failure."""
        pause = min(self._gap * 2.0**tries, _BACKOFF) if seconds is None else seconds
        self._set(host, max(self._next.get(host, 0.0), time.time() + pause))

    def _set(self, host: str, moment: float) -> None:
        self._next[host] = moment
        self._mirror.rows("insert or replace into host values (?, ?)", (host, moment))
