"""One thread writes: what gathers is committed together, and nothing counts before it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ArtifactError, ConfigError, ResourceError
from pipeline.journal import writer as writer_module
from pipeline.journal.database import Database, SQLite, connect
from pipeline.journal.entries import Claim, Spent
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import LARGEST_GROUP, JournalWriter
from tests.journal.asked import RESERVE, asking, question


def planning(number: int) -> Callable[[RequestJournal], int]:
    def plan(journal: RequestJournal) -> int:
        journal.plan([question(number)])
        return number

    return plan


def planned(url: str) -> list[str]:
    with closing(connect(url)) as database:
        return [key for (key,) in database.execute("select key from question order by key")]


class Gate:
    """An operation that the writer waits in, so that others gather behind it."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, _: RequestJournal) -> None:
        self.entered.set()
        assert self.opened.wait(20)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 20)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    """Grows by one with every transaction that the writer has committed."""
    done: list[Database] = []
    begun = SQLite.transaction

    @contextmanager
    def counted(self: SQLite) -> Iterator[None]:
        with begun(self):
            yield
        done.append(self)

    monkeypatch.setattr(SQLite, "transaction", counted)
    return done


def test_a_result_comes_after_its_commit(database_url: str) -> None:
    async def ask() -> None:
        with JournalWriter(database_url) as writer:
            for number in range(5):
                assert await writer.submit(planning(number)) == number
                assert len(planned(database_url)) == number + 1

    asyncio.run(ask())


def test_nothing_is_told_while_its_transaction_is_open(database_url: str) -> None:
    async def ask() -> None:
        gate = Gate()
        with JournalWriter(database_url) as writer:
            first = Gate()
            blocked = writer.submit(first)
            await first.reached()
            early, late = writer.submit(planning(1)), writer.submit(gate)
            first.opened.set()
            await gate.reached()  # planning(1) has run, in the same transaction as the gate
            await asyncio.sleep(0.02)
            assert (blocked.done(), early.done()) == (True, False)
            assert planned(database_url) == []
            gate.opened.set()
            await asyncio.gather(early, late)
            assert planned(database_url) == [question(1).key]

    asyncio.run(ask())


def test_what_gathers_while_the_writer_is_busy_is_committed_together(
    tmp_path: Path, commits: list[Database]
) -> None:
    async def ask() -> None:
        gate = Gate()
        with JournalWriter(str(tmp_path / "journal.sqlite")) as writer:
            writer.submit(gate)
            await gate.reached()
            before = len(commits)
            waiting = [writer.submit(planning(number)) for number in range(LARGEST_GROUP + 1)]
            gate.opened.set()
            assert await asyncio.gather(*waiting) == list(range(LARGEST_GROUP + 1))
            assert len(commits) - before == 1 + 2  # the gate's, a full group, and the one left

    asyncio.run(ask())


def test_operations_run_in_the_order_of_asking(database_url: str) -> None:
    ran: list[int] = []

    async def ask() -> None:
        with JournalWriter(database_url) as writer:
            await asyncio.gather(
                *(writer.submit(lambda _, number=number: ran.append(number))  # type: ignore[misc]
                  for number in range(300))
            )  # fmt: skip

    asyncio.run(ask())
    assert ran == list(range(300))


def test_an_error_reaches_all_whose_writing_it_undid_and_nobody_else(database_url: str) -> None:
    def fail(_: RequestJournal) -> None:
        raise ZeroDivisionError

    async def ask() -> None:
        gate = Gate()
        with JournalWriter(database_url) as writer:
            opened = writer.submit(gate)
            await gate.reached()
            together = [writer.submit(one) for one in (planning(1), fail, planning(2))]
            gate.opened.set()
            ended = await asyncio.gather(*together, return_exceptions=True)
            assert [type(one) for one in ended] == [ZeroDivisionError] * 3
            assert await opened is None
            assert planned(database_url) == []
            assert await writer.submit(planning(3)) == 3
        assert planned(database_url) == [question(3).key]

    asyncio.run(ask())


