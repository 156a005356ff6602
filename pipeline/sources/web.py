"""Web sites: pages that are reached from start URLs, sitemaps and feeds, as their owners allow.

`refresh` crawls into a mirror on the shelf, asking only for what has changed; `read` takes text
out of that mirror. How far and how politely: `collect.web`, and docs/sources.md.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from pipeline.chat.running import run
from pipeline.errors import ConfigError, NotFetchedError
from pipeline.records import Document, Dropped, digest_of, text_id
from pipeline.sections import CollectSettings, WebSettings
from pipeline.sources.crawl.access import Access
from pipeline.sources.crawl.crawler import Crawler
from pipeline.sources.crawl.fetching import MEGABYTE, Client
from pipeline.sources.crawl.frontier import Frontier
from pipeline.sources.crawl.locations import Scope, host_of, path_of
from pipeline.sources.crawl.mirror import Mirror, Page
from pipeline.sources.crawl.reading import Reader, extract, is_unlisted
from pipeline.sources.extraction import Extracted, Extractor, Failed, Limits
from pipeline.sources.extraction.process import VERSION

log = logging.getLogger(__name__)

SOURCE: Final = "web"
_FILE: Final = "mirror.sqlite"
_SCOPE: Final = ("start", "sitemap", "domains", "include", "exclude", "depth")


def refresh(settings: CollectSettings, shelf: Path) -> None:
    """Crawl into the mirror; another crawl that is under way is waited for.

    Raises:
        ConfigError: when no start URL or no contact is given.
    """
    web = settings.web
    _check(web)
    shelf.mkdir(parents=True, exist_ok=True)
    with _turn(shelf / "crawl.lock"), Mirror(shelf / _FILE) as mirror:
        frontier = Frontier(mirror, _crawl(web), Scope.of(web), web.pages)
        with mirror.transaction():
            frontier.begin(web.start)
        stop: list[Access] = []
        run(lambda: _crawled(web, mirror, frontier, stop), lambda: _stop(stop))


async def _crawled(
    web: WebSettings, mirror: Mirror, frontier: Frontier, stop: list[Access]
) -> None:
    with _extractor(web) as extractor, Reader(mirror, extractor, _size(web)) as reader:
        async with Client(web) as client:
            stop.append(Access(client, mirror, web))
            await Crawler(web, mirror, frontier, stop[0], reader).run()


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Hold the lock of the shelf, so that two crawls together are no less polite than one."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another crawl is under way; waiting for its end")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _stop(accesses: list[Access]) -> None:
    for access in accesses:
        access.stopped.set()


def fingerprint(settings: CollectSettings, shelf: Path) -> str:
    """Return the digest of the pages of this crawl, and of what was left out of it.

    Raises:
        InputError: when nothing was crawled yet.
    """
    _check(settings.web)
    whole = hashlib.sha256()
    with _mirror(settings.web, shelf) as mirror:
        for sql in (
            "select visit.url, kept, state, reason, digest, robots, fetched_at from visit "
            "left join page on page.url = visit.url and kept where crawl = ? order by visit.url",
            "select reason, links, example from beyond where crawl = ? order by reason",
        ):
            for row in mirror.rows(sql, (_crawl(settings.web),)):
                whole.update(json.dumps(row).encode())
    return whole.hexdigest()


def read(settings: CollectSettings, shelf: Path) -> Iterator[Document | Dropped]:
    """Yield a document for each page with text, and why there is none for every other URL.

    Raises:
        InputError: when nothing was crawled yet.
    """
    crawl = _crawl(settings.web)
    with _mirror(settings.web, shelf) as mirror, _extractor(settings.web) as extractor:
        yield from _left_out(mirror, crawl)
        sql = "select url from visit where crawl = ? and kept order by url"
        for (url,) in mirror.rows(sql, (crawl,)):
            page = mirror.page(url)
            if page is None:
                yield _dropped(url, "gone", "its body is gone from the mirror; crawl again")
            else:
                yield _document(page, _text(mirror, extractor, page), settings.licence)


def _left_out(mirror: Mirror, crawl: str) -> Iterator[Dropped]:
    sql = (
        "select url, reason, detail from visit where crawl = ? and state = 'done' and not kept "
        "and reason != '' order by depth, url"
    )
    for url, reason, detail in mirror.rows(sql, (crawl,)):
        yield _dropped(url, reason, detail)
    sql = "select reason, links, example from beyond where crawl = ? order by reason"
    for reason, links, example in mirror.rows(sql, (crawl,)):
        yield _dropped(f"{crawl}/{reason}", reason, f"{links} more links, such as {example}")
    sql = "select count(*), min(url) from visit where crawl = ? and state = 'waiting' and not kept"
    for links, example in mirror.rows(sql, (crawl,)):
        if links:
            detail = f"{links} URLs wait for the next run, such as {example}"
            yield _dropped(f"{crawl}/waiting", "not_reached", detail)


def _text(mirror: Mirror, extractor: Extractor, page: Page) -> Extracted | Failed:
    found = mirror.extracted(page, VERSION)
    if found is None:
        found = extract(extractor, page, mirror.body(page.digest))
        mirror.keep_extracted(page, VERSION, found)
    return found


def _document(page: Page, found: Extracted | Failed, licence: str) -> Document | Dropped:
    if isinstance(found, Failed):
        return _dropped(page.url, found.reason, found.detail)
    if is_unlisted(found):
        return _dropped(page.url, "noindex", "the page asks not to be listed")
    if not found.text.strip():
        return _dropped(page.url, "no_text", "links alone")
    return Document(
        id=text_id(found.text),
        text=found.text,
        name=path_of(page.url),
        source=SOURCE,
        url=page.url,
        licence=licence,
        fetched_at=page.fetched_at,
        robots=page.robots,
        title=found.title,
        group=host_of(page.url),
    )


def _dropped(url: str, reason: str, detail: str) -> Dropped:
    return Dropped(record_id=url, stage="collect", reason=reason, detail=detail)


@contextmanager
def _mirror(web: WebSettings, shelf: Path) -> Iterator[Mirror]:
    """Open the mirror that a crawl with these settings has filled."""
    path = shelf / _FILE
    if path.is_file():
        with Mirror(path) as mirror:
            if mirror.rows("select 1 from crawl where crawl = ?", (_crawl(web),)):
                yield mirror
                return
    message = (
        f"collect.web: nothing was crawled from {', '.join(web.start) or 'nowhere'} with these "
        "limits yet; set collect.refresh: true"
    )
    raise NotFetchedError(message)


def _crawl(web: WebSettings) -> str:
    """Return the name of the crawl: what decides which pages belong to it, their number apart."""
    scope: dict[str, Any] = web.model_dump(include=set(_SCOPE))
    return digest_of(json.dumps(scope, sort_keys=True))


def _extractor(web: WebSettings) -> Extractor:
    return Extractor(Limits(size=_size(web)))


def _size(web: WebSettings) -> int:
    return int(web.page_megabytes * MEGABYTE)


def _check(web: WebSettings) -> None:
    if not web.start:
        message = "collect.web.start is empty: name the URLs at which the crawl begins"
        raise ConfigError(message)
    if not web.contact.strip():
        message = (
            "collect.web.contact is empty: give an e-mail address or a URL, so that the owners of "
            "the sites can reach you"
        )
        raise ConfigError(message)
