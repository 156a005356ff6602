"""Batches: questions that a provider was given in one file, and that it answers within a day or so.

A batch has a runner of its own, under whose name its questions are claimed. That runner is no
process: its lease outlives all of them, so its questions stay sent while the provider works. One
process at a time, the *keeper*, looks after a batch; when it is gone another may take its place.
Nobody else tells the provider anything.

| state    | what the provider knows                                          |
|----------|------------------------------------------------------------------|
| claimed  | nothing: the questions are marked as sent, for one that will be   |
| uploaded | the file with the questions                                      |
| creating | the file, and perhaps that it is to begin                        |
| running  | everything; its name for the batch is known here                 |
| ended    | nothing more is to come: every question is answered or set free  |
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from pipeline.journal.database import Database

SCHEMA: Final = (
    """create table if not exists batch (
    runner text primary key, keeper text not null, endpoint text not null, account text not null,
    id text not null, input_file text not null, state text not null, created {real} not null,
    changed {real} not null)""",
    """create table if not exists batch_oddity (
    runner text not null, digest text not null, kind text not null, line {blob} not null,
    primary key (runner, digest))""",
)
LEASE_SECONDS: Final = 30 * 86_400.0  # as long as providers keep answers
_HOST: Final = "provider"  # of a batch's runner: no machine, so that only its lease tells
_FIELDS: Final = "runner, endpoint, account, id, input_file, state, created, changed"


class Batch(NamedTuple):
    """A batch; ``runner`` is its name here, ``id`` the provider's, and times are Unix times."""

    runner: str
    endpoint: str
    account: str
    id: str
    input_file: str
    state: str
    created: float
    changed: float


class Attempt(NamedTuple):
    """A question's attempt in a batch, and whether how it ended is entered already."""

    number: int
    ended: bool


class Batches:
    """The journal's operations on batches; each runs inside a transaction that the caller holds."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database, self._now = database, now

    def open(self, runner: str, keeper: str, endpoint: str, account: str) -> Batch:
        """Enter a batch and its runner, under which questions can be claimed from now on."""
        now = self._now()
        batch = Batch(runner, endpoint, account, "", "", "claimed", now, now)
        self._database.execute(
            f"insert into batch ({_FIELDS}, keeper) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (*batch, keeper),
        )
        self._enrol(runner)
        return batch

    def adopt(self, runner: str, keeper: str) -> Batch | None:
        """Return a batch that is ``keeper``'s from now on; None where it ended or has another.

        Call `RequestJournal.recover` before, which takes off those that are gone.
        """
        rows = self._database.execute(
            "update batch set keeper = ? where runner = ? and state <> 'ended' and (keeper = ? "  # noqa: S608
            f"or keeper not in (select name from runner)) returning {_FIELDS}",
            (keeper, runner, keeper),
        )
        if not rows:
            return None
        self._enrol(runner)
        return Batch(*rows[0])

    def release(self, runner: str, keeper: str) -> None:
        """Leave a batch to whoever can look after it."""
        self._database.execute(
            "update batch set keeper = '' where runner = ? and keeper = ?", (runner, keeper)
        )

    def advance(self, batch: Batch, keeper: str) -> Batch | None:
        """Enter how far a batch is; None, and nothing is entered, where it has another keeper."""
        batch = batch._replace(changed=self._now())
        rows = self._database.execute(
            "update batch set id = ?, input_file = ?, state = ?, changed = ? where runner = ? "
            "and keeper = ? and state <> 'ended' returning runner",
            (batch.id, batch.input_file, batch.state, batch.changed, batch.runner, keeper),
        )
        return batch if rows else None

    def get(self, runner: str) -> Batch | None:
        """Return a batch, whoever looks after it; None where there is none of that name."""
        rows = self._database.execute(
            f"select {_FIELDS} from batch where runner = ?",  # noqa: S608
            (runner,),
        )
        return Batch(*rows[0]) if rows else None

    def discard(self, runner: str) -> None:
        """Take off a batch that no question was claimed for."""
        self._database.execute("delete from batch where runner = ?", (runner,))
        self._database.execute("delete from runner where name = ?", (runner,))

    def unfinished(self, endpoint: str) -> list[Batch]:
        """Return the batches at an endpoint with questions that have not ended, the oldest first.

        One whose questions have all ended though its keeper was killed before saying so is over.
        """
        sent = "select runner from question where state = 'sent'"
        over = self._database.execute(
            f"update batch set state = 'ended' where state <> 'ended' and runner not in ({sent}) "  # noqa: S608
            "and keeper not in (select name from runner) returning runner"
        )
        for (runner,) in over:
            self._database.execute("delete from runner where name = ?", (runner,))
        rows = self._database.execute(
            f"select {_FIELDS} from batch where endpoint = ? and state <> 'ended' "  # noqa: S608
            f"and runner in ({sent}) order by created",
            (endpoint,),
        )
        return [Batch(*row) for row in rows]

    def holders(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the runner of each question among ``keys`` that is sent."""
        rows = self._database.execute(
            "select key, runner from question where state = 'sent' "  # noqa: S608
            f"and key in ({self._database.listed})",
            (json.dumps(list(keys)),),
        )
        return dict(rows)

    def waiting(self, runner: str) -> dict[str, int]:
        """Return the questions of a batch that have not ended, and the numbers of the attempts."""
        return dict(
            self._database.execute(
                "select key, tries from question where state = 'sent' and runner = ?", (runner,)
            )
        )

    def attempts(self, runner: str, keys: Iterable[str]) -> dict[str, Attempt]:
        """Return the attempts in a batch at the questions among ``keys`` that it holds."""
        rows = self._database.execute(
            "select key, number, reply is not null or settled = 1 from attempt where runner = ? "  # noqa: S608
            f"and key in ({self._database.listed})",
            (runner, json.dumps(list(keys))),
        )
        return {key: Attempt(number, bool(ended)) for key, number, ended in rows}

    def give_back(self, key: str, number: int) -> None:
        """Take back that a request was counted which was never made."""
        self._database.execute(
            "update job set requests = requests - 1 where name = "
            "(select job from attempt where key = ? and number = ?)",
            (key, number),
        )

    def keep_oddity(self, runner: str, kind: str, line: bytes) -> None:
        """Keep a line that came in a batch's files and answers none of its questions."""
        digest = hashlib.sha256(kind.encode() + b"\0" + line).hexdigest()[:32]
        self._database.execute(
            "insert into batch_oddity (runner, digest, kind, line) values (?, ?, ?, ?) "
            "on conflict (runner, digest) do nothing",
            (runner, digest, kind, line),
        )

    def _enrol(self, runner: str) -> None:
        self._database.execute(
            "insert into runner (name, host, pid, expires) values (?, ?, 0, ?) "
            "on conflict (name) do update set expires = excluded.expires",
            (runner, _HOST, self._now() + LEASE_SECONDS),
        )
