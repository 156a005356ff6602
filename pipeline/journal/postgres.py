"""The journal of requests in PostgreSQL, shared by several machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from pipeline.errors import ArtifactError, ResourceError
from pipeline.journal.database import Row

# Holding it makes a transaction exclusive among all writers of the database; any number will do.
_LOCK: Final = 230_912_871
# A process that was stopped inside a transaction, or whose machine sleeps, must not hold up others.
IDLE_SECONDS: Final = 60
LOCK_SECONDS: Final = 120


class Postgres:
    """One connection to a PostgreSQL server (9.5 or newer)."""

    types: Final = {"blob": "bytea", "real": "double precision", "integer": "bigint"}
    listed: Final = "select json_array_elements_text(cast(? as json))"

    def __init__(self, url: str) -> None:
        try:
            import psycopg  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            message = (
                "a journal in PostgreSQL needs the extra `postgres`: "
                "pip install 'angle-adapt[postgres]'"
            )
            raise ResourceError(message) from error
        self.where = _without_password(url)
        self._failures = psycopg
        self._gone = psycopg.errors.IdleInTransactionSessionTimeout
        with self._errors():
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=20)
            for setting, seconds in (
                ("idle_in_transaction_session_timeout", IDLE_SECONDS),
                ("lock_timeout", LOCK_SECONDS),
            ):
                self._connection.execute(f"set {setting} = '{seconds}s'".encode())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock; commit to disk at the end, undo everything on an error."""
        with self._errors(), self._connection.transaction():
            self._connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            yield

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        with self._errors():
            cursor = self._connection.execute(sql.replace("?", "%s").encode(), values)
            return cursor.fetchall() if cursor.description else []

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of ``rows``."""
        with self._errors(), self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s").encode(), rows)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (self._failures.OperationalError, self._gone) as error:
            message = f"the journal {self.where} cannot be reached: {_first_line(error)}"
            raise ResourceError(message) from error
        except self._failures.Error as error:
            message = f"the journal {self.where} cannot be used: {_first_line(error)}"
            raise ArtifactError(message) from error


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
