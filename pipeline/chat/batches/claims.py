"""Claiming questions for a batch: operations on the journal, each in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.journal.batches import Batch
from pipeline.journal.entries import Asking, Cost, Known
from pipeline.journal.requests import RequestJournal
from pipeline.journal.writer import Operation


class Offer(NamedTuple):
    """Questions for a batch with the most that each can cost, and what enters the batch."""

    asking: Asking
    reserves: Mapping[str, Cost]
    opening: Operation[Batch]


def claimed(offer: Offer, journal: RequestJournal) -> tuple[Batch | None, dict[str, str]]:
    """Claim questions until the budget ends; return the batch, and why each was refused, or ""."""
    runner = offer.asking.runner
    batch = journal.batches.get(runner) or offer.opening(journal)
    refused: dict[str, str] = {}
    for key, reserve in offer.reserves.items():
        refused[key] = journal.claim(offer.asking, key, reserve).refused
        if refused[key] == "budget":
            break
    if not journal.batches.waiting(runner):
        journal.batches.discard(runner)
        return None, refused
    return batch, refused


def looked_up(
    keys: Sequence[str], journal: RequestJournal
) -> tuple[dict[str, Known], dict[str, str]]:
    """Return where questions stand, and the runner of each that is sent."""
    known = journal.known(keys)
    return known, journal.batches.holders([key for key in keys if known[key].state == "sent"])


def adopted(runner: str, keeper: str, journal: RequestJournal) -> tuple[Batch, int] | None:
    """Return a batch that is ``keeper``'s from now on, and how many questions it has left."""
    journal.recover()
    batch = journal.batches.adopt(runner, keeper)
    return (batch, len(journal.batches.waiting(runner))) if batch else None
