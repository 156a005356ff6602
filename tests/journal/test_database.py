"""The two places of a journal: what is committed stays, damage is noticed, errors say what."""

from __future__ import annotations

import logging
import random
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import AngleAdaptError, ArtifactError, ConfigError, ResourceError
from pipeline.journal import database as database_module
from pipeline.journal import wal
from pipeline.journal.database import Database, SQLite, connect
from pipeline.journal.entries import Known
from pipeline.journal.requests import RequestJournal
from pipeline.journal.wal import FRAME_BYTES, HEADER_BYTES, PAGE_BYTES
from tests.journal.asked import filled

COUNT = 60


def read(path: Path, keys: list[str]) -> dict[str, Known]:
    with closing(connect(str(path))) as database, database.transaction():
        return RequestJournal(database).known(keys)


def test_what_fails_inside_a_transaction_is_undone(database: Database) -> None:
    def fail() -> None:
        with database.transaction():
            database.execute("insert into job values ('job', 1, 2, 3)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert database.execute("select * from job") == []
    with database.transaction():
        database.execute("insert into job values ('job', 1, 2, 3)")
    assert database.execute("select * from job") == [("job", 1, 2, 3)]


def test_what_is_not_committed_is_seen_by_nobody_else(
    database: Database, database_url: str
) -> None:
    with closing(connect(database_url)) as other:
        with database.transaction():
            database.execute("insert into job values ('job', 1, 2, 3)")
            assert other.execute("select * from job") == []
        assert other.execute("select * from job") == [("job", 1, 2, 3)]


def test_a_statement_that_makes_no_sense_names_the_journal(database: Database) -> None:
    with pytest.raises(ArtifactError, match=r"the journal .*journal"):
        database.execute("select no_such_column from job")


@pytest.mark.parametrize("form", ["{path}", "sqlite:///{path}"])
def test_sqlite_is_named_by_a_path_or_a_url(tmp_path: Path, form: str) -> None:
    path = tmp_path / "new folder" / "journal.sqlite"
    with closing(connect(form.format(path=path))) as database:
        assert isinstance(database, SQLite)
        assert database.where == str(path)
    assert path.exists()


def test_another_kind_of_url_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"label\.journal: mysql:// is not known"):
        connect("mysql://host/name")


def test_a_password_is_in_no_message() -> None:
    url = "postgresql://user:hidden@127.0.0.1:1,127.0.0.1:2/name?password=hidden"
    with pytest.raises(
        ResourceError, match=r"127\.0\.0\.1:1,127\.0\.0\.1:2/name cannot be"
    ) as raised:
        connect(url)
    assert "hidden" not in str(raised.value)


def test_who_waits_too_long_for_another_writer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.2)
    path = str(tmp_path / "journal.sqlite")

    def begin() -> None:
        with waiting.transaction():
            pass

    with closing(connect(path)) as holding, closing(connect(path)) as waiting:
        with holding.transaction(), pytest.raises(ResourceError, match="was locked for"):
            begin()
        begin()


def test_who_waits_too_long_for_another_to_open_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.2)
    with (
        FileLock(tmp_path / "journal.sqlite.lock", is_singleton=False),
        pytest.raises(ResourceError, match="was locked for"),
    ):
        connect(str(tmp_path / "journal.sqlite"))


def test_a_writer_that_never_rests_does_not_keep_others_out(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.sqlite")
    ended = threading.Event()
    turns = [0, 0]

    def write(who: int, most: float) -> None:
        with closing(connect(path)) as database:
            while not ended.is_set() and turns[who] < most:
                with database.transaction():
                    database.execute("update job set usd = usd + 1")
                turns[who] += 1

    with closing(connect(path)) as database, database.transaction():
        RequestJournal(database).prepare()
        database.execute("insert into job values ('job', 0, 0, 0)")
    restless = threading.Thread(target=write, args=(0, float("inf")))
    restless.start()
    write(1, 20)
    ended.set()
    restless.join()
    assert turns[1] == 20
    assert turns[0] < 20 * 200  # it waited for some turns each time, not for hundreds


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Known]]:
    path = tmp_path_factory.mktemp("closed") / "journal.sqlite"
    with closing(connect(str(path))) as database:
        return path, filled(database, COUNT)


