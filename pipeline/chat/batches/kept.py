"""A batch as the process knows it that looks after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from pipeline.chat.batches.provider import Remote
from pipeline.chat.faults import Fault
from pipeline.journal.batches import Batch


@dataclass
class Kept:
    """A batch that is looked after here."""

    batch: Batch
    size: int  # questions
    file: IO[bytes] | None = None  # to be uploaded; None: another process has made the batch
    remote: Remote | None = None
    due: float = 0.0  # when to look next, on the monotonic clock
    failures: int = 0  # in a row
    failing_since: float = 0.0
    readings: int = 0  # of its files
    is_over: bool = False  # here; at its provider, ``remote`` tells
    is_passed_on: bool = False  # another process has taken it over
    answers: int = 0
    refusal: Fault | None = None  # the commonest

    @property
    def done(self) -> tuple[int, int]:
        """How many questions are done, as the provider counts, and of how many."""
        counts = self.remote.counts if self.remote else None
        return (counts.completed + counts.failed, counts.total) if counts else (0, self.size)

    def close(self) -> None:
        """Close the file."""
        if self.file:
            self.file.close()
