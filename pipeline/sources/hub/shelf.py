"""What arrived of a repository, kept in a file of its own: each page is there whole or not at all.

Beside the issues stands how far the list was read (the time of the newest change seen), so that a
fetch that was killed goes on from its last page and a later one asks for what changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import apsw
from filelock import FileLock, Timeout

from pipeline.errors import ArtifactError, ResourceError
from pipeline.records import digest_of
from pipeline.sources.hub.issues import Arrived, Event, Issue
from pipeline.sources.hub.limits import Trouble

LOCK_SECONDS: Final = 3_600.0
_BUSY_MILLISECONDS: Final = 60_000
_TABLES: Final = """
    create table if not exists issues (
        number integer primary key, arrived integer not null, updated_at text not null,
        comments integer not null, state text not null, digest text not null,
        fetched_at text not null, content text not null);
    create unique index if not exists arrivals on issues (arrived);
    create table if not exists trails (
        number integer primary key, seen text not null, etag text not null,
        canonical text not null, events text not null);
    create table if not exists facts (name text primary key, value text not null);
"""


class Tail(NamedTuple):
    """The last page of a list as it was asked for, to ask again whether it changed."""

    url: str = ""
    etag: str = ""


class Row(NamedTuple):
    """An entry on the shelf; ``issue`` is None for a pull request."""

    number: int
    updated_at: str
    comments: int
    fetched_at: str
    issue: Issue | None


class Trail(NamedTuple):
    """What is known of an issue's being a duplicate, as of the change ``seen``."""

    seen: str = ""
    etag: str = ""
    canonical: str = ""
    events: tuple[Event, ...] = ()


class RepositoryShelf:
    """The issues of one repository on disk; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "issues.sqlite"
        with self._errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._database = apsw.Connection(str(self._path))
            self._database.set_busy_timeout(_BUSY_MILLISECONDS)
            for setting in ("journal_mode = wal", "synchronous = full"):
                self._database.execute(f"pragma {setting}")
            self._database.execute(_TABLES)

    def __enter__(self) -> RepositoryShelf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._database.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process at a time fetch; the kernel frees the lock when its holder dies.

        Raises:
            ResourceError: when another one holds it for an hour.
        """
        lock = FileLock(self._path.with_suffix(".lock"), timeout=LOCK_SECONDS)
        try:
            with lock:
                yield
        except Timeout as error:
            message = f"another run has been fetching into {self._path} for an hour; end it first"
            raise ResourceError(message) from error

    def fact(self, name: str) -> str:
        """Return something noted, "" where nothing was."""
        rows = self._execute("select value from facts where name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def note(self, **facts: str) -> None:
        """Note facts about the repository, all at once."""
        with self._transaction():
            self._note(facts)

    @property
    def tail(self) -> Tail:
        """The last page of the list, where the list was read to its end."""
        return Tail(self.fact("tail_url"), self.fact("tail_etag"))

    @property
    def trouble(self) -> Trouble | None:
        """Why the repository could not be fetched the last time."""
        reason = self.fact("trouble")
        return Trouble(reason, self.fact("trouble_detail")) if reason else None

    def keep_page(self, page: Sequence[Arrived], mark: str, tail: Tail) -> int:
        """Keep a page of the list and how far the list was read; return how many rows changed."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction():
            before = self._database.total_changes()
            for one in page:
                self._keep(one, now)
            changed = self._database.total_changes() - before
            self._note({"mark": mark, "tail_url": tail.url, "tail_etag": tail.etag})
        return changed

    def _keep(self, one: Arrived, now: str) -> None:
        content = one.issue.model_dump_json() if one.issue else ""
        self._execute(
            """insert into issues values (
                 ?1, (select coalesce(max(arrived), 0) + 1 from issues), ?2, ?3, ?4, ?5, ?6, ?7)
               on conflict (number) do update set
                 updated_at = ?2, comments = ?3, state = ?4, digest = ?5, content = ?7,
                 fetched_at = case when digest = ?5 then fetched_at else ?6 end
               where updated_at <> ?2 or comments <> ?3 or digest <> ?5""",
            (
                one.number, one.updated_at, one.comments,
                one.issue.state if one.issue else "", one.digest, now, content,
            ),
        )  # fmt: skip

    def keep_trail(self, number: int, trail: Trail) -> None:
        """Keep what is known of an issue's being a duplicate."""
        events = json.dumps([event.model_dump() for event in trail.events])
        with self._transaction():
            self._execute(
                "insert or replace into trails values (?, ?, ?, ?, ?)",
                (number, trail.seen, trail.etag, trail.canonical, events),
            )

    def count(self, state: str) -> int:
        """Return how many issues there are in a state, pull requests not counted."""
        rows = self._execute(
            "select count(*) from issues where content <> '' and ? in ('all', state)", (state,)
        )
        return int(rows[0][0])

    def rows(self) -> Iterator[Row]:
        """Yield every entry in the order of its first arrival."""
        query = (
            "select number, updated_at, comments, fetched_at, content from issues order by arrived"
        )
        with self._errors():
            for number, updated_at, comments, fetched_at, content in self._database.execute(query):
                issue = Issue.model_validate_json(content) if content else None
                yield Row(number, updated_at, comments, fetched_at, issue)

    def trail(self, number: int) -> Trail:
        """Return what is known of an issue's being a duplicate."""
        rows = self._execute(
            "select seen, etag, canonical, events from trails where number = ?", (number,)
        )
        if not rows:
            return Trail()
        seen, etag, canonical, events = rows[0]
        return Trail(seen, etag, canonical, tuple(Event(**event) for event in json.loads(events)))

    def fingerprint(self) -> str:
        """Return what changes exactly when what can be read here does."""
        parts = [self.fact("trouble"), self.fact("fetched")]
        parts += [
            f"{number} {digest} {fetched}"
            for number, digest, fetched in self._execute(
                "select number, digest, fetched_at from issues order by arrived"
            )
        ]
        parts += [
            f"{number} {canonical} {events}"
            for number, canonical, events in self._execute(
                "select number, canonical, events from trails order by number"
            )
        ]
        return digest_of(*parts)

    def _note(self, facts: dict[str, str]) -> None:
        for name, value in facts.items():
            self._execute("insert or replace into facts values (?, ?)", (name, value))

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._errors():
            return list(self._database.execute(sql, values))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), self._database:
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (apsw.FullError, apsw.ReadOnlyError, apsw.CantOpenError, OSError) as error:
            message = f"cannot write to {self._path} ({error}): free space or make it writable"
            raise ResourceError(message) from error
        except apsw.Error as error:
            message = f"{self._path} is damaged ({error}): delete it, and run again to fetch anew"
            raise ArtifactError(message) from error
