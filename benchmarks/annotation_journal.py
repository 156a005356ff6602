"""The journal of requests: is damage noticed, and how quickly is much of it looked up?"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks._record import Figure, Measurement
from pipeline.annotation.inquiry import LOOKED_UP
from pipeline.config import CHECKOUT
from pipeline.errors import AngleAdaptError
from pipeline.journal.database import Database, SQLite, connect
from pipeline.journal.entries import Known, Question
from pipeline.journal.requests import RequestJournal, checksum_of
from pipeline.journal.salvage import TABLES
from pipeline.journal.writer import JournalWriter
from tests.journal.asked import filled
from tests.journal.cluster import binaries, cluster

log = logging.getLogger(__name__)

CLAIM: Final = (
    "A single flipped bit anywhere in a closed journal is noticed or does no harm: 1,000 trials, "
    "and every bit of the file's header. Of a million questions, 10,000 are looked up with their "
    "answers within a second."
)
SEED: Final = 17
ANSWERED: Final = 2_000
FLIPS: Final = 1_000
HEADER_BITS: Final = 800
ROWS: Final = 1_000_000
PAIRS: Final = 10_000
QUICK: Final = 20  # times smaller
RUNS: Final = 5
AT_ONCE: Final = 20_000  # rows in a transaction
# The journal of a process that is killed: nothing is folded from the log into the file.
_PROGRAM: Final = """
import os, sys
from pipeline.journal.database import connect
from tests.journal.asked import filled
database = connect(sys.argv[1])
filled(database, int(sys.argv[2]))
os.kill(os.getpid(), 9)
"""
Contents = tuple[dict[str, Known], list[list[str]]]


def measure(*, quick: bool) -> Measurement:
    """Flip bits, then look up; ``quick`` with a twentieth of flips and rows."""
    by = QUICK if quick else 1
    with tempfile.TemporaryDirectory(prefix="journal-") as folder:
        figures = [*_flipped(Path(folder), by), *_flipped_log(Path(folder), by)]
        url = str(Path(folder) / "large.sqlite")
        figures += _looked_up("SQLite", url, ROWS // by, _fill_sqlite)
    if binaries() and not quick:
        with cluster() as server:
            figures += _looked_up("PostgreSQL", server.create(), ROWS, _fill_postgresql)
    return Measurement(tuple(figures), SEED)


def _flipped(folder: Path, by: int) -> list[Figure]:
    """Flip bits of a closed journal."""
    path = folder / "closed.sqlite"
    with closing(connect(str(path))) as database:
        keys = list(filled(database, ANSWERED // by))
    data = path.read_bytes()
    flips = _Flips(folder / "flipped.sqlite", data, b"", _contents(path, keys))
    bits = np.random.default_rng(SEED).integers(8 * len(data), size=FLIPS // by)
    anywhere = Counter(flips.outcome(int(bit)) for bit in bits)
    header = Counter(flips.outcome(bit) for bit in range(0, HEADER_BITS, by))
    return [
        Figure.of("flips in a closed journal", anywhere.total(), "", ">=", FLIPS // by),
        *_counted("flips", anywhere),
        Figure.of("flips of every bit of its header", header.total(), ""),
        *_counted("header", header),
    ]


def _flipped_log(folder: Path, by: int) -> list[Figure]:
    """Flip bits of the write-ahead log that a killed process left."""
    path = folder / "killed.sqlite"
    command = [sys.executable, "-c", _PROGRAM, str(path), str(ANSWERED // by)]
    subprocess.run(command, cwd=CHECKOUT, check=False)  # noqa: S603 - our own program, no shell
    data, written = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    flips = _Flips(folder / "log.sqlite", data, written, _contents(path, _keys(path)))
    bits = np.random.default_rng(SEED).integers(8 * len(written), size=FLIPS // by)
    found = Counter(flips.outcome(int(bit)) for bit in bits)
    return [
        Figure.of("flips in the log of a killed process", found.total(), ""),
        *_counted("log", found),
        Figure.of("log: warned of, in the last transaction", found["warned"], ""),
    ]


def _counted(name: str, found: Counter[str]) -> list[Figure]:
    return [
        Figure.of(f"{name}: silent", found["silent"], "", "<=", 0),
        Figure.of(f"{name}: an error that does not name the file", found["unclear"], "", "<=", 0),
        Figure.of(f"{name}: noticed", found["noticed"], "", ">="),
        Figure.of(f"{name}: harmless, all is read as it was", found["harmless"], ""),
    ]


class _Flips(NamedTuple):
    """A journal whose bits are flipped one at a time: those of its log, where there is one."""

    path: Path
    data: bytes
    written: bytes
    expected: Contents

    def outcome(self, bit: int) -> str:
        """Return what became of one flipped bit."""
        flipped = bytearray(self.written or self.data)
        flipped[bit // 8] ^= 1 << bit % 8
        for end in ("-wal", "-shm"):
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        self.path.write_bytes(self.data if self.written else flipped)
        if self.written:
            Path(f"{self.path}-wal").write_bytes(flipped)
        with _warnings() as said:
            try:
                found = _contents(self.path, list(self.expected[0]))
            except AngleAdaptError as error:
                return "noticed" if self.path.name in str(error) else "unclear"
            except Exception:
                log.exception("bit %d", bit)
                return "unclear"
        if found == self.expected:
            return "harmless"
        damaged = any(one.reason == "answer_damaged" for one in found[0].values())
        return "warned" if said else "noticed" if damaged else "silent"


@contextmanager
def _warnings() -> Iterator[list[logging.LogRecord]]:
    """Give a list of what the journal warns of."""
    said: list[logging.LogRecord] = []
    hearing = logging.Handler(logging.WARNING)
    hearing.emit = said.append  # type: ignore[assignment, method-assign]
    logger = logging.getLogger("pipeline.journal")
    logger.addHandler(hearing)
    try:
        yield said
    finally:
        logger.removeHandler(hearing)


def _contents(path: Path, keys: Sequence[str]) -> Contents:
    """Return all that is in a journal, by its own operations and row by row."""
    with closing(connect(str(path))) as database, database.transaction():
        journal = RequestJournal(database)
        journal.prepare()
        known = journal.known(keys)
        rows = [database.execute(f"select * from {name}") for name in TABLES]  # noqa: S608
        return known, [sorted(map(repr, some)) for some in rows]


def _keys(path: Path) -> list[str]:
    with closing(connect(str(path))) as database:
        return [key for (key,) in database.execute("select key from question")]


def _looked_up(
    name: str, url: str, rows: int, fill: Callable[[Database, int], None]
) -> list[Figure]:
    with closing(connect(url)) as database:
        with database.transaction():
            RequestJournal(database).prepare()
        start = time.perf_counter()
        fill(database, rows)
        log.info("%s: %d rows in %.0f s", name, rows, time.perf_counter() - start)
    samples = [_sample(turn, rows, PAIRS) for turn in range(RUNS)]
    cold = _seconds(url, samples[0], forget=True)
    warm = statistics.median(_seconds(url, sample) for sample in samples)
    both = statistics.median(_seconds(url, _sample(turn, rows, 2 * PAIRS)) for turn in range(RUNS))
    return [
        Figure.of(f"{name}: questions in the journal", rows, ""),
        Figure.of(f"{name}: {PAIRS:,} pairs, one order, median of {RUNS}", warm, "s", "<=", 1),
        Figure.of(f"{name}: {PAIRS:,} pairs, both orders, median of {RUNS}", both, "s", "<=", 1),
        Figure.of(f"{name}: {PAIRS:,} pairs, one order, the first time", cold, "s"),
    ]


def _sample(turn: int, rows: int, size: int) -> list[Question]:
    """Return some of the questions, each once."""
    numbers = np.random.default_rng(SEED + turn).choice(rows, min(size, rows // 2), replace=False)
    return [_question(int(number)) for number in numbers]


def _seconds(url: str, asked: Sequence[Question], *, forget: bool = False) -> float:
    """Return how long all of ``asked`` take, as the annotator looks them up."""
    if forget and "://" not in url:
        _forget(Path(url))

    def entered(part: Sequence[Question], journal: RequestJournal) -> dict[str, Known]:
        journal.plan(part)
        return journal.known([question.key for question in part])

    async def look_up(writer: JournalWriter) -> int:
        parts = [asked[at : at + LOOKED_UP] for at in range(0, len(asked), LOOKED_UP)]
        found = [await writer.submit(partial(entered, part)) for part in parts]
        return sum(one.state == "accepted" for part in found for one in part.values())

    with JournalWriter(url) as writer:
        start = time.perf_counter()
        answered = asyncio.run(look_up(writer))
        seconds = time.perf_counter() - start
    if answered != len(asked):
        message = f"{len(asked) - answered} answers were not found"
        raise RuntimeError(message)
    return seconds


def _forget(path: Path) -> None:
    """Have the system read the file from the disk again, where it can be told to."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _question(number: int) -> Question:
    key = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    return Question(key, "0123456789abcdef", key[:16])


