"""Where the journal of requests lives: SQLite on a local disk by default, PostgreSQL by URL.

Both are used through the same few calls and the same SQL. A transaction is exclusive: one writer
at a time, whatever process it is in, so what was read inside it still holds when it writes.

SQLite comes with `apsw`, whose copy has the fix of the write-ahead log that older system libraries
lack, and the checksum VFS: every page ends in a checksum, verified whenever the page is read.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import apsw
import apsw.sqlite_extra
from filelock import FileLock, Timeout

from pipeline.errors import ArtifactError, ConfigError, ResourceError
from pipeline.journal import wal

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
BUSY_SECONDS: Final = 120.0
LOG_READINGS: Final = 3
LOG_PAUSE: Final = 0.02  # seconds
_UNWRITABLE: Final = (
    apsw.FullError, apsw.ReadOnlyError, apsw.IOError, apsw.CantOpenError, OSError,
)  # fmt: skip
_CHECKSUM_VFS: Final = "cksmvfs"
_CHECKSUM_BYTES: Final = 8  # a page, as that VFS demands


class Database(Protocol):
    """A database with one writer; placeholders in SQL are question marks."""

    @property
    def where(self) -> str:
        """Its place, for messages; no password is in it."""
        ...

    @property
    def types(self) -> Mapping[str, str]:
        """What the dialect calls {blob}, {real} and {integer}."""
        ...

    @property
    def listed(self) -> str:
        """A query of the members of a JSON list given as its one value."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Hold the write lock; commit to disk at the end, undo everything on an error."""
        ...

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of ``rows``."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def connect(url: str) -> Database:
    """Return the database at ``url``: a path, ``sqlite:///PATH`` or ``postgresql://…``.

    Raises:
        ConfigError: when the URL is of another kind.
        ResourceError: when it cannot be reached or written.
        ArtifactError: when it is damaged.
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in ("postgresql", "postgres"):
        from pipeline.journal.postgres import Postgres  # noqa: PLC0415 - an optional extra

        return Postgres(url)
    if scheme in ("", "sqlite"):
        return SQLite(Path(url.removeprefix("sqlite:///") if scheme else url))
    message = f"label.journal: {scheme}:// is not known; give a path, sqlite:/// or postgresql://"
    raise ConfigError(message)


class SQLite:
    """A file on a local disk, in write-ahead mode, synced at every commit."""

    types: Final = {"blob": "blob", "real": "real", "integer": "integer"}
    listed: Final = "select value from json_each(?)"

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._waits_since = 0.0
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors(), FileLock(f"{path}.lock", timeout=BUSY_SECONDS):
            self._check_log()
            _load_checksum_vfs()
            self._connection = apsw.Connection(str(path), vfs=_CHECKSUM_VFS)
            self._connection.set_busy_handler(self._wait)
            self._connection.reserve_bytes(reserve=_CHECKSUM_BYTES)
            for setting in ("journal_mode = wal", "synchronous = full", "temp_store = memory"):
                self._connection.execute(f"pragma {setting}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; commit to disk at the end, undo everything on an error."""
        with self._errors():
            self._connection.execute("begin immediate")
        try:
            yield
            with self._errors():
                self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        with self._errors():
            return list(self._connection.execute(sql, values))

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of ``rows``."""
        with self._errors():
            self._connection.executemany(sql, rows)

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        with self._errors():
            self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (apsw.BusyError, Timeout) as error:
            message = f"the journal {self.where} was locked for {BUSY_SECONDS:.0f} s"
            raise ResourceError(message) from error
        except _UNWRITABLE as error:
            if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_DATA:
                raise ArtifactError(self._damaged("a page fails its checksum")) from error
            message = (
                f"cannot write to the journal {self.where} ({error}): free disk space, or set "
                "label.journal to a place that is writable"
            )
            raise ResourceError(message) from error
        except apsw.Error as error:
            raise ArtifactError(self._damaged(str(error))) from error

    def _wait(self, looked: int) -> bool:
        """Wait a moment for another writer; return whether to look again.

        SQLite's own waiting looks ten times a second at last, and hardly ever finds the gap that
        a busy writer leaves between two transactions.
        """
        now = time.monotonic()
        self._waits_since = self._waits_since if looked else now
        time.sleep(random.uniform(0.5e-3, 1.5e-3))  # noqa: S311 - spreads looks, hides nothing
        return now - self._waits_since < BUSY_SECONDS

    def _check_log(self) -> None:
        """See that SQLite will read all of the write-ahead log that an ended process left."""
        path, state = Path(f"{self.where}-wal"), "whole"
        for _ in range(LOG_READINGS):  # one that is being written may look torn once
            try:
                state = wal.state(path.read_bytes())
            except FileNotFoundError:
                return
            if state == "whole":
                return
            time.sleep(LOG_PAUSE)
        if state == "damaged":
            raise ArtifactError(self._damaged(f"{path.name} is broken before its end"))
        log.warning("%s: its last change is broken and left out, as after a power cut", path)

    def _damaged(self, what: str) -> str:
        return (
            f"the journal {self.where} is damaged ({what}): put back a copy of it and remove "
            "what ends in -wal and -shm beside it, or save what can be read with "
            "`angle-adapt journal salvage`"
        )


@cache
def _load_checksum_vfs() -> None:
    """Register the VFS for this process."""
    apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")
