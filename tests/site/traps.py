"""How the site misbehaves: where its redirects lead, what never ends, and what breaks halfway."""

from __future__ import annotations

import gzip
import itertools
from typing import Final

from tests.site.pages import State, links, prose
from tests.site.wire import Asked, Reply, html, redirect

_HTML: Final = {"Content-Type": "text/html; charset=utf-8"}
_times = itertools.count()


def to_metadata(asked: Asked, state: State) -> Reply:  # noqa: ARG001 - every route has this shape
    return redirect("http://169.254.169.254/latest/meta-data/")


def to_secret(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return redirect(state.secret)


def to_file(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return redirect("file:///etc/passwd")


def chain(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    """Redirect from /chain/7 to /chain/6 and so on; /chain/0 is a page."""
    left = int(asked.path.rpartition("/")[2])
    return redirect(f"/chain/{left - 1}") if left else html("End of the chain", prose("chain"))


def bomb(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    body = gzip.compress(b"<p>" + b"bomb " * 40_000_000)
    return Reply(200, _HTML | {"Content-Encoding": "gzip"}, body)


def broken_gzip(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return Reply(200, _HTML | {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 9_000)[:-9])


def packed(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    page = html("Packed", prose("packed"))
    return page._replace(
        headers={**page.headers, "Content-Encoding": "gzip"}, body=gzip.compress(page.body)
    )


def brotli(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return Reply(200, _HTML | {"Content-Encoding": "br"}, b"\x0b\x02\x80page\x03")


def huge(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return Reply(200, _HTML, b"<p>" + b"huge " * 1_000_000)


def drip(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return Reply(200, _HTML, b"<p>" + b"slow " * 1_000, drip=0.1)


def calendar(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    """Return a month that leads to the next and the one before, for ever."""
    year, month = map(int, asked.path.split("/")[2:4])
    later, before = divmod(year * 12 + month, 12), divmod(year * 12 + month - 2, 12)
    around = [f"/calendar/{y}/{m + 1}" for y, m in (later, before)]
    return html(f"Calendar {year}-{month}", f"<p>No event.</p>{links('/', *around)}")


def deeper(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    """Return a page whose link is relative to the wrong folder."""
    return html("Deeper", prose("deeper") + links("deeper/"))


def session(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    """Return the same page under a new name for each visit."""
    sid = f"{next(_times):032x}"
    return html(
        "Session", prose("session") + links(f"/session?sid={sid}", f"/session;jsessionid={sid}")
    )


def latin(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    """Say UTF-8 and send Latin-1."""
    text = f"<html><body><main><h1>Café</h1><p>Crème brûlée.</p>{prose('latin')}"
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, text.encode("latin-1"))


def unknown_charset(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    text = f"<html><body><main><h1>Naïve</h1><p>Überraschung für alle.</p>{prose('unknown')}"
    return Reply(200, {"Content-Type": "text/html; charset=klingon"}, text.encode())


def binary(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return Reply(200, {"Content-Type": "text/plain"}, bytes(range(256)) * 8)


def image(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return Reply(200, {"Content-Type": "image/png"}, b"\x89PNG" + bytes(500))


def cut(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    return Reply(200, _HTML, b"<p>" + b"cut " * 1_000, cut=True)


def odd_headers(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    page = html("Odd", prose("odd"))
    return page._replace(headers={**page.headers, "ETag": '"\xff\xfe"', "X-Long": "y" * 5_000})


def unlisted(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    page = html("Unlisted", prose("unlisted") + links("/mapped/9"))
    meta = b'<meta name="robots" content="noindex, nofollow"><title>'
    return page._replace(body=page.body.replace(b"<title>", meta, 1))


def cookie(asked: Asked, state: State) -> Reply:  # noqa: ARG001
    page = html("Cookie", asked.headers.get("cookie", "no cookie"))
    return page._replace(headers={**page.headers, "Set-Cookie": "who=you; Path=/"})