def _rows(count: int) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
    """Yield rows of questions and of their attempts, as an annotator leaves them."""
    for start in range(0, count, AT_ONCE):
        questions, attempts = [], []
        for number in range(start, min(count, start + AT_ONCE)):
            key, annotator, subject = _question(number)
            reply = _reply(number)
            questions.append((key, annotator, subject, "accepted", "", 1, 1, "runner"))
            attempts.append(
                (key, 1, "job", "runner", 1.7e9, 25_000, 130, 1, 120, 10, reply,
                 checksum_of(key, 1, reply))
            )  # fmt: skip
        yield questions, attempts


def _reply(number: int) -> bytes:
    """Return an answer of some 700 bytes: a score with the log-probabilities of all grades."""
    grades = [{"token": str(n), "logprob": -0.1 - (number * 7 + n) % 13} for n in range(6)]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f'{{"score": {number % 6}}}', "refusal": None},
        "logprobs": {"content": [{"token": str(number % 6), "logprob": -0.1, "bytes": [51],
                                  "top_logprobs": grades}]},
        "finish_reason": "stop",
    }  # fmt: skip
    whole = {
        "id": f"chatcmpl-{number:024}", "object": "chat.completion", "created": 1_790_000_000,
        "model": "a-model-of-today", "choices": [choice], "system_fingerprint": "fp_0123456789",
        "usage": {"prompt_tokens": 120, "completion_tokens": 10, "total_tokens": 130},
    }  # fmt: skip
    return json.dumps(whole).encode()


def _fill_sqlite(database: Database, count: int) -> None:
    assert isinstance(database, SQLite)  # noqa: S101 - for the type checker
    database.execute("pragma cache_size = -500000")  # of this connection alone
    for questions, attempts in _rows(count):
        with database.transaction():
            for name, rows in (("question", questions), ("attempt", attempts)):
                marks = ", ".join("?" * len(rows[0]))
                database.executemany(f"insert into {name} values ({marks})", rows)  # noqa: S608


def _fill_postgresql(database: Database, count: int) -> None:
    connection = database._connection  # type: ignore[attr-defined]
    for questions, attempts in _rows(count):
        with database.transaction(), connection.cursor() as cursor:
            for name, rows in (("question", questions), ("attempt", attempts)):
                with cursor.copy(f"copy {name} from stdin") as copy:
                    for row in rows:
                        copy.write_row(row)
    database.execute("analyze")
