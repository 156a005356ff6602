"""A few of the dropped texts for each reason, kept aside for a look."""

from __future__ import annotations

from bisect import insort
from typing import Final

from pydantic import Field

from pipeline.cleaning.personal_data import mask
from pipeline.records import Document, Dropped, Record, digest_of

SHOWN: Final = 20  # texts for each reason
LONGEST: Final = 2_000  # characters of a text


class DroppedText(Record):
    """A dropped text with the reason; personal data is masked, whatever the settings say."""

    record_id: str
    name: str
    url: str
    reason: str
    detail: str
    text: str = Field(description=f"its first {LONGEST} characters")


class Samples:
    """A sample of what was dropped, drawn by a hash, so that it does not depend on the order."""

    def __init__(self) -> None:
        self._by_reason: dict[str, list[tuple[str, str, str, Document]]] = {}

    def add(self, document: Document, drop: Dropped) -> None:
        """Take one more dropped text into account."""
        found = self._by_reason.setdefault(drop.reason, [])
        place = digest_of(drop.reason, document.name, document.id, document.text)
        if len(found) == SHOWN and place >= found[-1][0]:
            return
        insort(found, (place, drop.reason, drop.detail, _cut(document)), key=lambda row: row[:3])
        del found[SHOWN:]

    def rows(self) -> list[DroppedText]:
        """Return the sample by reason."""
        return [
            DroppedText(
                record_id=document.id, name=document.name, url=document.url, reason=reason,
                detail=detail, text=mask(document.text)[0],
            )
            for _, found in sorted(self._by_reason.items())
            for _, reason, detail, document in found
        ]  # fmt: skip


def _cut(document: Document) -> Document:
    return document.model_copy(update={"text": document.text[:LONGEST]})
