"""HTML to text: what is hidden goes, then menus and the like (trafilatura, Barbaresi 2021).

https://aclanthology.org/2021.acl-demo.15
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urldefrag, urljoin, urlsplit

import lxml.etree
import lxml.html
import trafilatura

from pipeline.sources.encodings import Undecodable, decoded
from pipeline.sources.extraction.charset import stated
from pipeline.sources.extraction.frames import Request
from pipeline.sources.extraction.hidden import remove_hidden
from pipeline.sources.extraction.outcome import Extracted, Failed
from pipeline.sources.extraction.plain import untitled
from pipeline.sources.extraction.rendering import rendered

_LONGEST_URL: Final = 2048  # characters
_LONGEST_TITLE: Final = 300


def extract(data: bytes, request: Request) -> Extracted | Failed:
    """Return the main text, the title and the links of a page."""
    text = decoded(data, request.charset or stated(data))
    if isinstance(text, Undecodable):
        return Failed(*text)
    if not text.strip():
        return Failed("no_text", "an empty page")
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    root = lxml.html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    if _depth(root) > request.depth:
        return Failed("too_deep", f"elements nested more than {request.depth} deep")
    base = _base(root, request.url)
    found = Extracted(
        "",
        title=_title(root),
        links=tuple(_links(root, base, request.links)),
        canonical=_canonical(root, base),
        robots=", ".join(_meta(root, "robots")),
        language=root.get("lang", "")[:35],
    )
    remove_hidden(root)
    words = untitled(_main_text(root, request.url), found.title)
    return found._replace(text=words)


def _main_text(root: Any, url: str) -> str:  # noqa: ANN401 - lxml has no types
    page = trafilatura.bare_extraction(
        root, url=url or None, include_comments=False, include_formatting=True
    )
    body = getattr(page, "body", None)
    return "" if body is None else rendered(body)


def _depth(root: Any) -> int:  # noqa: ANN401
    deepest = depth = 0
    for event, _ in lxml.etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest


def _title(root: Any) -> str:  # noqa: ANN401
    headings = list(root.iter("h1"))
    names = [
        *(meta.get("content", "") for meta in root.iter("meta") if _names(meta) == "og:title"),
        *("".join(heading.itertext()) for heading in headings if len(headings) == 1),
        *("".join(title.itertext()) for title in root.iter("title")),
    ]
    return next((" ".join(n.split())[:_LONGEST_TITLE] for n in names if n.strip()), "")


def _names(meta: Any) -> str:  # noqa: ANN401
    return str(meta.get("property") or meta.get("name") or "").casefold()


def _meta(root: Any, name: str) -> Iterator[str]:  # noqa: ANN401
    for meta in root.iter("meta"):
        if _names(meta) == name:
            yield meta.get("content", "").casefold()[:200]


def _base(root: Any, url: str) -> str:  # noqa: ANN401
    stated_base = next((base.get("href", "") for base in root.iter("base") if base.get("href")), "")
    return _absolute(url, stated_base) or url


def _canonical(root: Any, base: str) -> str:  # noqa: ANN401
    for link in root.iter("link"):
        if "canonical" in link.get("rel", "").casefold().split():
            return _absolute(base, link.get("href", ""))
    return ""


def _links(root: Any, base: str, most: int) -> Iterator[str]:  # noqa: ANN401
    seen: set[str] = set()
    for anchor in root.iter("a", "area"):
        if len(seen) >= most:
            return
        if "nofollow" in anchor.get("rel", "").casefold().split():
            continue
        url = _absolute(base, anchor.get("href", ""))
        if url and url not in seen:
            seen.add(url)
            yield url


def _absolute(base: str, href: str) -> str:
    """Return ``href`` as an absolute http(s) URL without fragment, "" where it is none."""
    try:
        url = urldefrag(urljoin(base, href.strip())).url
        parts = urlsplit(url)
    except ValueError:
        return ""
    usable = parts.scheme in ("http", "https") and parts.hostname and len(url) <= _LONGEST_URL
    return url if usable and href.strip() else ""
