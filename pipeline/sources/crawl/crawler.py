"""The loop of a crawl: one request at a time to each host, several hosts at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Final

from pipeline.progress import Progress
from pipeline.sections import WebSettings
from pipeline.sources.crawl.access import TRIES, Access, Later
from pipeline.sources.crawl.fetching import MEGABYTE, FetchError, Response, Wanted
from pipeline.sources.crawl.frontier import Found, Frontier, Visit
from pipeline.sources.crawl.locations import Scope
from pipeline.sources.crawl.mirror import Mirror, Page
from pipeline.sources.crawl.reading import Reader, unwanted
from pipeline.sources.crawl.robots import Rules

log = logging.getLogger(__name__)

_SAY_EVERY: Final = 15.0  # seconds


class Crawler:
    """Visits what waits in a frontier until nothing does, or until a limit of this run."""

    def __init__(
        self, settings: WebSettings, mirror: Mirror, frontier: Frontier, access: Access,
        reader: Reader,
    ) -> None:  # fmt: skip
        self._settings, self._mirror, self._frontier = settings, mirror, frontier
        self._access, self._reader = access, reader
        self._scope = Scope.of(settings)
        self._tries: Counter[str] = Counter()
        self._left: set[str] = set()  # hosts that want to be left alone for longer than we wait
        self._said = time.monotonic()

    async def run(self) -> None:
        """Crawl. What was fetched is kept whatever ends this."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._settings.seconds, self._access.stopped.set)
        try:
            with Progress("crawl", 0, "page") as progress:
                await self._until_empty(progress)
                while not self._unfinished() and self._revive():
                    await self._until_empty(progress)
        finally:
            timer.cancel()
        if self._unfinished():
            log.warning("crawl: %d URLs wait for the next run", self._frontier.waiting)
            return
        with self._mirror.transaction():
            self._frontier.end()
        self._mirror.tidy()

    def _unfinished(self) -> bool:
        return bool(self._access.stopped.is_set() or self._left)

    def _revive(self) -> int:
        with self._mirror.transaction():
            return self._frontier.revive()

    async def _until_empty(self, progress: Progress) -> None:
        busy: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                for host in self._idle(busy.values()):
                    busy[asyncio.create_task(self._one(host))] = host
                if not busy:
                    return
                done, _ = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del busy[task]
                    task.result()
                    self._show(progress)
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    def _idle(self, busy: Collection[str]) -> list[str]:
        """Return the hosts to begin with."""
        if self._access.stopped.is_set():
            return []
        free = [host for host in self._frontier.hosts() if host not in busy]
        hosts = [host for host in free if host not in self._left]
        left = max(1, self._settings.pages - self._frontier.taken)  # one, to refuse what waits
        return hosts[: max(0, min(self._settings.concurrency, left) - len(busy))]

    async def _one(self, host: str) -> None:
        """Visit one URL of a host, and enter what became of it."""
        with self._mirror.transaction():
            visit = self._frontier.next(host)
        if visit is None:
            return
        try:
            found = await self._visit(visit)
        except Later:
            self._left.add(host)
            self._frontier.again(visit)
            return
        except FetchError as error:
            self._tries[visit.url] += 1
            if error.worth_trying and self._tries[visit.url] < TRIES:
                self._access.pace.hold(host, error.wait, self._tries[visit.url])
                self._frontier.again(visit)
                return
            found = await self._failed(visit, error)
        with self._mirror.transaction():
            self._frontier.done(visit, found)

    async def _failed(self, visit: Visit, error: FetchError) -> Found:
        """Return the copy of the last round where the failure says nothing of the page."""
        known = self._mirror.page(visit.url) if visit.kept and not error.lasting else None
        if known is None:
            return Found(reason=error.reason, detail=error.detail)
        log.warning("crawl: %s: %s; the copy of %s is kept", visit.url, error, known.checked_at)
        return self._taken(visit, await self._reader.held(known))

    async def _visit(self, visit: Visit) -> Found:
        rules = await self._access.rules(visit.url)
        if not rules.allows(visit.url):
            detail = f"{rules.robots.origin}/robots.txt disallows it"
            return Found(reason="robots", detail=detail)
        if self._settings.sitemap and visit.depth == 0 and visit.kind == "page":
            self._add_maps(rules)
        known = self._mirror.page(visit.url)
        wanted = Wanted(
            visit.url,
            _conditions(known),
            int(self._settings.page_megabytes * MEGABYTE),
            partial(unwanted, url=visit.url),
        )
        response = await self._access.get(wanted)
        return await self._answered(visit, response, known, rules.robots.said)

    async def _answered(
        self, visit: Visit, response: Response, known: Page | None, robots: str
    ) -> Found:
        status = response.status
        if status == 200:
            return self._taken(visit, await self._reader.fetched(visit, response, robots))
        if status == 304 and known:
            return self._taken(visit, await self._reader.unchanged(known, robots))
        target = response.headers.get("Location", "")
        if 300 <= status < 400 and target:
            return Found(moved=target, reason="redirect", detail=f"to {target[:500]}")
        return Found(reason=f"http_{status}", detail=f"the site answers {status}")

    def _taken(self, visit: Visit, found: Found) -> Found:
        """Return what was found, less what the patterns leave out: a start page can be."""
        if not found.kept or self._scope.takes(visit.url):
            return found
        detail = "read for its links; left out by collect.web.include or exclude"
        return found._replace(kept=False, reason="pattern", detail=detail)

    def _add_maps(self, rules: Rules) -> None:
        origin = rules.robots.origin
        named = rules.sitemaps
        with self._mirror.transaction():
            for url in named:
                self._frontier.add(url, origin, 0, 1, "map")
            if not named:
                self._frontier.add("/sitemap.xml", origin, 0, 1, "guess")

    def _show(self, progress: Progress) -> None:
        frontier, received = self._frontier, f"{self._access.received / MEGABYTE:.1f}"
        more = frontier.taken - progress.done
        progress.advance(max(0, more), waiting=str(frontier.waiting), MB=received)
        if time.monotonic() - self._said > _SAY_EVERY:
            self._said = time.monotonic()
            counts = (frontier.taken, frontier.waiting, received)
            log.info("crawl: %d pages, %d URLs wait, %s MB", *counts)


def _conditions(page: Page | None) -> dict[str, str]:
    """Return the headers that ask for a page only if it has changed."""
    if page is None:
        return {}
    asked = {"If-None-Match": page.etag, "If-Modified-Since": page.modified}
    return {name: value for name, value in asked.items() if value}