def test_a_commit_that_fails_reaches_whoever_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk shows itself at the commit, when all operations have run."""
    url = str(tmp_path / "journal.sqlite")
    begun = SQLite.transaction
    full = threading.Event()

    @contextmanager
    def filling(self: SQLite) -> Iterator[None]:
        with begun(self):
            yield
            if full.is_set():
                raise ResourceError("the disk is full")

    monkeypatch.setattr(SQLite, "transaction", filling)

    async def ask() -> None:
        with JournalWriter(url) as writer:
            await writer.submit(planning(1))
            full.set()
            with pytest.raises(ResourceError, match="full"):
                await writer.submit(planning(2))
            full.clear()
            await writer.submit(planning(3))

    asyncio.run(ask())
    assert planned(url) == [question(1).key, question(3).key]


def test_all_that_was_asked_is_written_before_the_end(database_url: str) -> None:
    async def ask() -> None:
        with JournalWriter(database_url) as writer:
            for number in range(50):
                writer.submit(planning(number))

    asyncio.run(ask())
    assert len(planned(database_url)) == 50


def test_who_no_longer_waits_is_written_for_all_the_same(database_url: str) -> None:
    async def ask() -> None:
        gate = Gate()
        with JournalWriter(database_url) as writer:
            writer.submit(gate)
            await gate.reached()
            gone, there = writer.submit(planning(1)), writer.submit(planning(2))
            gone.cancel()
            gate.opened.set()
            assert await there == 2

    asyncio.run(ask())
    assert len(planned(database_url)) == 2


def test_a_loop_that_has_ended_does_not_end_the_writer(tmp_path: Path) -> None:
    url = str(tmp_path / "journal.sqlite")
    gate = Gate()
    writer = JournalWriter(url)
    with writer:

        async def leave() -> None:
            writer.submit(gate)
            await gate.reached()

        async def ask() -> int:
            waiting = writer.submit(planning(1))
            gate.opened.set()
            return await waiting

        asyncio.run(leave())
        assert asyncio.run(ask()) == 1


def test_two_writers_on_one_journal_share_the_questions_out(database_url: str) -> None:
    numbers = range(150)

    async def claim(writer: JournalWriter, runner: str, order: range) -> dict[int, Claim]:
        await writer.submit(lambda journal: journal.enrol(runner))
        await asyncio.gather(*(writer.submit(planning(number)) for number in numbers))
        claims = {}
        for number in order:
            operation = partial(
                RequestJournal.claim, asking=asking(runner), key=question(number).key,
                reserve=RESERVE,
            )  # fmt: skip
            claims[number] = await writer.submit(operation)
        return claims

    async def ask() -> tuple[dict[int, Claim], dict[int, Claim], Spent]:
        with JournalWriter(database_url) as one, JournalWriter(database_url) as two:
            claims = await asyncio.gather(
                claim(one, "one", numbers), claim(two, "two", numbers[::-1])
            )
            return *claims, await one.submit(lambda journal: journal.spent("job"))

    ones, twos, spent = asyncio.run(ask())
    for number in numbers:
        assert {ones[number], twos[number]} == {Claim(1), Claim(0, "taken")}
    assert {ones[0], twos[149]} == {Claim(1)}  # neither had to wait for the other's end
    assert spent.requests == len(numbers)


def unopened(url: str) -> None:
    with JournalWriter(url):
        pass


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("mysql://host/name", ConfigError, "mysql:// is not known"),
        ("postgresql://user:hidden@127.0.0.1:1/none", ResourceError, "127.0.0.1:1/none cannot be"),
        ("{folder}/file/journal.sqlite", ResourceError, "cannot write to the journal"),
        ("{folder}/folder", ResourceError, "cannot write to the journal"),
        ("{folder}/file", ArtifactError, "is damaged"),
    ],
)
def test_a_journal_that_cannot_be_opened_says_why(
    tmp_path: Path, url: str, error: type[Exception], said: str
) -> None:
    (tmp_path / "file").write_bytes(b"no database" * 1_000)
    (tmp_path / "folder").mkdir()
    with pytest.raises(error, match=said) as raised:
        unopened(url.format(folder=tmp_path))
    assert "hidden" not in str(raised.value)


def test_the_writer_closes_what_it_opened(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []

    def kept(url: str) -> Database:
        opened.append(connect(url))
        return opened[-1]  # type: ignore[no-any-return]

    monkeypatch.setattr(writer_module, "connect", kept)
    unopened(database_url)
    with pytest.raises((ArtifactError, ResourceError)):
        opened[0].execute("select 1")
