"""What an answer holds: a page with text and links, or a sitemap with links."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final, cast

from yarl import URL

from pipeline.sources.crawl.fetching import Response
from pipeline.sources.crawl.frontier import Found, Visit
from pipeline.sources.crawl.maps import NotAMap, read_map
from pipeline.sources.crawl.mirror import Mirror, Page, digest_of
from pipeline.sources.extraction import Extracted, Extractor, Failed, Kind
from pipeline.sources.extraction.process import VERSION

MAP: Final = "map"
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_KINDS: Final[dict[str, str]] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "application/pdf": "pdf",
    _WORD: "docx",
    "application/xml": MAP,
    "text/xml": MAP,
    "application/rss+xml": MAP,
    "application/atom+xml": MAP,
    "application/rdf+xml": MAP,
}
_SUFFIXES: Final[dict[str, str]] = {
    ".html": "html", ".htm": "html", ".xhtml": "html", ".txt": "text", ".md": "markdown",
    ".pdf": "pdf", ".docx": "docx", ".xml": MAP, ".rss": MAP, ".atom": MAP, ".xml.gz": MAP,
}  # fmt: skip
_VAGUE: Final = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "text/plain", "application/gzip",
     "application/x-gzip"}
)  # fmt: skip


def kind_of(headers: Mapping[str, str], url: str) -> str:
    """Return what an answer holds, by its type, or by the URL where the type says little; or ""."""
    declared = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    name = PurePosixPath(URL(url).path.lower())
    suffix = "".join(name.suffixes[-2:]) if name.suffix == ".gz" else name.suffix
    if declared in _VAGUE and suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    return _KINDS.get(declared or "text/html", "")


def unwanted(headers: Mapping[str, str], url: str) -> str:
    """Return why a body is not read, or ""."""
    if kind_of(headers, url):
        return ""
    return f"its type is {headers.get('Content-Type', 'not given')[:100]}"


def charset_of(headers: Mapping[str, str]) -> str:
    """Return the encoding that an answer declares, or ""."""
    _, _, after = headers.get("Content-Type", "").lower().partition("charset=")
    return after.partition(";")[0].strip().strip("\"'")[:40]


class Reader:
    """Keeps answers in the mirror and finds what they hold; use as a context manager.

    Text is extracted in a thread, one page at a time, while requests go on.
    """

    def __init__(self, mirror: Mirror, extractor: Extractor, size: int) -> None:
        self._mirror, self._extractor, self._size = mirror, extractor, size
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="extraction")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    async def fetched(self, visit: Visit, response: Response, robots: str) -> Found:
        """Keep an answer that came with a body, and return what it holds."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        digest, known = digest_of(response.body), self._mirror.page(visit.url)
        page = Page(
            visit.url, digest, kind_of(response.headers, visit.url), charset_of(response.headers),
            response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""),
            known.fetched_at if known and known.digest == digest else now, now, robots,
        )  # fmt: skip
        return await self._read(page, response.body)

    async def unchanged(self, page: Page, robots: str) -> Found:
        """Note that a page is what it was, and return what it holds."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return await self.held(page._replace(checked_at=now, robots=robots))

    async def held(self, page: Page) -> Found:
        """Return what a page holds that is in the mirror already."""
        return await self._read(page, None)

    async def _read(self, page: Page, body: bytes | None) -> Found:
        if page.kind == MAP:
            found = self._map(page, body)
        else:
            found = await self._text(page, body)
        self._mirror.save(page, body)
        return found

    def _map(self, page: Page, body: bytes | None) -> Found:
        try:
            links = read_map(self._mirror.body(page.digest) if body is None else body, self._size)
        except NotAMap as error:
            return Found(reason="not_text", detail=f"XML that {error}")
        return Found(links=links.pages, maps=links.maps, is_map=True)

    async def _text(self, page: Page, body: bytes | None) -> Found:
        found = self._mirror.extracted(page, VERSION)
        if found is None:
            data = self._mirror.body(page.digest) if body is None else body
            work = asyncio.get_running_loop().run_in_executor
            found = await work(self._thread, extract, self._extractor, page, data)
            self._mirror.keep_extracted(page, VERSION, found)
        if isinstance(found, Failed):
            return Found(kept=True, text=page.digest)
        links = () if _says(found, "nofollow", "none") else found.links
        return Found(kept=True, links=links, text=found.text)


def extract(extractor: Extractor, page: Page, body: bytes) -> Extracted | Failed:
    """Return the text of a page."""
    return extractor.extract(body, cast("Kind", page.kind), page.url, page.charset)


def is_unlisted(found: Extracted) -> bool:
    """Return whether a page asks not to be listed anywhere."""
    return _says(found, "noindex", "none")


def _says(found: Extracted, *words: str) -> bool:
    said = {word.strip() for word in found.robots.lower().split(",")}
    return bool(said & set(words))
