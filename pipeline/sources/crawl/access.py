"""Asking a site: when its robots.txt allows it, and when it is its turn."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from yarl import URL

from pipeline.chat.waiting import wait_asked
from pipeline.sections import WebSettings
from pipeline.sources.crawl import robots
from pipeline.sources.crawl.fetching import Client, FetchError, Response, Wanted
from pipeline.sources.crawl.locations import Refused, Scope, canonical, host_of, origin_of
from pipeline.sources.crawl.mirror import Mirror
from pipeline.sources.crawl.pace import LONGEST, Pace

TRIES: Final = 3


class Later(Exception):  # noqa: N818 - reads as what it is
    """The request is not sent in this run: the run ends, or the site wants to be left alone."""


class Access:
    """The way to all sites of a crawl."""

    def __init__(self, client: Client, mirror: Mirror, settings: WebSettings) -> None:
        self.stopped = asyncio.Event()
        self.received = 0  # bytes of bodies
        self.pace = Pace(mirror, settings.rate)
        self._client, self._mirror, self._settings = client, mirror, settings
        self._ports = Scope.of(settings).ports
        self._rules: dict[str, robots.Rules] = {}
        self._closed: dict[str, FetchError] = {}
        self._tries: Counter[str] = Counter()

    async def get(self, wanted: Wanted) -> Response:
        """Return the answer to a request, sent when its host may be asked.

        Raises:
            FetchError: when there is no answer, or one that says to come back.
            Later: when it is not sent.
        """
        host = host_of(wanted.url)
        if URL(wanted.url).port not in self._ports:
            raise FetchError("port", "neither a port of the web nor that of a start URL")
        while (wait := self.pace.wait(host)) > 0:
            await self._sleep(wait)
        if self.stopped.is_set():
            raise Later
        self.pace.asked(host)
        try:
            response = await self._client.get(wanted)
        finally:
            self.pace.answered(host)
        self.received += response.received
        if self.received >= self._settings.megabytes * 1_000_000:
            self.stopped.set()
        if response.status in (408, 429) or response.status >= 500:
            asked = wait_asked(response.headers, time.time())
            raise FetchError(f"http_{response.status}", "after several tries", asked)
        return response

    async def _sleep(self, seconds: float) -> None:
        if seconds > LONGEST:
            raise Later
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopped.wait(), seconds)
        if self.stopped.is_set():
            raise Later

    async def rules(self, url: str) -> robots.Rules:
        """Return what the robots.txt of the origin of ``url`` says, asking for it once a day.

        Raises:
            FetchError: when nothing may be fetched there because the file cannot be had.
            Later: when it is not asked for.
        """
        origin = origin_of(url)
        if origin in self._closed:
            raise self._closed[origin]
        if origin not in self._rules:
            rules = robots.Rules(await self._robots(origin), self._settings.user_agent)
            self.pace.delay(host_of(url), rules.delay)
            self._rules[origin] = rules
        return self._rules[origin]

    async def _robots(self, origin: str) -> robots.Robots:
        known = self._mirror.robots(origin)
        if known and time.time() - known.fetched < robots.FRESH:
            return known
        try:
            fetched = await self._fetch_robots(origin)
        except FetchError as error:
            self._tries[origin] += 1
            if not error.worth_trying or self._tries[origin] >= TRIES:
                self._closed[origin] = error
            raise
        self._mirror.save_robots(fetched)
        return fetched

    async def _fetch_robots(self, origin: str) -> robots.Robots:
        url = f"{origin}/robots.txt"
        for _ in range(robots.REDIRECTS + 1):
            try:
                response = await self.get(Wanted(url, {}, robots.SIZE, cut=True))
            except FetchError as error:
                if not error.reason.startswith("http_"):
                    raise
                detail = f"{url} answers {error.reason.removeprefix('http_')}"
                raise FetchError("robots_unreachable", detail, error.wait) from error
            if not 300 <= response.status < 400:
                text = response.body.decode("utf-8", "replace").removeprefix("\ufeff")
                return robots.Robots(origin, response.status, text, time.time())
            url = _target(url, response.headers)
        raise FetchError("robots_unreachable", f"{origin}/robots.txt redirects again and again")


def _target(url: str, headers: Mapping[str, str]) -> str:
    try:
        return canonical(headers.get("Location", ""), url)
    except Refused as refusal:
        raise FetchError("robots_unreachable", f"{url} redirects to nowhere") from refusal
