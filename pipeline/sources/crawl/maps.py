"""The links of sitemaps and of RSS and Atom feeds.

They are read as a stream of tags. A document type with entities is refused, so nothing is expanded.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple
from xml.parsers import expat

ROOTS: Final = frozenset({"urlset", "sitemapindex", "rss", "feed", "RDF"})
LINKS: Final = 50_000  # of one map, as the protocol has it
_MAGIC: Final = b"\x1f\x8b"


class NotAMap(Exception):  # noqa: N818 - reads as what it is
    """The XML is no sitemap and no feed, or cannot be read."""


class SiteMap(NamedTuple):
    """Pages, and further sitemaps."""

    pages: tuple[str, ...]
    maps: tuple[str, ...]


def read_map(data: bytes, size: int) -> SiteMap:
    """Return the links of a sitemap or feed, packed with gzip or not, unpacked up to ``size``.

    Raises:
        NotAMap: says why it is none.
    """
    reader = _Reader()
    try:
        reader.feed(_unpacked(data, size))
    except (expat.ExpatError, zlib.error, LookupError, ValueError) as error:
        message = f"cannot be read as XML: {error}"
        raise NotAMap(message) from error
    return SiteMap(tuple(dict.fromkeys(reader.pages)), tuple(dict.fromkeys(reader.maps)))


def _unpacked(data: bytes, size: int) -> bytes:
    if not data.startswith(_MAGIC):
        return data
    unpacker = zlib.decompressobj(31)
    text = unpacker.decompress(data, size + 1)
    if len(text) > size:
        message = f"more than {size} bytes unpacked"
        raise NotAMap(message)
    return text


class _Reader:
    """Collects links from the tags of a map as they come."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.maps: list[str] = []
        self._open: list[str] = []
        self._text = ""
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data
        self._parser.EntityDeclHandler = self._entity

    def feed(self, data: bytes) -> None:
        """Read a whole map."""
        self._parser.Parse(data, True)  # noqa: FBT003 - expat's own signature

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if not self._open and name not in ROOTS:
            message = f"<{name[:50]}> is neither a sitemap nor a feed"
            raise NotAMap(message)
        self._open.append(name)
        self._text = ""
        is_page = attributes.get("rel", "alternate") == "alternate"
        if is_page and self._open[-2:] == ["entry", "link"]:
            self._add(self.pages, attributes.get("href", ""))

    def _end(self, _: str) -> None:
        where = tuple(self._open[-2:])
        if where in (("url", "loc"), ("item", "link")):
            self._add(self.pages, self._text)
        if where == ("sitemap", "loc"):
            self._add(self.maps, self._text)
        self._open.pop()

    def _data(self, text: str) -> None:
        if self._open[-1] in ("loc", "link") and len(self._text) < 10_000:
            self._text += text

    def _entity(self, *_: object) -> None:
        message = "declares entities"
        raise NotAMap(message)

    def _add(self, links: list[str], link: str) -> None:
        if link.strip() and len(links) < LINKS:
            links.append(link.strip())
