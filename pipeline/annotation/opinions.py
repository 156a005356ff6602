"""What an annotator says of pairs, and the protocol that every annotator follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pipeline.journal.entries import Budget

TextPair = tuple[str, str]


class Opinions(NamedTuple):
    """Scores in the order of the pairs, NaN where there is none; how many were known already.

    ``reasons`` ("" where there is a score) and ``confidences`` (None where unknown) are empty when
    the annotator has none. ``summary`` goes into the artefact, ``measured`` (cost, time) beside
    it. ``partial`` says in words what is missing that asking again may bring.
    """

    scores: list[float]
    reused: int
    reasons: Sequence[str] = ()
    confidences: Sequence[float | None] = ()
    summary: Mapping[str, Any] = {}
    measured: Mapping[str, Any] = {}
    partial: str = ""


class Terms(NamedTuple):
    """What asking may cost, and what becomes of requests that may have been billed for nothing."""

    journal: str = ""
    job: str = ""
    budget: Budget = Budget()
    resend: bool = False


class Annotator(Protocol):
    """Anything that scores pairs."""

    name: str
    identity: str

    def annotate(self, pairs: Sequence[TextPair]) -> Opinions:
        """Return a score for each pair."""
        ...
