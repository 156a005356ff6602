"""Web addresses: one spelling for each page, and how far a crawl goes.

URLs are read by the library that dials them, so nobody can write one that the check reads
otherwise than the connection.
"""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from yarl import URL

from pipeline.sections import WebSettings

LONGEST: Final = 2_000  # characters
SEGMENTS: Final = 20
REPEATS: Final = 3  # of one segment in a path
_PORTS: Final = frozenset({80, 443})
_NO_PAGES: Final = ("mailto:", "tel:", "javascript:", "data:", "sms:", "about:")

# What says who is reading, not what is read.
_SESSION: Final = frozenset(
    {"phpsessid", "jsessionid", "sid", "session", "sessionid", "session_id", "sessid", "cfid",
     "cftoken", "oscsid", "zenid", "aspsessionid"}
)  # fmt: skip
_TRACKING: Final = re.compile(r"utm_\w+|fbclid|gclid|msclkid|mc_[ce]id|_ga")
_PATH_SESSION: Final = re.compile(r";(jsessionid|phpsessid|sid)=[^/;?]*", re.IGNORECASE)
_TOKEN: Final = 8  # characters of the shortest session id
_WHITE: Final = re.compile(r"[\t\r\n]")
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")
_NUMBERS: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")


class Refused(Exception):  # noqa: N818 - reads as what it is
    """Why a link is not followed: a reason to count by, and what was found, in words."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def is_page(href: str) -> bool:
    """Return whether a link can lead to a page at all: not to a mailbox or a script."""
    return not href.strip().lower().startswith(_NO_PAGES)


def canonical(href: str, base: str = "") -> str:
    """Return the one spelling of the page that ``href`` on the page ``base`` leads to.

    Fragments, default ports, session ids and marks of campaigns go; parameters are sorted.

    Raises:
        Refused: for what is no http(s) URL, or holds a name and a password.
    """
    try:
        link = URL(_SURROGATES.sub("\ufffd", _WHITE.sub("", href.strip())))
        url = URL(base).join(link) if base else link
        if url.scheme not in ("http", "https"):
            raise Refused("scheme", f"{url.scheme or 'no scheme'}: only http and https are read")
        if url.user is not None or url.password is not None:
            raise Refused("userinfo", "a name or password in the URL")
        return str(_tidied(url))
    except ValueError as error:
        raise Refused("bad_url", str(error)[:300]) from error


def _tidied(url: URL) -> URL:
    host = (url.host or "").rstrip(".")
    if not host:
        raise Refused("bad_url", "no host")
    path = _PATH_SESSION.sub("", url.raw_path) or "/"
    query = sorted(
        (name, value) for name, value in url.query.items() if not _is_noise(name.lower(), value)
    )
    bare = url.with_host(host).with_path(path, encoded=True)
    bare = bare.with_port(None) if bare.is_default_port() else bare
    return bare.with_query(query) if query else bare


def _is_noise(name: str, value: str) -> bool:
    return bool(_TRACKING.fullmatch(name)) or (name in _SESSION and len(value) >= _TOKEN)


def host_of(url: str) -> str:
    """Return the host of a canonical URL."""
    return URL(url).host or ""


def origin_of(url: str) -> str:
    """Return scheme, host and port of a canonical URL."""
    return str(URL(url).origin())


def path_of(url: str) -> str:
    """Return path and query of a canonical URL, as people read them."""
    parts = URL(url)
    return f"{parts.path}?{parts.query_string}" if parts.query_string else parts.path


def template(url: str) -> str:
    """Return what is left of a URL without its numbers and the values of its parameters."""
    parts = URL(url)
    path = _NUMBERS.sub("0", parts.raw_path)
    return f"{parts.raw_host}{path}{'?' if parts.raw_query_string else ''}"


class Scope(NamedTuple):
    """How far a crawl goes."""

    domains: tuple[str, ...]
    ports: frozenset[int]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    depth: int

    @classmethod
    def of(cls, settings: WebSettings) -> Scope:
        """Return the scope that the settings describe.

        Ports are those of the web, and those that the start URLs name: a link must not make the
        crawl speak to a mail server or a database.
        """
        starts = [url for url in map(_usable, settings.start) if url]
        given = [domain.lower().strip(".") for domain in settings.domains]
        own = [host_of(url).removeprefix("www.") for url in starts]
        ports = {URL(url).port or 0 for url in starts}
        domains = tuple(dict.fromkeys(given or own))
        return cls(domains, _PORTS | ports, settings.include, settings.exclude, settings.depth)

    def check(self, url: str, depth: int) -> None:
        """Do nothing where ``url`` is within reach; the patterns bind links alone.

        Raises:
            Refused: where it is not.
        """
        parts = URL(url)
        host = parts.host or ""
        if not any(host == one or host.endswith(f".{one}") for one in self.domains):
            raise Refused("domain", f"{host} is not in collect.web.domains")
        if parts.port not in self.ports:
            raise Refused("port", f"port {parts.port} is neither the web's nor that of a start URL")
        _check_shape(parts)
        if depth > self.depth:
            raise Refused("depth", f"more than {self.depth} links from a start URL")
        if depth and not self.takes(url):
            raise Refused("pattern", "left out by collect.web.include or exclude")

    def takes(self, url: str) -> bool:
        """Return whether the patterns let a page become a document."""
        path = URL(url).path
        if any(fnmatchcase(path, pattern) for pattern in self.exclude):
            return False
        return not self.include or any(fnmatchcase(path, pattern) for pattern in self.include)


def _usable(href: str) -> str:
    try:
        return canonical(href)
    except Refused:
        return ""


def _check_shape(parts: URL) -> None:
    """Refuse URLs as they come from links that are relative to the wrong place, again and again."""
    segments = [segment for segment in parts.raw_path.split("/") if segment]
    most = max(Counter(segments).values(), default=0)
    if len(str(parts)) > LONGEST or len(segments) > SEGMENTS or most > REPEATS:
        raise Refused("trap", "a URL that grows: too long, or one part of its path again and again")
