"""Which questions share a request: assigned once, so that none is ever asked in two.

A request that asks about several pairs is one question of the journal (a *set*), and what it costs
and answers is that question's. Which pairs it is about is kept beside it. A pair is in one set at a
time; it leaves a set only when that was never sent, and the set is then *dissolved* for good.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Final, NamedTuple

from pipeline.journal.database import Database
from pipeline.records import digest_of

SCHEMA: Final = (
    """create table if not exists part (
    key text primary key, subject text not null, place {integer} not null)""",
    "create index if not exists subject on part (subject)",
)
_MEMBERS: Final = """
    select subject, key from part
    where subject in (select subject from part where key in ({listed})) order by subject, place"""
DISSOLVED: Final = "dissolved"  # the state of a question that is not asked any more
_UNSENT: Final = ("planned", "failed")
KeyOf = Callable[[str], str]  # from a set to the key of its question


class Shared(NamedTuple):
    """A set: its own name, and the keys of its members in their places."""

    subject: str
    members: tuple[str, ...]


class Sets:
    """The sets of a journal; each operation runs inside a transaction that the caller holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def arrange(self, keys: Sequence[str], size: int, key_of: KeyOf) -> list[Shared]:
        """Return sets that hold all ``keys``, new ones of ``size`` where they are in none.

        Members of a set that are not among ``keys`` are somebody else's. Such a set is dissolved
        where nothing of it was sent; else it is returned as it is.
        """
        mine = set(keys)
        kept: dict[str, Shared] = {}
        for found in self._of(keys):
            if mine.issuperset(found.members) or self._state(key_of(found.subject)) not in _UNSENT:
                kept |= dict.fromkeys(found.members, found)
            else:
                self._dissolve(found, key_of(found.subject))
        free = [key for key in keys if key not in kept]
        for start in range(0, len(free), size):
            made = self._made(free[start : start + size], key_of)
            kept |= dict.fromkeys(made.members, made)
        return list(dict.fromkeys(kept[key] for key in keys))

    def _of(self, keys: Sequence[str]) -> Iterator[Shared]:
        """Yield the sets that any of ``keys`` is in."""
        query = _MEMBERS.format(listed=self._database.listed)
        rows = self._database.execute(query, (json.dumps(list(keys)),))
        members: dict[str, list[str]] = defaultdict(list)
        for subject, key in rows:
            members[subject].append(key)
        for subject, inside in members.items():
            yield Shared(subject, tuple(inside))

    def _made(self, keys: Sequence[str], key_of: KeyOf) -> Shared:
        """Enter a new set; one that was dissolved is never taken up again under its name."""
        names = (digest_of(str(attempt), *keys) for attempt in count())
        subject = next(name for name in names if self._state(key_of(name)) != DISSOLVED)
        self._database.executemany(
            "insert into part (key, subject, place) values (?, ?, ?)",
            [(key, subject, place) for place, key in enumerate(keys)],
        )
        return Shared(subject, tuple(keys))

    def _dissolve(self, found: Shared, key: str) -> None:
        self._database.execute("delete from part where subject = ?", (found.subject,))
        self._database.execute(
            "update question set state = ?, reason = 'rearranged' where key = ?", (DISSOLVED, key)
        )

    def _state(self, key: str) -> str:
        """Return the state of a question; one that is not entered yet is planned."""
        rows = self._database.execute("select state from question where key = ?", (key,))
        return str(rows[0][0]) if rows else "planned"
