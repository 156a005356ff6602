"""The pages that were fetched, on the shelf: one SQLite file, shared by all crawls of a user.

Each page is kept with what a conditional request needs, its body by digest, and what was extracted
from it. A page enters in one transaction, so a killed crawl leaves whole pages or none.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from pipeline.errors import ArtifactError, ResourceError
from pipeline.sources.crawl.robots import Robots
from pipeline.sources.extraction import Extracted, Failed

BUSY: Final = 60_000  # milliseconds

_SCHEMA: Final = """
create table if not exists body (digest text primary key, data blob not null) without rowid;
create table if not exists page (
  url text primary key, digest text not null, kind text not null, charset text not null,
  etag text not null, modified text not null, fetched_at text not null, checked_at text not null,
  robots text not null) without rowid;
create table if not exists extracted (
  digest text, url text, version integer, found text not null,
  primary key (digest, url, version)) without rowid;
create table if not exists robots (
  origin text primary key, status integer not null, text text not null, fetched real not null
  ) without rowid;
create table if not exists host (name text primary key, not_before real not null) without rowid;
create table if not exists crawl (
  crawl text primary key, round integer not null, ended integer not null) without rowid;
create table if not exists visit (
  crawl text, url text, round integer not null, depth integer not null, hops integer not null,
  kind text not null, state text not null, kept integer not null, reason text not null,
  detail text not null, template text not null, shape text not null, barren integer not null,
  primary key (crawl, url)) without rowid;
create index if not exists visit_state on visit (crawl, state);
create index if not exists visit_shape on visit (crawl, template, shape);
create table if not exists beyond (
  crawl text, reason text, links integer not null, example text not null,
  primary key (crawl, reason)) without rowid;
"""


class Page(NamedTuple):
    """A page as it was fetched; times are ISO 8601."""

    url: str
    digest: str
    kind: str  # of pipeline.sources.extraction, or "map"
    charset: str
    etag: str
    modified: str
    fetched_at: str  # when this body first came
    checked_at: str  # when the site last said that it is still this one
    robots: str


class Mirror:
    """The file; use as a context manager. One writer at a time, in one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(BUSY)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._connection.execute(_SCHEMA)

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all of the block or nothing."""
        with self._errors(), self._connection:
            yield

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; what is no Unicode in the values becomes "?"."""
        clean = [
            value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for value in values
        ]
        with self._errors():
            return list(self._connection.execute(sql, clean))

    def page(self, url: str) -> Page | None:
        """Return the page at ``url``, if it was fetched and its body is still here."""
        sql = "select page.* from page join body using (digest) where url = ?"
        columns = ", ".join(f"page.{name}" for name in Page._fields)
        found = self.rows(sql.replace("page.*", columns), (url,))
        return Page(*found[0]) if found else None

    def save(self, page: Page, body: bytes | None = None) -> None:
        """Keep a page, and its body unless that is here already."""
        if body is not None:
            sql = "insert or ignore into body values (?, ?)"
            self.rows(sql, (page.digest, zlib.compress(body, 6)))
        marks = ", ".join("?" * len(page))
        self.rows(f"insert or replace into page values ({marks})", page)  # noqa: S608

    def body(self, digest: str) -> bytes:
        """Return a body, checked against its digest.

        Raises:
            ArtifactError: when it is damaged or gone.
        """
        found = self.rows("select data from body where digest = ?", (digest,))
        try:
            body = zlib.decompress(found[0][0])
        except (IndexError, zlib.error):
            body = b""
        if digest_of(body) != digest:
            raise ArtifactError(self._damaged(f"the body {digest[:12]} is not what was fetched"))
        return body

    def extracted(self, page: Page, version: int) -> Extracted | Failed | None:
        """Return what was extracted from a page, if it was by this version of the extractor."""
        sql = "select found from extracted where digest = ? and url = ? and version = ?"
        found = self.rows(sql, (page.digest, page.url, version))
        if not found:
            return None
        fields = json.loads(found[0][0])
        if "reason" in fields:
            return Failed(**fields)
        return Extracted(**fields | {"links": tuple(fields["links"])})

    def keep_extracted(self, page: Page, version: int, found: Extracted | Failed) -> None:
        """Remember what was extracted, but for a worker that died: Ctrl-C may have ended it."""
        if isinstance(found, Failed) and found.reason == "worker_died":
            return
        text = json.dumps(found._asdict(), ensure_ascii=False)
        sql = "insert or replace into extracted values (?, ?, ?, ?)"
        self.rows(sql, (page.digest, page.url, version, text))

    def robots(self, origin: str) -> Robots | None:
        """Return the robots.txt of an origin as it was fetched last."""
        sql = "select origin, status, text, fetched from robots where origin = ?"
        found = self.rows(sql, (origin,))
        return Robots(*found[0]) if found else None

    def save_robots(self, robots: Robots) -> None:
        """Keep a robots.txt."""
        values = (robots.origin, robots.status, robots.text, robots.fetched)
        self.rows("insert or replace into robots values (?, ?, ?, ?)", values)

    def tidy(self) -> None:
        """Forget pages that no crawl knows any more, and bodies that no page has."""
        with self.transaction():
            used = "select url from visit where kept or kind = 'map' or state = 'waiting'"
            self.rows(f"delete from page where url not in ({used})")  # noqa: S608 - no value in it
            for table in ("body", "extracted"):
                unused = "digest not in (select digest from page)"
                self.rows(f"delete from {table} where {unused}")  # noqa: S608 - two names of ours

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise ArtifactError(self._damaged(str(error))) from error
        except (apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
            message = (
                f"cannot write to {self.path} ({error}): free disk space, or set ANGLE_ADAPT_HOME "
                "to another folder"
            )
            raise ResourceError(message) from error

    def _damaged(self, what: str) -> str:
        return f"{self.path} is damaged ({what}): remove it, and the next crawl fetches it anew"


def digest_of(body: bytes) -> str:
    """Return the SHA-256 of a body in hexadecimal."""
    return hashlib.sha256(body).hexdigest()
