"""The site's routes, its ledger and its doors for tests."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from tests.site import pages, traps
from tests.site.pages import State
from tests.site.wire import Asked, Reply, conditional, receive, send

Route = Callable[[Asked, State], Reply]

ROUTES: Final[dict[str, Route]] = {
    r"/": pages.home,
    r"/docs/\d+": pages.docs,
    r"/private/.*|/.*\.secret": pages.private,
    r"/robots\.txt": pages.robots,
    r"/sitemap\.xml": pages.sitemap,
    r"/index\.xml": pages.sitemap_index,
    r"/feed": pages.feed,
    r"/atom": pages.atom,
    r"/mapped/\d+|/word\d+/x": pages.mapped,
    r"/many": pages.many,
    r"/menu": pages.menu,
    r"/list/\d+": pages.listing,
    r"/to/metadata": traps.to_metadata,
    r"/to/secret": traps.to_secret,
    r"/to/file": traps.to_file,
    r"/chain/\d+": traps.chain,
    r"/bomb": traps.bomb,
    r"/broken": traps.broken_gzip,
    r"/packed": traps.packed,
    r"/brotli": traps.brotli,
    r"/huge": traps.huge,
    r"/drip": traps.drip,
    r"/calendar/\d+/\d+": traps.calendar,
    r"/(deeper/)+": traps.deeper,
    r"/session(;.*)?": traps.session,
    r"/latin": traps.latin,
    r"/charset": traps.unknown_charset,
    r"/binary\.txt": traps.binary,
    r"/image": traps.image,
    r"/cut": traps.cut,
    r"/odd": traps.odd_headers,
    r"/unlisted": traps.unlisted,
    r"/cookie": traps.cookie,
}
# Paths that answer with a status so many times, with the wait they ask for, before a page comes.
BUSY: Final = {"/busy": (503, 2, "1"), "/limited": (429, 1, "1"), "/down": (500, 10**6, "")}
KINDS: Final = {"pages": int, "version": int, "unlinked": int, "tags": lambda text: text == "True"}


class Site:
    """Answers requests and remembers them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._ledger: list[dict[str, Any]] = []
        self._seen: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer all requests of a connection."""
        while (asked := await receive(reader)) is not None:
            line = {"path": asked.path, "query": dict(asked.query), "at": time.time(), "sent": 0}
            reply = self._door(asked) or self._answer(asked)
            if not asked.path.startswith("/-/"):
                who = {name: asked.headers.get(name, "") for name in ("host", "user-agent")}
                self._ledger.append(line | {"status": reply.status} | who)
            try:
                sent = await send(writer, reply)
            except ConnectionError:
                break
            if not asked.path.startswith("/-/"):
                line = next(one for one in reversed(self._ledger) if one["at"] == line["at"])
                line["sent"] = sent if reply.status == 200 else 0
            if reply.cut:
                break
        writer.close()

    def _door(self, asked: Asked) -> Reply | None:
        if asked.path == "/-/ledger":
            return Reply(200, {}, json.dumps(self._ledger).encode())
        if asked.path == "/-/set":
            values = {name: KINDS.get(name, str)(value) for name, value in asked.query.items()}
            self.state = State(pages=self.state.pages)._replace(**values)
            self._ledger.clear()
            self._seen.clear()
            return Reply(200, {}, b"{}")
        return None

    def _answer(self, asked: Asked) -> Reply:
        self._seen[asked.path] += 1
        if asked.path in BUSY:
            status, times, wait = BUSY[asked.path]
            if self._seen[asked.path] <= times:
                return Reply(status, {"Retry-After": wait} if wait else {}, b"busy")
            return pages.mapped(asked, self.state)
        if asked.path == self.state.broken:
            return Reply(503, {"Retry-After": self.state.wait}, b"broken")
        for pattern, route in ROUTES.items():
            if re.fullmatch(pattern, asked.path):
                reply = route(asked, self.state)
                return conditional(asked, reply) if self.state.tags else reply
        return Reply(404, {"Content-Type": "text/html"}, b"<p>not found</p>")
