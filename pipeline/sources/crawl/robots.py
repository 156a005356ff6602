"""What robots.txt says of a site, by RFC 9309.

A file that is not there (any 4xx) allows everything. One that cannot be had (5xx, no connection,
more than five redirects) forbids everything until it can, and so do 408 and 429, by which a server
says that it had no time. So ``Robots`` is a file that was had, or one that is not there.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

SIZE: Final = 500 * 1024  # bytes that are read of the file (RFC 9309, 2.5)
FRESH: Final = 24 * 3_600.0  # seconds (RFC 9309, 2.4)
REDIRECTS: Final = 5


class Robots(NamedTuple):
    """The robots.txt of one origin: what it answered, and when (Unix time)."""

    origin: str
    status: int
    text: str = ""
    fetched: float = 0.0

    @property
    def said(self) -> str:
        """What a document keeps: that the file allowed it, or that there was none."""
        return "allowed" if self.status == 200 else f"no robots.txt ({self.status})"


class Rules:
    """A robots.txt, parsed, as one crawler reads it."""

    def __init__(self, robots: Robots, agent: str) -> None:
        from protego import Protego  # noqa: PLC0415 - only who crawls needs it

        self.robots = robots
        self._agent = agent
        self._parsed: Any = Protego.parse(robots.text)

    def allows(self, url: str) -> bool:
        """Return whether ``url`` may be fetched."""
        return bool(self._parsed.can_fetch(url, self._agent))

    @property
    def delay(self) -> float:
        """Seconds between two requests that the site asks for; 0 where it asks for nothing."""
        rate = self._parsed.request_rate(self._agent)
        spread = rate.seconds / rate.requests if rate and rate.requests else 0.0
        return max(float(self._parsed.crawl_delay(self._agent) or 0.0), float(spread))

    @property
    def sitemaps(self) -> tuple[str, ...]:
        """The sitemaps that the file names."""
        return tuple(dict.fromkeys(self._parsed.sitemaps))
