"""Who is encoded next: the texts that wait, in fair turns between requests, batched by length.

Turns follow start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): the n-th text of a
request comes n turns after the one that was served when the request came, and of texts with the
same turn the one that has waited longer comes first. So one text does not wait behind a request of
two thousand, and neither waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from pipeline.encoder import Vectors
from pipeline.encoder.batches import by_length

WINDOW: Final = 2_048  # texts next in turn, among which a batch finds its like


@dataclass(eq=False)
class Job:
    """The texts of one request, each once, and what became of them.

    ``done`` is called once, from another thread, when all vectors are there or one has failed.
    """

    texts: list[str]
    vectors: Vectors
    done: Callable[[], None]
    turn: int = 0  # of its first text
    tokens: list[int] = field(default_factory=list)  # of each text that was read
    waiting: int = 0  # texts that no batch has taken
    missing: int = 0  # texts without a vector
    failed: bool = False
    gone: bool = False  # nobody waits for it any more

    @classmethod
    def of(cls, texts: Sequence[str], dimensions: int, done: Callable[[], None]) -> Job:
        """Return the job of encoding ``texts``, none of which may come twice."""
        count = len(texts)
        vectors = np.zeros((count, dimensions), dtype=np.float32)
        return cls(list(texts), vectors, done, waiting=count, missing=count)


class Row(NamedTuple):
    """The token ids of one text of a job."""

    job: Job
    number: int  # of the text in its job
    ids: list[int]

    @property
    def turn(self) -> int:
        """When it is served: lower first."""
        return self.job.turn + self.number


class Turns:
    """Rows that wait, lowest turn first."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self.now = 0  # the turn that was served last
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._rows)

    def first(self) -> int:
        """Return the turn of the first text of a request that comes now."""
        return self.now + 1

    def add(self, rows: Sequence[Row]) -> None:
        """Let more rows wait."""
        self._rows.extend(rows)
        self._rows.sort(key=lambda row: row.turn)  # nearly sorted: linear
        self.tokens += sum(len(row.ids) for row in rows)

    def drop(self, job: Job) -> None:
        """Forget the rows of a job."""
        self._rows = [row for row in self._rows if row.job is not job]
        self.tokens = sum(len(row.ids) for row in self._rows)

    def take(self, max_tokens: int) -> list[Row]:
        """Return the row whose turn it is, and others of like length, none if none waits.

        Together they have at most ``max_tokens`` tokens, padding included, or are one row.
        """
        window = self._rows[:WINDOW]
        for chosen in by_length([len(row.ids) for row in window], max_tokens):
            if 0 in chosen:
                taken = set(chosen)
                self.now = window[0].turn
                rest = [row for index, row in enumerate(window) if index not in taken]
                self._rows[:WINDOW] = rest
                rows = [window[index] for index in chosen]
                self.tokens -= sum(len(row.ids) for row in rows)
                return rows
        return []
