"""Results that cost time or money, one row each, kept across runs: a small SQLite table.

A row is committed before it counts, so a killed run loses at most the batch it was computing. Rows
carry their own checksum; a damaged one is computed again. One file serves all runs of a user.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
from filelock import FileLock

from pipeline.disk import disk_errors
from pipeline.errors import ArtifactError, ResourceError

log = logging.getLogger(__name__)

_SCHEMA: Final = """
create table if not exists entry (
    owner text not null, key text not null, value blob not null, checksum blob not null,
    primary key (owner, key)
) without rowid
"""


class Journal:
    """Maps (owner, key) to bytes; ``owner`` names everything that decides the value."""

    def __init__(self, path: Path) -> None:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        # The switch to a write-ahead log does not wait for other processes; the lock does.
        with FileLock(f"{path}.lock"), _database_errors(path):
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(60_000)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            self._connection.execute(_SCHEMA)

    def read(self, owner: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the undamaged values among ``keys``.

        Raises:
            ArtifactError: when the file is damaged beyond single rows.
        """
        found: dict[str, bytes] = {}
        query = "select value, checksum from entry where owner = ? and key = ?"
        with _database_errors(self.path):
            for key in keys:
                for value, checksum in self._connection.execute(query, (owner, key)):
                    if isinstance(value, bytes) and _checksum(owner, key, value) == checksum:
                        found[key] = value
                    else:
                        log.warning("%s: a damaged row is computed again", self.path)
        return found

    def write(self, owner: str, values: Mapping[str, bytes]) -> None:
        """Commit ``values``; a key that is there already is replaced.

        Raises:
            ResourceError: when the disk is full.
        """
        rows = [(owner, key, value, _checksum(owner, key, value)) for key, value in values.items()]
        with _database_errors(self.path), self._connection:
            self._connection.executemany("insert or replace into entry values (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextmanager
def _database_errors(path: Path) -> Iterator[None]:
    """Turn the database's errors into ours: the disk's are the machine's, the rest the file's."""
    try:
        yield
    except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
        message = f"cannot write to {path} ({error}): free disk space, or set ANGLE_ADAPT_HOME"
        raise ResourceError(message) from error
    except apsw.Error as error:
        message = f"the journal {path} cannot be used ({error}); move it aside to start a new one"
        raise ArtifactError(message) from error


def _checksum(owner: str, key: str, value: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((owner.encode(), key.encode(), value))).digest()[:8]
