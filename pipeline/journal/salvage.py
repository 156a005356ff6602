"""What can be read of a damaged journal, in a new one: no answer that is whole is left behind.

Answers carry their own checksum, so each is copied as it came or known to be lost. A question that
was sent and whose answer is lost becomes *uncertain*: it was paid for, and is held or sent again as
the user says. Where a row comes in several versions, the one that is furthest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.disk import disk_errors
from pipeline.errors import InputError
from pipeline.journal.database import Database, connect
from pipeline.journal.pages import Pages, Row
from pipeline.journal.requests import RequestJournal, checksum_of

STATES: Final = (
    "planned", "sent", "uncertain", "failed", "dissolved", "received", "rejected", "accepted",
)  # fmt: skip
AT_ONCE: Final = 2_000  # rows
Values = tuple[Any, ...]
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "t": (str,), "i": (int,), "r": (int, float), "b": (bytes,), "B": (bytes, type(None)),
}  # fmt: skip
_REPLY: Final = "select 1 from attempt a where a.key = question.key and a.reply is not null"
# What the rows that were found say together, in this order.
_CONCLUSIONS: Final = (
    """insert into question (key, annotator, subject, state, reason, tries, answered, runner)
    select distinct key, '', '', 'uncertain', 'row_lost', 0, 0, '' from attempt
    where key not in (select key from question)""",
    """update question set tries = max(tries, coalesce(
    (select max(number) from attempt a where a.key = question.key), 0))""",
    """update question set state = 'received', reason = '', answered =
    (select max(number) from attempt a where a.key = question.key and a.reply is not null)
    where exists (REPLY) and not exists (REPLY and a.number = question.answered)""",
    """update question set state = 'uncertain', reason = 'answer_lost'
    where state in ('received', 'accepted', 'rejected') and not exists (REPLY)""",
    """update question set state = 'uncertain', reason = 'row_lost'
    where state = 'planned' and tries > 0""",
    """insert into job (name, usd, tokens, requests)
    select job, sum(usd), sum(tokens), count(*) from attempt
    where job not in (select name from job) group by job""",
)


class Salvaged(NamedTuple):
    """What came of it.

    ``copied`` answers are in the new journal; of ``lost`` questions it is known that an answer is,
    or may be, missing; so many ``pages`` do not pass their checksum.
    """

    copied: int
    lost: int
    pages: int


class _Table(NamedTuple):
    """How a table's rows look, how they are entered, and what is made of one on a broken page."""

    form: str  # the types of its columns
    entering: str
    mended: Callable[[Values], Values | None]


def salvage(damaged: Path, new: Path) -> Salvaged:
    """Copy what can be read of the journal ``damaged``, which nobody uses now, into ``new``.

    Raises:
        InputError: when there is no ``damaged``, or ``new`` is there already.
        ResourceError: when ``new`` cannot be written.
    """
    if not damaged.is_file():
        message = f"there is no journal {damaged}: name the file that is damaged"
        raise InputError(message)
    if new.exists():
        message = f"{new} is there already: name a file that is not, for the new journal"
        raise InputError(message)
    with disk_errors(damaged):
        pages = Pages(damaged)
    with closing(pages), closing(connect(str(new))) as database, database.transaction():
        RequestJournal(database).prepare()
        for name, rows in _groups(pages):
            entering = TABLES[name].entering.replace("STATES", " ".join(STATES))
            database.executemany(entering, rows)
        for statement in _CONCLUSIONS:
            database.execute(statement.replace("REPLY", _REPLY))
        return Salvaged(
            _count(database, "select count(*) from attempt where reply is not null"),
            _count(database, "select count(*) from question where state = 'uncertain' "
                             "and reason in ('answer_lost', 'row_lost')"),
            pages.broken,
        )  # fmt: skip


def _groups(pages: Pages) -> Iterator[tuple[str, list[Values]]]:
    """Yield rows that can be used, many of one table at a time."""
    gathered: dict[str, list[Values]] = {name: [] for name in TABLES}
    for row in pages.rows():
        name = _table_of(row)
        values = TABLES[name].mended(row.values) if name and not row.whole else row.values
        if not name or values is None:
            continue
        gathered[name].append(_with_whole_answer(values) if name == "attempt" else values)
        if len(gathered[name]) == AT_ONCE:
            yield name, gathered[name]
            gathered[name] = []
    yield from gathered.items()


def _table_of(row: Row) -> str:
    """Return the table that a row looks like one of; "" where there is none."""
    for name, table in TABLES.items():
        if len(row.values) == len(table.form) and all(
            isinstance(value, _TYPES[kind])
            for value, kind in zip(row.values, table.form, strict=True)
        ):
            return name
    return ""


def _with_whole_answer(values: Values) -> Values:
    """Return an attempt, without its answer where that is damaged."""
    key, number, *_, reply, checksum = values
    if reply is None or checksum_of(key, number, reply) == checksum:
        return values
    return (*values[:-2], None, None)


def _mended_question(values: Values) -> Values | None:
    """Return a question by its words alone: its numbers follow from its attempts."""
    *words, tries, answered, runner = values
    del tries, answered
    return (*words, 0, 0, runner) if words[3] in STATES else None


def _mended_attempt(values: Values) -> Values | None:
    """Return an attempt whose cost stays what it was taken for."""
    key, number, job, runner, sent_at, usd, tokens, *rest = values
    if not (number > 0 and usd >= 0 and tokens >= 0):
        return None
    return (key, number, job, runner, sent_at, usd, tokens, 1, *rest[1:])


def _nothing(_: Values) -> None:
    """Return nothing: a row without a checksum of its own is not believed on a broken page."""


def _count(database: Database, query: str) -> int:
    return int(database.execute(query)[0][0])


TABLES: Final[dict[str, _Table]] = {
    "question": _Table(
        "tttttiit",
        "insert into question values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (key) do update set "
        "annotator = excluded.annotator, subject = excluded.subject, state = excluded.state, "
        "reason = excluded.reason, tries = excluded.tries, answered = excluded.answered, "
        "runner = excluded.runner where excluded.tries > question.tries or (excluded.tries = "
        "question.tries and instr('STATES', excluded.state) > instr('STATES', question.state))",
        _mended_question,
    ),
    "attempt": _Table(
        "tittriiiiiBB",
        "insert into attempt values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "on conflict (key, number) do update set usd = excluded.usd, tokens = excluded.tokens, "
        "settled = excluded.settled, prompt_tokens = excluded.prompt_tokens, "
        "completion_tokens = excluded.completion_tokens, reply = excluded.reply, "
        "checksum = excluded.checksum where attempt.reply is null and (excluded.reply is not null "
        "or excluded.settled > attempt.settled)",
        _mended_attempt,
    ),
    "job": _Table(
        "tiii",
        "insert into job values (?, ?, ?, ?) on conflict (name) do update set "
        "usd = excluded.usd, tokens = excluded.tokens, requests = excluded.requests "
        "where excluded.requests > job.requests",
        _nothing,
    ),
    "runner": _Table(
        "ttir", "insert into runner values (?, ?, ?, ?) on conflict do nothing", _nothing
    ),
    "part": _Table("tti", "insert into part values (?, ?, ?) on conflict do nothing", _nothing),
    "batch": _Table(
        "tttttttrr",
        "insert into batch values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
        _nothing,
    ),
    "batch_oddity": _Table(
        "tttb", "insert into batch_oddity values (?, ?, ?, ?) on conflict do nothing", _nothing
    ),
}
