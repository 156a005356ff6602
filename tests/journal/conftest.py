"""A journal's database, once in SQLite and once in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.journal.database import Database, connect
from pipeline.journal.requests import RequestJournal
from tests.journal.cluster import Cluster, binaries, cluster


class Clock:
    """A time of day that goes on when told."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One PostgreSQL server for all tests of the session."""
    if binaries() is None:
        pytest.skip("no PostgreSQL server is installed here (initdb, postgres)")
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of this test alone."""
    if request.param == "sqlite":
        yield str(tmp_path / "journal" / "requests.sqlite")
        return
    running: Cluster = request.getfixturevalue("postgres")
    url = running.create()
    yield url
    running.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A connection to that database, with a journal's tables."""
    with closing(connect(database_url)) as connection:
        with connection.transaction():
            RequestJournal(connection).prepare()
        yield connection


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(database: Database, clock: Clock) -> Iterator[RequestJournal]:
    """A journal inside a transaction that lasts as long as the test."""
    with database.transaction():
        yield RequestJournal(database, clock)