def test_a_single_flipped_bit_is_never_silent(
    closed: tuple[Path, dict[str, Known]], tmp_path: Path
) -> None:
    """1,000 of them, in a larger journal, are `benchmarks/annotation_journal.py`."""
    path, known = closed
    data, keys, noticed = path.read_bytes(), list(known), 0
    changed_path = tmp_path / "flipped.sqlite"
    for seed in range(100):
        dice, changed = random.Random(seed), bytearray(data)
        at = dice.randrange(100 if seed < 20 else len(data))
        changed[at] ^= 1 << dice.randrange(8)
        changed_path.write_bytes(changed)
        try:
            found = read(changed_path, keys)
        except AngleAdaptError as error:
            assert "flipped.sqlite" in str(error)
            noticed += 1
        else:
            assert found == known
    assert noticed > 50


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, dict[str, Known]]:
    """A journal as a killed process leaves it: nearly all of it is in the log."""
    path = tmp_path / "killed" / "journal.sqlite"
    path.parent.mkdir()
    with closing(connect(str(tmp_path / "journal.sqlite"))) as database:
        known = filled(database, COUNT)
        for end in ("", "-wal"):
            shutil.copy(f"{database.where}{end}", f"{path}{end}")
    return path, known


def test_a_log_that_a_killed_process_left_is_read(killed: tuple[Path, dict[str, Known]]) -> None:
    path, known = killed
    assert read(path, list(known)) == known


def test_a_log_cut_off_anywhere_is_what_a_kill_leaves(
    killed: tuple[Path, dict[str, Known]], caplog: pytest.LogCaptureFixture
) -> None:
    path, _ = killed
    log = Path(f"{path}-wal").read_bytes()
    for seed in range(50):
        assert wal.state(log[: random.Random(seed).randrange(len(log))]) == "whole"
    Path(f"{path}-wal").write_bytes(log[: len(log) // 2])
    connect(str(path)).close()
    assert caplog.text == ""


def test_a_broken_last_transaction_is_left_out_with_a_warning(
    killed: tuple[Path, dict[str, Known]], caplog: pytest.LogCaptureFixture
) -> None:
    path, known = killed
    log = bytearray(Path(f"{path}-wal").read_bytes())
    log[-1] ^= 1
    Path(f"{path}-wal").write_bytes(log)
    with caplog.at_level(logging.WARNING):
        assert len(read(path, list(known))) == len(known)
    assert "journal.sqlite-wal: its last change is broken" in caplog.text


def test_only_the_last_transaction_of_a_log_may_be_broken(
    killed: tuple[Path, dict[str, Known]],
) -> None:
    log = Path(f"{killed[0]}-wal").read_bytes()
    size = FRAME_BYTES + PAGE_BYTES
    starts = range(HEADER_BYTES, len(log), size)
    commits = [at for at in starts if any(log[at + 4 : at + 8])]
    assert commits[-1] == starts[-1]
    for at, part, expected in (
        (commits[-2], 100, "damaged"),  # the page
        (commits[-2], 9, "damaged"),  # a salt
        (commits[-2] + size, 100, "torn"),
        (commits[-1], 9, "torn"),
        (commits[-1], 20, "torn"),  # the checksum
    ):
        changed = bytearray(log)
        changed[at + part] ^= 1
        assert wal.state(bytes(changed)) == expected


def test_a_log_in_use_is_whole_whenever_one_looks(tmp_path: Path) -> None:
    program = """
import sys
from contextlib import closing
from pipeline.journal.database import connect
from pipeline.journal.requests import RequestJournal
with closing(connect(sys.argv[1])) as database:
    with database.transaction():
        RequestJournal(database).prepare()
    for number in range(1500):
        with database.transaction():
            database.execute("insert into job values (?, 0, 0, 0)", (f"job {number}" * 50,))
"""
    path = tmp_path / "journal.sqlite"
    with subprocess.Popen([sys.executable, "-c", program, str(path)]) as writing:
        looks = 0
        while writing.poll() is None:
            connect(str(path)).close()
            looks += 1
    assert writing.returncode == 0
    assert looks > 5
    with closing(connect(str(path))) as database:
        assert database.execute("select count(*) from job") == [(1500,)]


@given(data=st.binary(min_size=0, max_size=400).map(lambda data: data[: len(data) // 8 * 8]),
       start=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
       order=st.sampled_from(["<u4", ">u4"]))  # fmt: skip
def test_the_checksum_is_that_of_the_formula(
    data: bytes, start: tuple[int, int], order: str
) -> None:
    one, two = start
    side = "little" if order == "<u4" else "big"
    for at in range(0, len(data), 8):
        one = (one + int.from_bytes(data[at : at + 4], side) + two) % 2**32  # type: ignore[arg-type]
        two = (two + int.from_bytes(data[at + 4 : at + 8], side) + one) % 2**32  # type: ignore[arg-type]
    assert wal.checksum(data, order, start) == (one, two)


def test_pages_carry_checksums_and_the_log_waits_for_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    names = ("journal_mode", "synchronous", "checksum_verification")
    with closing(SQLite(path)) as database:
        settings = [str(database.execute(f"pragma {name}")[0][0]) for name in names]
        assert settings == ["wal", "2", "1"]
        with database.transaction():
            RequestJournal(database).prepare()
    assert path.read_bytes()[20] == 8  # bytes at the end of each page
    # Older ones can lose what two processes write at the same time.
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)
