"""Texts between the passes of cleaning, on disk: a table that is read in order of the names.

SQLite sorts without holding the texts in memory. The file lives as long as the stage runs, so
nothing is synced and there is no journal.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np

from pipeline.errors import ResourceError
from pipeline.records import Document
from pipeline.sketches import Hashes, Places

_SETUP: Final = """
pragma journal_mode = off;
pragma synchronous = off;
create table piece (
    position integer primary key,
    name text, id text, text text, rest text, reason text, detail text
);
"""
_INDEX: Final = "create index if not exists by_name on piece (name, id)"
# Also pieces that share name and id come in an order of their own, not in that of their arrival.
_USABLE: Final = (
    "select position, id from piece where reason = '' order by name, id, text, rest, position"
)
_ALL: Final = (
    "select name, id, text, rest, reason, detail from piece "
    "order by name, id, text, rest, reason, detail, position"
)
_TEXTS: Final = (
    "select position, text from piece where position in (select value from json_each(?))"
)
_REASONS: Final = "select reason, count(*) from piece where reason != '' group by reason"
_APART: Final = {"name", "id", "text"}


class Piece(NamedTuple):
    """A document or a chunk of one; ``reason`` says why it is not usable, "" when it is."""

    document: Document
    reason: str = ""
    detail: str = ""


class Order(NamedTuple):
    """The usable pieces in order of their names: their places in the spool, the ids of texts.

    A piece's *rank* is its index here.
    """

    positions: Places
    ids: Hashes


class Spool:
    """Pieces on disk; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(_SETUP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, pieces: Iterable[Piece]) -> None:
        """Append pieces.

        Raises:
            ResourceError: when the disk is full.
        """
        with self._disk_errors():
            self._database.execute("begin")
            self._database.executemany(
                "insert into piece values (null, ?, ?, ?, ?, ?, ?)", map(_row, pieces)
            )
            self._database.execute("commit")

    def order(self) -> Order:
        """Return the usable pieces in order; same names in order of their texts."""
        positions, ids = array("q"), array("Q")
        with self._disk_errors():
            self._database.execute(_INDEX)
            for position, identity in self._database.execute(_USABLE):
                positions.append(position)
                ids.append(int(identity, 16))
        return Order(np.array(positions, dtype=np.int64), np.array(ids, dtype=np.uint64))

    def texts(self, positions: Places) -> list[str]:
        """Return the texts at ``positions``, each as often as it is named."""
        wanted = positions.tolist()
        found = dict(self._database.execute(_TEXTS, (json.dumps(wanted),)))
        return [found[position] for position in wanted]

    def name(self, position: int) -> str:
        """Return the name of the piece at ``position``."""
        (name,) = self._database.execute(
            "select name from piece where position = ?", (position,)
        ).fetchone()
        return str(name)

    def pieces(self) -> Iterator[Piece]:
        """Yield all pieces; the usable ones among them in the order of :meth:`order`."""
        with self._disk_errors():
            self._database.execute(_INDEX)
            for name, identity, text, rest, reason, detail in self._database.execute(_ALL):
                values = json.loads(rest) | {"name": name, "id": identity, "text": text}
                yield Piece(Document.model_construct(**values), reason, detail)

    def reasons(self) -> dict[str, int]:
        """Return how many pieces are not usable, by reason."""
        return dict(self._database.execute(_REASONS))

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            message = f"cannot write {self._path} ({error}): free some space on that disk"
            raise ResourceError(message) from error


def _row(piece: Piece) -> tuple[str, ...]:
    document = piece.document
    rest = json.dumps(document.model_dump(exclude=_APART), ensure_ascii=False)
    return document.name, document.id, document.text, rest, piece.reason, piece.detail
