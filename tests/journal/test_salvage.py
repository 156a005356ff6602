"""A damaged journal is salvaged: what survived is there, what did not is known to be missing."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.errors import ArtifactError
from pipeline.journal.database import connect
from pipeline.journal.entries import Claim, Known, Spent
from pipeline.journal.pages import PAGE_BYTES
from pipeline.journal.requests import RequestJournal
from pipeline.journal.salvage import TABLES, Salvaged, salvage
from pipeline.journal.wal import FRAME_BYTES, HEADER_BYTES
from tests.journal.asked import RESERVE, asking, filled, planned

COUNT = 240
HEAD_BYTES = 160  # more than what comes before the answer in a row
PIECE = 40
CHECKSUM = 16  # bytes, after the answer
Damage = Callable[[random.Random, bytearray], range]


class Filled(NamedTuple):
    """A journal that was closed, and what is in it."""

    path: Path
    known: dict[str, Known]
    spent: Spent
    places: dict[str, list[int]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    path = tmp_path_factory.mktemp("whole") / "journal.sqlite"
    with closing(connect(str(path))) as database:
        known = filled(database, COUNT)
        spent = RequestJournal(database).spent("job")
    return Filled(path, known, spent, located(path.read_bytes(), known))


def read(path: Path, keys: list[str]) -> tuple[dict[str, Known], Spent]:
    with closing(connect(str(path))) as database, database.transaction():
        journal = RequestJournal(database)
        return journal.known(keys), journal.spent("job")


def claims(path: Path, keys: list[str]) -> list[Claim]:
    """Return what another run may ask for, once it has planned all."""
    with closing(connect(str(path))) as database, database.transaction():
        journal = RequestJournal(database)
        planned(journal, len(keys), "another")
        journal.recover()
        return [journal.claim(asking("another"), key, RESERVE) for key in keys]


def bit(dice: random.Random, data: bytearray) -> range:
    at = dice.randrange(len(data))
    data[at] ^= 1 << dice.randrange(8)
    return range(at, at + 1)


def garbage(dice: random.Random, data: bytearray) -> range:
    at, size = dice.randrange(len(data)), dice.randint(1, 300)
    at = min(at, at // PAGE_BYTES * PAGE_BYTES + PAGE_BYTES - size)  # on one page
    data[at : at + size] = dice.randbytes(size)
    return range(at, at + size)


def page_of_zeros(dice: random.Random, data: bytearray) -> range:
    at = dice.randrange(len(data) // PAGE_BYTES) * PAGE_BYTES
    data[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)
    return range(at, at + PAGE_BYTES)


def head_of_a_page(dice: random.Random, data: bytearray) -> range:
    at = dice.randrange(len(data) // PAGE_BYTES) * PAGE_BYTES
    data[at : at + 60] = dice.randbytes(60)
    return range(at, at + 60)


def end_cut_off(dice: random.Random, data: bytearray) -> range:
    at = dice.randrange(len(data) * 3 // 4, len(data))
    end = len(data)
    del data[at:]
    return range(at, end)


def survivors(whole: Filled, harmed: range) -> set[str]:
    """Return the questions whose answer the damage left alone, found the slow way: by its bytes."""
    found = set()
    pages = range(harmed.start // PAGE_BYTES, -(-harmed.stop // PAGE_BYTES))
    for key, places in whole.places.items():
        start, end = places[0] - HEAD_BYTES, places[-1] + PIECE + CHECKSUM
        apart = end <= harmed.start or start >= harmed.stop
        if end - start > 1_000:  # on several pages
            apart = not any(place // PAGE_BYTES in pages for place in (start, *places, end))
        if apart:
            found.add(key)
    return found


def located(data: bytes, known: dict[str, Known]) -> dict[str, list[int]]:
    """Return where in the file the pieces of every answer are."""
    found = {}
    for key, one in known.items():
        reply = one.reply or b""
        places = [data.find(reply[at : at + PIECE]) for at in range(0, len(reply), PIECE)]
        if reply:  # a piece that goes over from one page to the next is not found
            found[key] = sorted(place for place in places if place >= 0)
    return found


@pytest.mark.parametrize("damage", [bit, garbage, page_of_zeros, head_of_a_page, end_cut_off])
def test_every_answer_that_survived_is_there_and_no_damaged_one(
    whole: Filled, tmp_path: Path, damage: Damage
) -> None:
    data, keys = whole.path.read_bytes(), list(whole.known)
    for seed in range(25):
        changed = bytearray(data)
        harmed = damage(random.Random(seed), changed)
        path, new = tmp_path / f"{seed}.sqlite", tmp_path / f"{seed}-new.sqlite"
        path.write_bytes(changed)
        outcome = salvage(path, new)
        found, spent = read(new, keys)
        answers = {key: one.reply for key, one in found.items() if one.reply is not None}
        assert answers.items() <= {key: one.reply for key, one in whole.known.items()}.items()
        assert answers.keys() >= survivors(whole, harmed)
        assert outcome.copied == len(answers)
        held = [key for key, one in found.items() if one.reason in ("answer_lost", "row_lost")]
        assert outcome.lost == len(held)
        if damage is not end_cut_off:  # which may take the job's page and many others
            assert spent == whole.spent
            lost = sum(one.reply is not None for one in whole.known.values()) - len(answers)
            assert lost <= outcome.lost <= lost + 8


@pytest.mark.parametrize("damage", [bit, garbage, page_of_zeros, head_of_a_page])
def test_nothing_on_one_broken_page_is_asked_for_twice(
    whole: Filled, tmp_path: Path, damage: Damage
) -> None:
    keys = list(whole.known)
    free = {key for key, one in whole.known.items() if one.state in ("planned", "failed")}
    for seed in range(25):
        changed = bytearray(whole.path.read_bytes())
        damage(random.Random(1_000 + seed), changed)
        path, new = tmp_path / f"{seed}.sqlite", tmp_path / f"{seed}-new.sqlite"
        path.write_bytes(changed)
        salvage(path, new)
        given = {key for key, claim in zip(keys, claims(new, keys), strict=True) if claim.number}
        assert given <= free


def test_of_a_whole_journal_everything_is_copied(whole: Filled, tmp_path: Path) -> None:
    new = tmp_path / "new.sqlite"
    answers = sum(one.reply is not None for one in whole.known.values())
    assert salvage(whole.path, new) == Salvaged(copied=answers, lost=0, pages=0)
    with closing(connect(str(whole.path))) as old, closing(connect(str(new))) as copy:
        for name in TABLES:
            rows = f"select * from {name}"  # noqa: S608 - a name of our own
            assert sorted(copy.execute(rows), key=str) == sorted(old.execute(rows), key=str)
        assert old.execute("select count(*) from attempt") == [(COUNT + 6,)]


def test_a_file_without_its_first_page_is_salvaged(whole: Filled, tmp_path: Path) -> None:
    path, new = tmp_path / "headless.sqlite", tmp_path / "new.sqlite"
    path.write_bytes(bytes(PAGE_BYTES) + whole.path.read_bytes()[PAGE_BYTES:])
    with pytest.raises(ArtifactError, match=r"headless\.sqlite is damaged.*journal salvage"):
        read(path, list(whole.known))
    assert salvage(path, new).lost == 0
    assert read(new, list(whole.known)) == (whole.known, whole.spent)


@pytest.fixture
def killed(tmp_path: Path) -> Filled:
    """A journal as a killed process leaves it: nearly all of it is in the log."""
    path = tmp_path / "killed" / "journal.sqlite"
    path.parent.mkdir()
    with closing(connect(str(tmp_path / "journal.sqlite"))) as database:
        known = filled(database, COUNT)
        spent = RequestJournal(database).spent("job")
        for end in ("", "-wal"):
            shutil.copy(f"{database.where}{end}", f"{path}{end}")
    return Filled(path, known, spent, {})


def test_what_a_killed_process_left_in_the_log_is_salvaged(killed: Filled, tmp_path: Path) -> None:
    new = tmp_path / "new.sqlite"
    assert salvage(killed.path, new).lost == 0
    assert read(new, list(killed.known)) == (killed.known, killed.spent)


def test_what_was_not_committed_when_a_process_was_killed_is_not_salvaged(
    killed: Filled, tmp_path: Path
) -> None:
    log = Path(f"{killed.path}-wal")
    data, keys = log.read_bytes(), list(killed.known)
    for seed in range(15):
        log.write_bytes(data[: random.Random(seed).randrange(len(data) // 2, len(data))])
        new, copy = tmp_path / f"{seed}.sqlite", tmp_path / f"{seed}-copy.sqlite"
        shutil.copy(killed.path, copy)
        shutil.copy(log, f"{copy}-wal")
        salvage(killed.path, new)
        assert read(new, keys) == read(copy, keys)


def test_a_page_that_the_log_has_under_a_wrong_number_replaces_no_other(
    killed: Filled, tmp_path: Path
) -> None:
    log = Path(f"{killed.path}-wal")
    data, keys = log.read_bytes(), list(killed.known)
    places = range(HEADER_BYTES, len(data), FRAME_BYTES + PAGE_BYTES)
    for at in places[-40:]:
        changed = bytearray(data)
        changed[at + 3] ^= 1
        log.write_bytes(changed)
        new = tmp_path / f"{at}.sqlite"
        salvage(killed.path, new)
        found, _ = read(new, keys)
        lost = [key for key in keys if found[key].reply != killed.known[key].reply]
        # The rest of a long answer is known by the number of its page alone.
        assert len(lost) <= 1
        assert all(len(killed.known[key].reply or b"") > PAGE_BYTES for key in lost)


def test_a_log_with_a_flipped_bit_is_noticed_and_salvaged(killed: Filled, tmp_path: Path) -> None:
    log = Path(f"{killed.path}-wal")
    data, keys = log.read_bytes(), list(killed.known)
    for seed in range(25):
        dice, changed = random.Random(seed), bytearray(data)
        at = dice.randrange(32 if seed < 5 else len(data) * 3 // 4)
        changed[at] ^= 1 << dice.randrange(8)
        log.write_bytes(changed)
        with pytest.raises(ArtifactError, match=r"journal\.sqlite-wal is broken before its end"):
            connect(str(killed.path))
        new = tmp_path / f"{seed}.sqlite"
        outcome = salvage(killed.path, new)
        found, _ = read(new, keys)
        assert outcome.lost <= 1
        for key, one in killed.known.items():
            assert found[key].reply == one.reply or found[key].state == "uncertain"


@pytest.mark.parametrize("name", sorted(TABLES))
def test_rows_are_known_by_the_types_of_their_columns(whole: Filled, name: str) -> None:
    kinds = {"TEXT": "t", "INTEGER": "i", "REAL": "r", "BLOB": "b"}
    with closing(connect(str(whole.path))) as database:
        columns = database.execute(f"pragma table_info({name})")
        tables = database.execute("select name from sqlite_schema where type = 'table'")
    form = [
        kind if needed else kind.upper()
        for kind, needed in ((kinds[row[2].upper()], row[3] or row[5]) for row in columns)
    ]
    assert "".join(form) == TABLES[name].form
    assert {table for (table,) in tables} == set(TABLES)
