"""Results that cost time or money, one row each, kept across runs: a small SQLite table.

A row is committed before it counts, so a killed run loses at most the batch it was computing. Rows
carry their own checksum; a damaged one is computed again. One file serves all runs of a user.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import apsw

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
        try:
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(60_000)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            self._connection.execute(_SCHEMA)
        except apsw.Error as error:
            message = (
                f"the journal {path} cannot be opened ({error}); move it aside to start a new one"
            )
            raise ArtifactError(message) from error

    def read(self, owner: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the undamaged values among ``keys``."""
        found: dict[str, bytes] = {}
        for key in keys:
            for value, checksum in self._connection.execute(
                "select value, checksum from entry where owner = ? and key = ?", (owner, key)
            ):
                if _checksum(owner, key, value) == checksum:
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
        try:
            with self._connection:
                self._connection.executemany(
                    "insert or replace into entry values (?, ?, ?, ?)", rows
                )
        except (apsw.FullError, apsw.IOError) as error:
            message = (
                f"cannot write to {self.path} ({error}): free disk space, or set ANGLE_ADAPT_HOME"
            )
            raise ResourceError(message) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _checksum(owner: str, key: str, value: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((owner.encode(), key.encode(), value))).digest()[:8]
