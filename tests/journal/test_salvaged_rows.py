"""What salvaged rows say together: money stays booked, and no state is made up."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.journal.database import Database, connect
from pipeline.journal.entries import Claim, Known, Spent
from pipeline.journal.pages import PAGE_BYTES, Pages
from pipeline.journal.requests import RequestJournal
from pipeline.journal.salvage import salvage
from tests.journal.asked import BILL, RESERVE, asking, filled, planned, question, reply_to

COUNT = 60


@contextmanager
def opened(path: Path) -> Iterator[tuple[Database, RequestJournal]]:
    with closing(connect(str(path))) as database, database.transaction():
        yield database, RequestJournal(database)


@pytest.fixture
def journal(tmp_path: Path) -> tuple[Path, dict[str, Known]]:
    """A journal that was closed, and what is in it."""
    path = tmp_path / "journal.sqlite"
    with closing(connect(str(path))) as database:
        return path, filled(database, COUNT)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new.sqlite"


def changed(path: Path, before: bytes, after: bytes) -> None:
    """Change some bytes of a file behind the back of the database."""
    data = path.read_bytes()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, after))


def test_a_lost_answer_is_held_and_can_be_asked_for_again(
    journal: tuple[Path, dict[str, Known]], new: Path
) -> None:
    path, known = journal
    key = question(7).key
    reply = known[key].reply
    assert reply is not None
    changed(path, reply, b"?" + reply[1:])
    assert salvage(path, new)[1:] == (1, 1)
    with opened(new) as (_, found):
        assert found.known([key]) == {key: Known("uncertain", "answer_lost", 1, 1, None)}
        found.enrol("another")
        assert found.claim(asking("another"), key, RESERVE) == Claim(0, "held")
        assert found.claim(asking("another", resend=True), key, RESERVE) == Claim(2)


@pytest.mark.parametrize(
    ("number", "state", "expected"),
    [
        (8, "accepted", Known("received", "", 1, 1, reply_to(8))),  # to be judged again
        (COUNT + 5, "uncertain", Known("uncertain", "row_lost", 1, 0, None)),
    ],
)
def test_a_state_that_is_none_is_not_believed(
    journal: tuple[Path, dict[str, Known]], new: Path, number: int, state: str, expected: Known
) -> None:
    path, known = journal
    key, _, pair = question(number)
    assert known[key].state == state
    place = f"{key}annotator{pair}{state}"
    changed(path, place.encode(), (place[:-1] + "?").encode())
    salvage(path, new)
    with opened(new) as (_, found):
        assert found.known([key]) == {key: expected}


def test_a_question_said_to_be_planned_though_it_was_sent_is_uncertain(
    journal: tuple[Path, dict[str, Known]], new: Path
) -> None:
    path, known = journal
    sent = [key for key, one in known.items() if one.state == "sent"]
    with opened(path) as (database, _):
        database.execute("update question set state = 'planned' where state = 'sent'")
    salvage(path, new)
    with opened(new) as (_, found):
        assert sent
        assert {found.known([key])[key].state for key in sent} == {"uncertain"}


def test_an_older_version_of_a_page_does_not_count(tmp_path: Path, new: Path) -> None:
    """As a page that the database no longer uses may hold one."""
    path, older = tmp_path / "journal.sqlite", tmp_path / "older.sqlite"
    with closing(connect(str(path))) as database, database.transaction():
        RequestJournal(database).prepare()
        keys = planned(RequestJournal(database), 30)
        for key in keys:
            RequestJournal(database).claim(asking(), key, RESERVE)
    shutil.copy(path, older)
    with opened(path) as (_, found):
        for key in keys:
            found.receive(key, 1, b"an answer")
            found.judge(key, 1, "accepted", "", BILL)
        known = found.known(keys)
    with path.open("ab") as stream:
        stream.write(older.read_bytes())
    salvage(path, new)
    with opened(new) as (_, found):
        assert found.known(keys) == known
        assert found.spent("job") == Spent(30 * 300, 30 * 40, 30)


def test_what_a_job_has_cost_follows_from_its_attempts_where_its_row_is_lost(
    journal: tuple[Path, dict[str, Known]], new: Path
) -> None:
    path, _ = journal
    with opened(path) as (database, found):
        spent = found.spent("job")
        [(page,)] = database.execute("select rootpage from sqlite_schema where name = 'job'")
    data = bytearray(path.read_bytes())
    data[(page - 1) * PAGE_BYTES : page * PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(data)
    salvage(path, new)
    with opened(new) as (_, found):
        assert found.spent("job") == spent


def test_money_that_a_broken_page_says_was_reserved_stays_booked(tmp_path: Path, new: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with opened(path) as (_, found):
        found.prepare()
        first, second = planned(found, 2)
        for key in (first, second):
            found.claim(asking(), key, RESERVE)
        found.receive(second, 1, b"an answer")
    changed(path, b"an answer", b"an answes")  # the page's checksum is wrong for both rows
    salvage(path, new)
    with opened(new) as (_, found):
        found.receive(first, 1, b"late")
        found.judge(first, 1, "accepted", "", BILL)
        assert found.spent("job") == Spent(2 * RESERVE.usd, 2 * RESERVE.tokens, 2)


def test_rows_of_every_length_are_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    names = {chr(65 + size % 26) * size for size in range(3_900, 12_400, 17)}
    with opened(path) as (database, found):
        found.prepare()
        database.executemany("insert into job values (?, 1, -2, 300)", [(name,) for name in names])
    with closing(Pages(path)) as pages:
        rows = [row.values for row in pages.rows() if len(row.values) == 4]
    assert sorted(rows, key=str) == sorted(((name, 1, -2, 300) for name in names), key=str)


def test_bytes_that_are_no_database_are_survived(tmp_path: Path) -> None:
    for seed in range(10):
        path, new = tmp_path / f"{seed}.sqlite", tmp_path / f"{seed}-new.sqlite"
        path.write_bytes(random.Random(seed).randbytes(seed * 3_000))
        found = salvage(path, new)
        assert (found.copied, found.lost) == (0, 0)
        assert found.pages == -(-seed * 3_000 // PAGE_BYTES)


def test_a_name_that_cannot_be_meant_is_refused(
    journal: tuple[Path, dict[str, Known]], new: Path
) -> None:
    with pytest.raises(InputError, match="there is no journal"):
        salvage(new, new)
    with pytest.raises(InputError, match="is there already"):
        salvage(journal[0], journal[0])
