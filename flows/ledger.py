"""The journal of requests, for people."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from flows.listing import aligned
from pipeline.errors import InputError
from pipeline.journal import database
from pipeline.journal.database import Database, Row
from pipeline.settings import home

BILLION: Final = 1_000_000_000
_STATES: Final = """
    select q.annotator, q.state, count(*), coalesce(sum(a.usd), 0), coalesce(sum(a.tokens), 0)
    from question q left join (
        select key, sum(usd) as usd, sum(tokens) as tokens from attempt group by key
    ) a on a.key = q.key
    group by q.annotator, q.state order by q.annotator, q.state"""
_UNCERTAIN: Final = """
    select q.key, q.subject, q.reason, a.sent_at, a.usd from question q
    join attempt a on a.key = q.key and a.number = q.tries
    where q.state = 'uncertain' order by a.sent_at"""


def summary(place: str) -> str:
    """Return how many questions are in which state, and what they cost, as aligned lines.

    Raises:
        InputError: when there is no journal.
    """
    with closing(_opened(place)) as journal:
        rows = journal.execute(_STATES)
    if not rows:
        return "nothing was asked yet"
    head = ("ANNOTATOR", "STATE", "QUESTIONS", "TOKENS", "COST")
    return aligned([head, *map(_counts, rows)])


def uncertain(place: str) -> str:
    """Return the questions that may have been billed without an answer, as aligned lines.

    Raises:
        InputError: when there is no journal.
    """
    with closing(_opened(place)) as journal:
        rows = journal.execute(_UNCERTAIN)
    if not rows:
        return "no question is uncertain"
    head = ("QUESTION", "PAIR", "REASON", "RESERVED")
    found = [(str(key), str(pair), str(why), _dollars(usd)) for key, pair, why, _, usd in rows]
    return aligned([head, *found])


def salvaged(damaged: Path, new: Path) -> str:
    """Save what can be read of a damaged journal, and return how much that was.

    Raises:
        InputError: when there is no damaged journal, or something stands where the new one goes.
    """
    from pipeline.journal.salvage import salvage  # noqa: PLC0415 - rarely needed

    found = salvage(damaged, new)
    return f"{found.copied:,} rows saved in {new}, {found.lost:,} lost"


def _opened(place: str) -> Database:
    url = place or str(home().journal / "requests.sqlite")
    if "://" not in url and not Path(url).is_file():
        message = f"there is no journal {url}: no chat model was asked yet"
        raise InputError(message)
    return database.connect(url)


def _counts(row: Row) -> tuple[str, ...]:
    annotator, state, count, usd, tokens = row
    return str(annotator), str(state), f"{count:,}", f"{tokens:,}", _dollars(usd)


def _dollars(usd: int) -> str:
    return f"${usd / BILLION:.4f}"
