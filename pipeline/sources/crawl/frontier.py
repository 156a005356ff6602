"""What a crawl has still to visit, and what became of every URL that it met.

A crawl goes in rounds. A round begins at the start URLs, and every page that an earlier round kept
is asked about again: those that are linked when their link is found, the rest last. While a round
goes on, pages of the last one stay; at its end, what it did not meet is forgotten.

Everything is in the mirror, so a round that was cut off goes on where it was.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pipeline.records import digest_of
from pipeline.sources.crawl.locations import (
    LONGEST,
    Refused,
    Scope,
    canonical,
    host_of,
    is_page,
    template,
)
from pipeline.sources.crawl.mirror import Mirror

LISTED: Final = 1_000  # URLs that are named for each reason; the rest is counted
REDIRECTS: Final = 5
BARREN: Final = 20  # pages without anything new, of one template, that make a trap
QUEUE: Final = 20  # URLs that wait at most, for each page that may be taken
_DIGITS: Final = re.compile(r"\d+")


class Visit(NamedTuple):
    """A URL to ask for."""

    url: str
    depth: int  # links from a start URL
    hops: int  # redirects on the way here
    kind: str  # "page", "map", or "guess": a sitemap that nobody named
    kept: bool  # whether the last round kept it


class Found(NamedTuple):
    """What a visit brought: links to pages and to sitemaps, a redirect, or a reason for nothing."""

    kept: bool = False  # it is a page of the set now
    links: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    moved: str = ""  # where it redirects to
    text: str = ""
    is_map: bool = False
    reason: str = ""
    detail: str = ""


class Done(NamedTuple):
    """What is kept of a visit."""

    kept: bool
    shape: str = ""  # digest of the text without its numbers
    barren: bool = False  # no new text, and no new link to pages of another kind
    reason: str = ""
    detail: str = ""


class Frontier:
    """The visits of one crawl; every change is the caller's transaction."""

    def __init__(self, mirror: Mirror, crawl: str, scope: Scope, pages: int) -> None:
        self._mirror, self._crawl, self._scope, self._pages = mirror, crawl, scope, pages
        self._queues: dict[str, list[tuple[int, int, Visit]]] = defaultdict(list)
        self._order = 0
        self._refused: Counter[str] = Counter()
        self._templates: dict[str, tuple[int, int]] = {}
        self.round = 0
        self.taken = 0

    @property
    def waiting(self) -> int:
        """URLs that wait."""
        return sum(map(len, self._queues.values()))

    def hosts(self) -> list[str]:
        """Return the hosts that have something waiting."""
        return [host for host, queue in self._queues.items() if queue]

    def begin(self, starts: Iterable[str]) -> None:
        """Go on with the round that was cut off, or begin one."""
        rows = self._rows("select round, ended from crawl where crawl = ?")
        self.round, ended = rows[0] if rows else (0, 1)
        if ended:
            self.round += 1
            sql = "insert or replace into crawl values (?, ?, 0)"
            self._mirror.rows(sql, (self._crawl, self.round))
            self._rows("delete from beyond where crawl = ?")
        self._recall()
        for start in starts:
            self.add(start, "", 0)

    def _recall(self) -> None:
        """Read what the mirror knows of this round."""
        sql = "select reason, count(*) from visit where crawl = ? and round = ? group by reason"
        self._refused = Counter(dict(self._rows(sql, self.round)))
        sql = "select count(*) from visit where crawl = ? and round = ? and kept and state = 'done'"
        self.taken = self._rows(sql, self.round)[0][0]
        sql = (
            "select url, depth, hops, kind, kept from visit where crawl = ? and round = ? "
            "and state = 'waiting'"
        )
        for url, depth, hops, kind, kept in self._rows(sql, self.round):
            self._push(Visit(url, depth, hops, kind, bool(kept)))

    def add(self, href: str, base: str, depth: int, hops: int = 0, kind: str = "page") -> str:
        """Let a link wait for its visit, or count why it does not; return the URL if it is new."""
        if not is_page(href):
            return ""
        url = href
        try:
            url = canonical(href, base)
            if self._is_known(url):
                return ""
            self._check(Visit(url, depth, hops, kind, kept=False))
        except Refused as refusal:
            self._refuse(url, depth, refusal.reason, refusal.detail)
            return ""
        return self._wait(url, depth, hops, kind)

    def _check(self, visit: Visit) -> None:
        """Do nothing where a link may wait; start URLs are the user's own."""
        if visit.depth or visit.hops:
            self._scope.check(visit.url, visit.depth)
        if visit.hops > REDIRECTS:
            raise Refused("redirect_limit", f"more than {REDIRECTS} redirects")
        if visit.kind == "page" and self._is_trap(visit.url):
            raise Refused("trap", f"{BARREN} pages like it held nothing new")
        if self.waiting >= QUEUE * self._pages:
            raise Refused("page_limit", f"more than collect.web.pages = {self._pages}")

    def _is_known(self, url: str) -> bool:
        """Return whether this round has met ``url``."""
        sql = "select 1 from visit where crawl = ? and url = ? and round = ?"
        return bool(self._rows(sql, url, self.round))

    def _wait(self, url: str, depth: int, hops: int, kind: str) -> str:
        kept = self._rows("select kept from visit where crawl = ? and url = ?", url)
        visit = Visit(url, depth, hops, kind, bool(kept and kept[0][0]))
        self._write(visit, None)
        self._push(visit)
        return url

    def _push(self, visit: Visit) -> None:
        self._order += 1
        item = (visit.depth, self._order, visit)
        heapq.heappush(self._queues[host_of(visit.url)], item)

    def next(self, host: str) -> Visit | None:
        """Return what to visit next at ``host``, and take it from the queue."""
        queue = self._queues[host]
        while queue:
            visit = heapq.heappop(queue)[2]
            why = self._overtaken(visit)
            if why is None:
                return visit
            self._refuse(visit.url, visit.depth, why.reason, why.detail)
        return None

    def _overtaken(self, visit: Visit) -> Refused | None:
        """Return why a URL that waits is not visited after all."""
        if visit.kind != "page":
            return None
        if self.taken >= self._pages:
            return Refused("page_limit", f"more than collect.web.pages = {self._pages}")
        if visit.depth and self._is_trap(visit.url):
            return Refused("trap", f"{BARREN} pages like it held nothing new")
        return None

    def again(self, visit: Visit) -> None:
        """Put a visit back that came to nothing yet."""
        self._push(visit)

    def done(self, visit: Visit, found: Found) -> None:
        """Enter what became of a visit, and the links that it brought."""
        own = template(visit.url)
        fresh = self._is_new_text(own, found)
        fresh |= any(template(url) != own for url in self._follow(visit, found) if url)
        if found.reason:
            self._leave(visit, found)
            return
        kind = "map" if found.is_map else visit.kind
        barren = found.kept and not fresh
        pages, bare = self._counts(own)
        self._templates[own] = (pages + found.kept, bare + barren)
        self.taken += found.kept
        self._write(visit._replace(kind=kind), Done(found.kept, _shape(found), barren))

    def _follow(self, visit: Visit, found: Found) -> list[str]:
        """Let the links of a visit wait; return those that are new."""
        hops, depth = visit.hops + 1, visit.depth
        new = [self.add(link, visit.url, depth + 1) for link in found.links]
        new += [self.add(link, visit.url, depth, hops, "map") for link in found.maps]
        if found.moved:
            new.append(self.add(found.moved, visit.url, depth, hops, visit.kind))
        return new

    def _leave(self, visit: Visit, found: Found) -> None:
        if visit.kind == "guess":
            self._write(visit, Done(kept=False))
        else:
            self._refuse(visit.url, visit.depth, found.reason, found.detail)

    def _is_new_text(self, own: str, found: Found) -> bool:
        """Return whether no page of the same template had this text, numbers aside."""
        sql = (
            "select 1 from visit where crawl = ? and template = ? and shape = ? and round = ? "
            "and state = 'done' limit 1"
        )
        return found.kept and not self._rows(sql, own, _shape(found), self.round)

    def _is_trap(self, url: str) -> bool:
        """Return whether most pages like ``url`` held nothing new and led nowhere else."""
        pages, barren = self._counts(template(url))
        return barren >= BARREN and 3 * barren >= 2 * pages

    def _counts(self, own: str) -> tuple[int, int]:
        if own not in self._templates:
            sql = (
                "select count(*), total(barren) from visit where crawl = ? and template = ? "
                "and round = ? and kept and state = 'done'"
            )
            pages, barren = self._rows(sql, own, self.round)[0]
            self._templates[own] = (pages, int(barren))
        return self._templates[own]

    def _refuse(self, url: str, depth: int, reason: str, detail: str) -> None:
        """Name a URL that is not taken, or only count it where very many have the same reason."""
        url = url[:LONGEST]
        if depth and self._refused[reason] >= LISTED:
            self._rows("delete from visit where crawl = ? and url = ?", url)
            sql = (
                "insert into beyond values (?, ?, 1, ?) on conflict (crawl, reason) "
                "do update set links = links + 1, example = excluded.example"
            )
            self._rows(sql, reason, url)
            return
        self._refused[reason] += 1
        visit = Visit(url, depth, 0, "page", kept=False)
        self._write(visit, Done(kept=False, reason=reason, detail=detail))

    def revive(self) -> int:
        """Let the pages wait that the last round kept and this one met no link to."""
        sql = (
            "select url, depth, hops, kind from visit "
            "where crawl = ? and round < ? and kept order by depth, url"
        )
        rows = self._rows(sql, self.round)
        old = [Visit(url, depth, hops, kind, kept=True) for url, depth, hops, kind in rows]
        for visit in old:
            self._write(visit, None)
            self._push(visit)
        return len(old)

    def end(self) -> None:
        """Close the round, and forget what it did not meet."""
        self._rows("delete from visit where crawl = ? and round < ?", self.round)
        self._rows("update crawl set ended = 1 where crawl = ?")

    def _write(self, visit: Visit, done: Done | None) -> None:
        """Enter a visit: as done, or as one that waits."""
        state = "waiting" if done is None else "done"
        what = done or Done(visit.kept)
        values = (
            visit.url, self.round, visit.depth, visit.hops, visit.kind, state, int(what.kept),
            what.reason, what.detail, template(visit.url) if what.shape else "",
            what.shape, int(what.barren),
        )  # fmt: skip
        marks = ", ".join("?" * len(values))
        self._rows(f"insert or replace into visit values (?, {marks})", *values)  # noqa: S608

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement whose first value is this crawl."""
        return self._mirror.rows(sql, (self._crawl, *values))


def _shape(found: Found) -> str:
    return digest_of(_DIGITS.sub("", found.text)) if found.kept else ""
