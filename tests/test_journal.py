"""The journal: what is committed is found again, damage is noticed, writers do not disturb."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ArtifactError, ResourceError
from pipeline.journal import Journal

VALUES = {f"key {number}": f"value {number}".encode() * 20 for number in range(60)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "annotations.sqlite"


def written(path: Path, values: dict[str, bytes] = VALUES) -> Path:
    with closing(Journal(path)) as journal:
        journal.write("owner", values)
    return path


def found(path: Path, *keys: str) -> dict[str, bytes]:
    with closing(Journal(path)) as journal:
        return journal.read("owner", keys or list(VALUES))


def test_what_was_written_is_found_by_the_next_process(path: Path) -> None:
    assert found(written(path)) == VALUES
    assert found(path, "key 3", "no such key") == {"key 3": VALUES["key 3"]}


def test_a_value_belongs_to_its_owner(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.write("one", {"key": b"1"})
        journal.write("two", {"key": b"2"})
        assert journal.read("one", ["key"]) == {"key": b"1"}
        assert journal.read("two", ["key"]) == {"key": b"2"}
        assert journal.read("three", ["key"]) == {}


def test_a_key_written_again_is_replaced(path: Path) -> None:
    written(path)
    written(path, {"key 3": b"new"})
    assert found(path) == VALUES | {"key 3": b"new"}


@given(values=st.dictionaries(st.text(st.characters(codec="utf-8")), st.binary(), max_size=5))
@settings(max_examples=20, deadline=None)
def test_any_key_and_any_bytes_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, bytes]
) -> None:
    with closing(Journal(tmp_path_factory.mktemp("journal") / "any.sqlite")) as journal:
        journal.write("owner", values)
        assert journal.read("owner", list(values)) == values


def test_a_row_that_fails_its_checksum_is_left_out_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = written(path).read_bytes()
    path.write_bytes(data.replace(b"value 7value 7", b"value 7valuf 7"))
    with caplog.at_level(logging.WARNING):
        values = found(path)
    assert values == {key: value for key, value in VALUES.items() if key != "key 7"}
    assert "a damaged row is computed again" in caplog.text
    written(path, {"key 7": VALUES["key 7"]})
    assert found(path) == VALUES


def test_a_row_moved_under_another_key_is_not_believed(path: Path) -> None:
    with closing(apsw.Connection(str(written(path)))) as connection:
        connection.execute("update entry set key = 'key 99' where key = 'key 1'")
    assert found(path, "key 99") == {}


@pytest.mark.parametrize("seed", range(3))
def test_no_flipped_byte_gives_a_wrong_value_or_an_unexplained_error(path: Path, seed: int) -> None:
    """Wherever the damage is: right values, fewer values, or a message that names the file."""
    whole = written(path).read_bytes()
    draw = random.Random(seed)
    anywhere = [draw.randrange(len(whole)) for _ in range(40)]
    page = [draw.randrange(0, 200) + 4096 * draw.randrange(len(whole) // 4096) for _ in range(40)]
    for place in anywhere + page:
        data = bytearray(whole)
        data[place] ^= draw.randrange(1, 256)
        path.write_bytes(data)
        try:
            values = found(path)
        except ArtifactError as error:
            assert str(path) in str(error)
        else:
            assert values.items() <= VALUES.items(), place


@pytest.mark.parametrize("content", [b"this is no database" * 400, b"SQLite format 3\0" + b"x" * 9])
def test_a_file_that_is_no_journal_is_an_error_that_says_what_to_do(
    path: Path, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"annotations\.sqlite.*move it aside"):
        Journal(path)


def test_a_journal_that_lost_its_end_is_an_error_that_names_it(path: Path) -> None:
    whole = written(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 4096 // 2 * 4096])
    with pytest.raises(ArtifactError, match=r"annotations\.sqlite"):
        found(path)


WRITER = """
import sys
from pathlib import Path
from pipeline.journal import Journal

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    Journal(path.with_name(f"new {number}")).close()
    journal = Journal(path)
    journal.write("owner", {f"{name} {number}": name.encode(), "shared": name.encode()})
    journal.close()
"""


def start(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def test_processes_that_make_open_and_write_journals_at_once_all_succeed(path: Path) -> None:
    names, count = "abc", 25
    with ExitStack() as stack:
        writers = [stack.enter_context(start(path, name, count)) for name in names]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(b"go\n")
            writer.stdin.flush()
        errors = [writer.communicate(timeout=60)[1].decode() for writer in writers]
    assert errors == [""] * len(names)
    keys = {f"{name} {number}": name.encode() for name in names for number in range(count)}
    assert found(path, *keys) == keys
    assert found(path, "shared")["shared"].decode() in names


LIMITED = """
import resource, signal, sys
from pathlib import Path
from pipeline.errors import ResourceError
from pipeline.journal import Journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, when = Path(sys.argv[1]), sys.argv[2]
journal = Journal(path) if when == "write" else None
limit = 16_384 if when == "write" else 0
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    journal = journal or Journal(path)
    journal.write("owner", {str(number): bytes(1_000) for number in range(100)})
except ResourceError as error:
    print(error)
"""


@pytest.mark.parametrize("when", ["write", "open"])
def test_a_full_disk_is_said_in_words_and_what_was_there_stays(path: Path, when: str) -> None:
    """A limit on the size of files stands for the disk."""
    if when == "write":
        written(path)
    command = [sys.executable, "-c", LIMITED, str(path), when]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    assert "free disk space, or set ANGLE_ADAPT_HOME" in done.stdout
    if when == "write":
        assert found(path) == VALUES


def test_a_folder_that_cannot_be_made_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((ResourceError, OSError), match="file"):
        Journal(tmp_path / "file" / "journal.sqlite")
